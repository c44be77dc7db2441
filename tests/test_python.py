"""From Python, as a newcomer would call it: classes and networks, one number, one name, paths as text; and scripts."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import vanbench
from vanbench.compare import Suite, Task, run_suite
from vanbench.compare.declare import task as task_module
from vanbench.compare.run.suite import NothingMade, Summary
from vanbench.exact import InputError, build, solve
from vanbench.exact.errors import EXTRAS
from vanbench.neural import track

SCRIPT = """
import torch, vanbench

class Net(vanbench.Autoregressive):
    def __init__(self, shape, local_dim=2, width=4):
        super().__init__(shape, local_dim)
        self.hidden = torch.nn.Linear(1, width)
        self.output = torch.nn.Linear(width, local_dim, bias=False)

    def logits(self, x):
        spins = self.encode(x)[..., 0]
        before = spins.cumsum(1) - spins
        return self.output(torch.tanh(self.hidden(before[..., None])))
"""
RUNS = """
task = vanbench.Task(name="t", system="east", shapes=[3], s=0.1, times=0.2, quantities="ln_Z", tracker="tdvp", seeds=2)
from vanbench.compare import Suite
print("begun", flush=True)
print(vanbench.run_suite(Suite(name="a", tasks=[task]), "out", NETWORKS, workers=2).made)
"""
scope: dict = {}
ROOT = Path(__file__).parents[1]
SOURCES = [path for package in ("exact", "neural", "compare") for path in (ROOT / package).rglob("*.py")]
exec(SCRIPT, scope)
Net = scope["Net"]


@pytest.fixture(scope="module")
def run():
    return track(build("east", 4), s=[0.1, 0.2], times=[0.5, 1.0], architecture=Net, tracker="tdvp")


def test_the_version_is_that_of_the_distribution():
    from importlib import metadata

    assert vanbench.__version__ == metadata.version("vanbench")


def test_a_class_and_a_network_do_what_a_name_does(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("net.py").write_text(SCRIPT)
    asked = {"s": 0.1, "times": 0.2, "quantities": "ln_Z", "tracker": "tdvp"}
    named = track(build("east", 3), architecture="net.py:Net", **asked).records
    torch.manual_seed(1)
    for given in (Net, Net((3,))):
        records = track(build("east", (3,)), architecture=given, out="folder", resume=False, **asked).records
        np.testing.assert_allclose(records.value, named.value, atol=1e-4)
    assert Path("folder/checkpoint.pt").is_file()


def test_a_network_that_is_given_keeps_its_weights():
    net = Net((3,))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    track(build("east", 3), s=0.1, times=0.2, architecture=net, tracker="tdvp")
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_errors_are_differences_from_the_exact_values(run):
    told = run.errors()
    exact = solve(build("east", 4), [0.1, 0.2], [0.5, 1.0], ["ln_Z", "density"])
    both = told.merge(exact, on=["quantity", "s", "t"], suffixes=("", "_exact"))
    assert len(both) == 8
    np.testing.assert_allclose(both.error, both.value - both.value_exact)
    ln_z = both[both.quantity == "ln_Z"]
    np.testing.assert_allclose(ln_z.relative_error, ln_z.error.abs() / ln_z.value_exact.abs())
    assert told.error.abs().max() < 1e-2
    assert len(run.errors(exact[exact.t == 1.0])) == 4
    with pytest.raises(InputError, match="the exact table has none"):
        run.errors(exact[exact.t == 7])


def test_pivot_has_a_row_a_time_and_a_column_a_field(run):
    table = run.pivot("ln_Z")
    assert table.shape == (2, 2)
    row = run.records.query("quantity == 'ln_Z' and s == 0.2 and t == 0.5")
    assert table.loc[0.5, 0.2] == row.value.item()
    assert run.pivot("ln_Z", "sampling_stderr").shape == (2, 2)
    with pytest.raises(InputError, match="did you mean 'ln_Z'"):
        run.pivot("lnZ")


def test_a_plot_has_points_for_networks_and_lines_for_exact_values(run):
    import matplotlib

    matplotlib.use("Agg")
    exact = solve(build("east", 4), [0.1, 0.2], [0.25, 0.5, 1.0], "ln_Z")
    ax = run.plot("ln_Z", exact)
    lines = [line for line in ax.get_lines() if len(line.get_xdata()) == 3]
    assert len(lines) == 2
    np.testing.assert_allclose(lines[0].get_ydata().astype(float), exact[exact.s == 0.1].value)
    points = [line for line in ax.get_lines() if len(line.get_xdata()) == 2]
    np.testing.assert_allclose(points[0].get_ydata().astype(float), run.pivot()[0.1])


def test_xarray_is_asked_for_in_one_sentence_where_it_is_missing(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(InputError, match=r"pip install 'vanbench\[arrays\]'"):
        run.to_xarray()


def test_as_xarray():
    pytest.importorskip("xarray")
    system = build("east", 3)
    run = track(system, [0.1, 0.2], 0.2, quantities=["ln_Z", "density_profile"], architecture=Net, tracker="tdvp")
    held = run.to_xarray()
    assert held["density_profile"].dims == ("s", "t", "site")
    assert float(held["ln_Z"].sel(s=0.2, t=0.2)) == run.pivot("ln_Z").loc[0.2, 0.2]


def test_texts_for_people_are_short(run):
    assert repr(build("east", 10)) == "System('east', 10, c=0.5, initial='stationary', boundary='up'; 10 terms)"
    assert len(repr(build("heisenberg", (2, 2)))) < 200
    assert len(repr(run)) < 300
    assert "<table" in run._repr_html_()


WRONG = {
    "a plain module's class": (lambda: track(build("east", 3), architecture=nn.Linear), "vanbench.wrap"),
    "a plain module": (lambda: track(build("east", 3), architecture=nn.Linear(3, 3)), "vanbench.wrap"),
    "no network": (lambda: track(build("east", 3), architecture=3), "architecture '3'"),
    "of another shape": (lambda: track(build("east", 3), architecture=Net((4,))), r"is for shape \(4,\)"),
    "options": (
        lambda: track(build("east", 3), architecture=Net((3,)), architecture_options={"width": 3}),
        "takes no options",
    ),
    "option": (
        lambda: track(build("east", 3), architecture=Net, architecture_options={"wdth": 3}),
        "did you mean 'width'",
    ),
    "a name for a system": (lambda: track("east"), "is no System"),
    "times": (lambda: track(build("east", 3), times="soon"), "times = 'soon'"),
    "s": (lambda: track(build("east", 3), s=None), "s must be one or more finite numbers"),
    "quantity": (lambda: track(build("east", 3), quantities="lnZ"), "did you mean 'ln_Z'"),
    "shape": (lambda: build("east", "4x4"), "shape '4x4'"),
    "no shape": (lambda: build("east", ()), "shape"),
    "half a site": (lambda: build("east", (2, 2.5)), "positive integer"),
    "true": (lambda: build("east", True), "positive integer"),
}


@pytest.mark.parametrize(("call", "told"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_one_sentence(call, told):
    with pytest.raises(InputError, match=told):
        call()


def test_a_folder_that_cannot_be_written_is_told_before_any_step(tmp_path):
    (tmp_path / "file").write_text("")
    steps = []
    with pytest.raises(InputError, match="takes no files"):
        track(build("east", 3), out=str(tmp_path / "file"), callbacks=[lambda moment: steps.append(moment)])
    assert not steps


def test_where_every_run_fails_it_is_an_exception(tmp_path):
    task = Task(
        name="t", system="east", shapes=[3], s=0.1, times=0.2, tracker="tdvp", budget={"cpu_seconds": 1e-9}, seeds=1
    )
    with pytest.raises(NothingMade, match="the one run failed; t 3 made #1: the budget") as told:
        run_suite(Suite(name="a", tasks=[task]), str(tmp_path / "out"), workers=1)
    assert told.value.summary.made == 0


def test_a_class_that_stands_in_no_file_is_refused(tmp_path):
    class Inner(Net):
        pass

    task = Task(name="t", system="east", shapes=[3], s=0.1, times=0.2)
    for network, told in ((Inner, "stands in no file"), (Net((3,)), "give the class")):
        with pytest.raises(InputError, match=told):
            run_suite(Suite(name="a", tasks=[task]), tmp_path, [network])


def script(folder: Path, text: str) -> subprocess.CompletedProcess:
    (folder / "script.py").write_text(text)
    return subprocess.run([sys.executable, "script.py"], cwd=folder, capture_output=True, text=True)


def test_processes_do_not_run_the_script_again(monkeypatch):
    from multiprocessing import spawn

    from vanbench.compare.run.pool import _no_script

    def scripts() -> set[str]:
        return {name for name in spawn.get_preparation_data("x") if name.startswith("init_main")}

    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None, raising=False)
    monkeypatch.setattr(sys.modules["__main__"], "__file__", "script.py", raising=False)
    assert scripts()
    with _no_script():
        assert not scripts()
    assert scripts()


def test_a_file_that_runs_a_suite_while_it_is_read_is_told(tmp_path):
    (tmp_path / "own.py").write_text(SCRIPT + RUNS.replace("NETWORKS", "[Net]"))
    with pytest.raises(InputError, match=r"own.py calls run_suite while it is read .* put the call under"):
        track(build("east", 3), architecture=f"{tmp_path / 'own.py'}:Net")


@pytest.mark.slow
def test_a_script_without_a_guard_runs_once(tmp_path):
    """Processes do not run it again."""
    done = script(tmp_path, SCRIPT + RUNS.replace("NETWORKS", "['bernoulli']"))
    assert done.stdout.split() == ["begun", "2"], done.stderr


@pytest.mark.slow
def test_a_script_that_gives_its_own_class_needs_a_guard_and_is_told(tmp_path):
    done = script(tmp_path, SCRIPT + RUNS.replace("NETWORKS", "[Net]"))
    assert "put the call under `if __name__ == '__main__':`" in done.stderr
    guarded = "\n    ".join(["\nif __name__ == '__main__':", *RUNS.replace("NETWORKS", "[Net]").splitlines()])
    done = script(tmp_path, SCRIPT + guarded)
    assert done.stdout.split() == ["begun", "2"], done.stderr


def test_mistakes_are_sentences():
    run = track(build("east", 3), 0.1, 0.1, architecture="bernoulli", tracker="log-ratio")
    for mistake, told in (
        (lambda: run.network(1), "from 0 to 0"),
        (lambda: solve("east"), "takes a System"),
        (lambda: track(build("east", 3), architecture="gru:width=4"), "options separately"),
        (lambda: vanbench.compare.evaluate(build("east", 3), nn.Linear(3, 3)), "vanbench.wrap"),
        (lambda: vanbench.compare.evaluate(build("east", 3), type(run.network())), "a trained network"),
    ):
        with pytest.raises(InputError, match=told):
            mistake()
    values = vanbench.compare.evaluate(build("east", 3), run.network(), s=0.1, times=0.1, quantities="density")
    assert set(values.quantity) >= {"density", "total_variation"}


def test_a_suite_takes_hyperparameters_in_a_name():
    from vanbench.compare.run.suite import declared

    assert declared("gru:width=4").label == "gru(width=4)"


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda run: run.errors("x"), "errors takes a table of vanbench.solve, no str"),
        (lambda run: run.errors(run.records[["s"]]), "has no column quantity"),
        (lambda run: run.plot("ln_Z", exact="x"), "plot takes a table"),
        (lambda run: track(build("east", 3), s=[0.1, 0.2, 0.1]), "s = 0.1 is given twice"),
        (lambda run: track(build("east", 3), resume=True), "give out="),
        (lambda run: Task(name="a", system="east", shapes=[3], s=0.1, times=[-1.0]), "^Task: times: .* be positive.$"),
        (lambda run: Task(name="a", system="east", shape=[3], s=0.1, times=1), "field of Task 'shape', did you mean"),
        (lambda run: Task(name="a", shapes=[3], s=0.1, times=1), "^Task: system: field required.$"),
        (lambda run: Task("a"), "by name"),
        (lambda run: Suite(name="a", tasks=[]), "^Suite: tasks: "),
    ],
)
def test_what_is_wrong_with_an_argument_is_one_sentence(run, call, says):
    with pytest.raises(InputError, match=says) as told:
        call(run)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("given", "tracker", "options"),
    [
        ({}, "tdvp", {}),
        ({"system": "tfim", "s": 0.0}, "tdvp", {"order": 4}),
        ({"architectures": "matrix-product"}, "tebd", {}),
        ({"architectures": ["made", "matrix-product"]}, "tdvp", {}),
        ({"tracker_options": {"epochs": 3}}, "kl", {"epochs": 3}),
        ({"tracker": "kl"}, "kl", {}),
    ],
)
def test_a_task_without_a_tracker_gets_the_one_that_fits(given, tracker, options):
    task = Task(**{"name": "a", "system": "east", "shapes": [4, 3], "s": 0.1, "times": 0.1, **given})
    assert (task.tracker, task.tracker_options) == (tracker, options)


def test_a_run_without_a_tracker_gets_the_one_that_fits():
    from vanbench.neural import build as network

    system = build("east", 3)
    for architecture in ("matrix-product", network("matrix-product", 3)):
        assert track(system, 0.1, 0.1, architecture=architecture).estimator == "tebd"
    assert track(system, 0.1, 0.1).estimator == "regression"


def test_the_signature_of_a_task_names_its_fields():
    """What a type checker sees, which is of no use at run time: the same names, in the file alone."""
    tree = ast.parse(Path(task_module.__file__).read_text())
    of_task = next(node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == "Task")
    (init,) = [node for node in ast.walk(of_task) if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    named = {argument.arg: default for argument, default in zip(init.args.kwonlyargs, init.args.kw_defaults)}
    assert set(named) == set(Task.model_fields)
    needed = {name for name, field in Task.model_fields.items() if field.is_required()}
    assert {name for name, default in named.items() if default is None} == needed


def test_every_optional_package_is_of_the_extra_that_messages_name():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for package, extra in EXTRAS.items():
        listed = [re.split(r"[>\[]", line)[0] for line in extras["optional-dependencies"][extra]]
        assert package in listed, package
    asked = {call for path in SOURCES for call in re.findall(r'\boptional\("(\w+)', path.read_text())}
    assert asked == set(EXTRAS) - {"equinox", "netket"}  # whose networks need none of their functions


def test_suites_tasks_and_records_are_short_and_tables_in_a_notebook(tmp_path):
    task = Task(name="a", system="east", shapes=3, s=0.1, times=0.1, quantities=["ln_Z", "density_profile"], seeds=1)
    assert repr(task) == "Task('a': east 3; made by tdvp; 1 seed)"
    suite = Suite(name="<b>", tasks=[task])
    assert repr(suite) == "Suite('<b>': 1 task, 1 run)"
    done = run_suite(suite, tmp_path, workers=1)
    assert repr(done) == f"Summary({str(tmp_path)!r}, 1 record made, 0 kept)"
    shown = done._repr_html_()
    assert "<table" in shown
    ((_, record),) = vanbench.records(tmp_path)
    assert "<td>density_profile</td>" in record._repr_html_()
    empty = Summary(tmp_path / "<i>")
    assert "<table" not in empty._repr_html_()
    assert "<i>" not in empty._repr_html_()
