"""``vanbench conform``: every mistake is named, a sound network passes (registered ones: test_architectures)."""

from __future__ import annotations

import contextlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from broken_networks import BROKEN, Healthy, InclusiveMask, LosesThePins
from broken_rarely import BROKEN_RARELY

from vanbench.compare.cli import main
from vanbench.compare.conform.case import KINDS, Case, Skip, Violation
from vanbench.compare.conform.checks import check_causality, check_normalisation
from vanbench.compare.conform.contract import CHECKS, RESTRICTED, Result, conform
from vanbench.exact import InputError

CHAIN = (4,)


def test_a_sound_network_passes_everywhere() -> None:
    found = conform(Healthy)
    assert not found.failures
    settings = {result.setting.split(", ")[0] for result in found.results}
    assert settings == {"5", "4", "2x3", "2x2", "2x2x2", "2x2x1"}
    assert {result.check for result in found.results} == set(CHECKS)
    ran = {result.check for result in found.results if result.status == "passed"}
    assert ran >= set(CHECKS) - {"cached sampling", "CUDA"}  # it has no step of its own
    restricted = [r for r in found.results if r.check == "normalisation" and r.status == "passed"]
    assert len(restricted) == 6 * len(KINDS)


def first_failure(network: type[Healthy]) -> Result | None:
    """The first result that fails; what would come after it is not run."""

    class Enough(Exception):
        pass

    seen: list[Result] = []

    def report(result: Result) -> None:
        seen.append(result)
        if result.status == "failed":
            raise Enough

    with contextlib.suppress(Enough):
        conform(network, CHAIN, report=report)
    return seen[-1] if seen[-1].status == "failed" else None


@pytest.mark.parametrize("network", BROKEN + BROKEN_RARELY, ids=lambda cls: cls.__name__)
def test_a_mistake_is_named(network: type[Healthy]) -> None:
    first = first_failure(network)
    assert first is not None, "nothing was found"
    assert first.check == network.caught_by
    assert first.tried
    assert re.search(network.says, f"{first.tried} {first.found} {first.likely}"), first


@pytest.mark.slow
@pytest.mark.parametrize("network", BROKEN + BROKEN_RARELY, ids=lambda cls: cls.__name__)
def test_no_later_setting_blames_what_is_more_basic(network: type[Healthy]) -> None:
    assert conform(network, CHAIN).failed_checks[0] == network.caught_by


def test_what_fails_first_stops_what_it_explains() -> None:
    found = conform(next(cls for cls in BROKEN if cls.__name__ == "DropoutLeftOn"), CHAIN)
    assert found.failed_checks == ["randomness"]
    assert any(r.status == "skipped" and r.found == "randomness failed first" for r in found.results)


def test_checks_are_plain_functions() -> None:
    check_causality(Case(Healthy, (2, 3)))
    with pytest.raises(Violation, match=r"site 0 \(0, 0\) sees itself.*inclusive"):
        check_causality(Case(InclusiveMask, (2, 3)))
    with pytest.raises(Skip, match="too many"):
        check_normalisation(Case(Healthy, (4, 5)))


def test_only_the_restricted_settings_fail_where_only_they_are_wrong() -> None:
    found = conform(LosesThePins, CHAIN)
    assert {result.check for result in found.failures} <= set(RESTRICTED)
    assert all("pinned" in r.setting or "fixed-sum" in r.setting for r in found.failures)


def test_every_result_is_reported_as_it_comes() -> None:
    seen: list[Result] = []
    found = conform("bernoulli", CHAIN, report=seen.append)
    assert seen == found.results


def test_wrong_requests_are_refused() -> None:
    class Flat(Healthy):
        dimensions = (2,)

    with pytest.raises(InputError, match="dimension 2"):
        conform(Flat, CHAIN)
    with pytest.raises(InputError, match="made"):
        conform("mad")
    with pytest.raises(InputError, match="at most 256"):
        conform("made", (40, 40))
    with pytest.raises(InputError, match="hidden"):
        conform("made", CHAIN, {"hiden": 3})


def code(*arguments: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(list(arguments))
    return int(stop.value.code or 0)


def test_command_passes(capsys: pytest.CaptureFixture) -> None:
    assert code("conform", "bernoulli", "--shape", "2x2", "--quiet") == 0
    assert "It keeps the contract." in capsys.readouterr().out


def test_command_for_a_module_outside_this_package(tmp_path: Path) -> None:
    """A class that stands in the folder where the command is called; JSON on stdout and nothing else."""
    source = (Path(__file__).parents[1] / "broken_networks.py").read_text()
    (tmp_path / "my_networks.py").write_text(source)
    command = [sys.executable, "-m", "vanbench.compare.cli", "conform", "my_networks:InclusiveMask", "--shape", "2x2"]
    done = subprocess.run([*command, "--format", "json"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    found = json.loads(done.stdout)
    assert found["passed"] is False
    failed = [result for result in found["results"] if result["status"] == "failed"]
    assert failed[0]["check"] == "causality"
    assert "site 0 (0, 0) sees itself" in failed[0]["found"]


def test_command_tells_what_was_tried(capsys: pytest.CaptureFixture) -> None:
    assert code("conform", "broken_networks:InclusiveMask", "--shape", "4", "--quiet") == 1
    shown = capsys.readouterr().out
    assert "site 0 sees itself" in shown
    assert "is the mask inclusive" in shown
    assert "It breaks the contract." in shown
    assert code("conform", "broken_networks:NoSuchNet") == 2
