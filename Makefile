# Needs only make and Python 3.11 to 3.14; everything else is made in .venv on the first call.
SUPPORTED := import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 14))
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c '$(SUPPORTED)' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
OUT ?= validation

.PHONY: validate test test-slow test-jax lint docs notebooks benchmark mutation clean

validate: .venv/.base
	$(BIN)/vanbench run validate --out $(OUT)

test: .venv/.test
	$(BIN)/python -m pytest -n 2 --dist loadfile

test-slow: .venv/.test
	$(BIN)/python -m pytest -m "slow and not benchmark"

test-jax: .venv/.jax
	$(BIN)/python -m pytest -m jax tests/neural/test_from_jax.py

benchmark: .venv/.test
	$(BIN)/python -m pytest -m benchmark --benchmark-enable --benchmark-only

# Hours on two cores; interrupted, it goes on where it was, and judges again only what has changed.
mutation: .venv/.mutation
	$(BIN)/python -m tests.mutation --jobs 2

lint: .venv/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The tutorials are executed, in a copy: two minutes.
docs: .venv/.docs
	rm -rf build/docs .cache/mkdocs-jupyter && mkdir -p build && cp -r docs build/docs
	DOCS=build/docs PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/mkdocs build --quiet

notebooks:
	$(or $(wildcard $(BIN)/python),$(PYTHON)) docs/tutorials/notebooks.py

clean:
	rm -rf .venv validation runs site .mutation

# The command line needs less than the tests do, so that a first validation does not wait for QuTiP and QuSpin.
.venv/.base: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" && $(PYTHON) -c '$(SUPPORTED)' || \
		{ echo "vanbench needs Python 3.11 to 3.14: make PYTHON=/path/to/python3.12"; exit 1; }
	$(PYTHON) -m venv --clear .venv
	$(PIP) -e .
	@touch $@

.venv/.test: .venv/.base
	$(PIP) -e '.[test]'
	@touch $@

.venv/.jax: .venv/.test
	$(PIP) -e '.[jax-networks]'
	@touch $@

.venv/.docs: .venv/.base
	$(PIP) -e '.[docs]'
	@touch $@

.venv/.mutation: .venv/.test
	$(PIP) -e '.[mutation]'
	@touch $@
