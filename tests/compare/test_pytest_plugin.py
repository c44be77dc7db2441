"""The pytest plugin, run as its users run it: one test a task, regressions apart from what could not be judged."""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from importlib.metadata import entry_points
from pathlib import Path
from types import SimpleNamespace

import pytest

from vanbench.compare import pytest_plugin
from vanbench.compare.judge.gate import write_baseline
from vanbench.compare.run.stored import read_json
from vanbench.compare.run.suite import run_suite
from vanbench.exact.files import write_json

SUITE = """
version = 1
[defaults]
s = [0.5]
times = [0.2]
quantities = ["ln_Z", "distribution"]
architectures = ["bernoulli"]
tracker_defaults = 1
tracker_options = {dt = 0.1, samples = 500, epochs = 20, first_epochs = 20, learning_rate = 0.01}
seeds = 6
[[tasks]]
name = "east"
system = "east"
shapes = [[3]]
[[tasks]]
name = "fa"
system = "fa"
shapes = [[3]]
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a suite, its baseline, and one in which every error of task ``fa`` is a hundredth of what it is."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "mine.toml").write_text(SUITE)
    run_suite(str(folder / "mine.toml"), folder / "first", workers=1)
    write_baseline(folder / "first", folder / "baseline.json")
    better = read_json(folder / "baseline.json")
    for case in better["cases"]:
        if case["task"] == "fa":
            case["error"], case["sigma"] = case["error"] / 100, 0.0
    write_json(folder / "better.json", better)
    return folder


INSTALLED = "vanbench" in {entry.name for entry in entry_points(group="pytest11")}  # else an older installation
OPTIONS = ["-p", "no:cacheprovider", "--rootdir", ".", "-c", "/dev/null", "--vanbench-jobs", "1"]
OPTIONS += [] if INSTALLED else ["-p", "vanbench.compare.pytest_plugin"]


def call(place: Path, *arguments: str) -> SimpleNamespace:
    """A pytest inside this one: an interpreter that imports torch takes seconds."""
    out, err, path = io.StringIO(), io.StringIO(), list(sys.path)
    try:
        with contextlib.chdir(place), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = pytest.main([*OPTIONS, *arguments])
    finally:
        sys.path[:] = path
    return SimpleNamespace(returncode=int(status), stdout=out.getvalue(), stderr=err.getvalue())


def test_unchanged_networks_pass_one_test_a_task(place: Path) -> None:
    """The same seed gives the same errors, to the last digit that is reported."""
    options = ("--vanbench-baseline", "baseline.json", "--junitxml", "junit.xml", "--vanbench-summary", "summary.md")
    done = call(place, "--vanbench-suite", "mine.toml", *options, "-v")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "2 passed" in done.stdout
    cases = ElementTree.parse(place / "junit.xml").getroot().iter("testcase")
    assert {case.get("name") for case in cases} == {"east", "fa"}
    summary = (place / "summary.md").read_text()
    assert "| east | no worse |" in summary
    line = next(line for line in summary.splitlines() if "ln_Z network" in line)
    baseline, now = line.split(" | ")[3:5]
    assert baseline == now
    assert float(now) > 0


def test_a_regression_is_a_failure(place: Path) -> None:
    options = ("--vanbench-baseline", "better.json", "--junitxml", "worse.xml", "--vanbench-out", "first")
    done = call(place, "--vanbench-suite", "mine.toml", *options, "--vanbench-summary", "worse.md")
    assert done.returncode == 1
    assert "1 failed, 1 passed" in done.stdout
    assert "worse: fa 3 bernoulli distribution" in done.stdout
    assert "Traceback" not in done.stdout
    root = ElementTree.parse(place / "worse.xml").getroot()
    assert [case.get("name") for case in root.iter("testcase") if case.find("failure") is not None] == ["fa"]
    assert "| fa | regression |" in (place / "worse.md").read_text()


def test_a_task_without_a_network_is_judged(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its records bear the tracker's name. Without a folder for them, none is left behind."""
    table = SUITE.split("[[tasks]]")[0].split("tracker_options")[0]
    task = '[[tasks]]\nname = "walkers"\nsystem = "east"\nshapes = [[3]]\ntracker = "clones"\n'
    options = "tracker_options = {dt = 0.1, clones = 200}\nseeds = 3\n"
    (place / "clones.toml").write_text(table.replace('architectures = ["bernoulli"]\n', "") + task + options)
    run_suite(str(place / "clones.toml"), place / "walked", workers=1)
    write_baseline(place / "walked", place / "walkers.json")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    done = call(place, "--vanbench-suite", "clones.toml", "--vanbench-baseline", "walkers.json")
    assert "1 passed" in done.stdout, done.stdout
    assert not list(tmp_path.glob("vanbench-*"))
    better = read_json(place / "walkers.json")
    for case in better["cases"]:
        case["error"], case["sigma"] = case["error"] / 1000, 0.0
    write_json(place / "walkers.json", better)
    options = ("--vanbench-baseline", "walkers.json", "--vanbench-out", "walked")
    assert call(place, "--vanbench-suite", "clones.toml", *options).returncode == 1


@pytest.mark.slow
def test_what_cannot_be_judged_is_an_error(place: Path) -> None:
    (place / "my_networks.py").write_text(
        "from vanbench.neural import Autoregressive\n"
        "class Crashes(Autoregressive):\n"
        "    def logits(self, x):\n"
        "        return x.new_zeros(*x.shape, 2, dtype=self.site_bias.dtype)\n"
        "    def draw(self, uniforms):\n"
        "        raise RuntimeError('out of order')\n"
        "    def zero_output(self):\n"
        "        pass\n"
    )
    crash = call(place, "--vanbench-suite", "mine.toml", "--vanbench-architecture", "my_networks:Crashes", "-k", "east")
    assert crash.returncode == 1
    assert "1 error" in crash.stdout
    assert "crash: " in crash.stdout
    assert "out of order" in crash.stdout
    other = ("--vanbench-architecture", "table", "--vanbench-baseline", "baseline.json")
    unknown = call(place, "--vanbench-suite", "mine.toml", *other, "-k", "east", "--vanbench-summary", "unknown.md")
    assert unknown.returncode == 1
    assert "1 error" in unknown.stdout
    assert "no case of task east with this network" in unknown.stdout.replace("\n", " ")
    assert "CallInfo" not in unknown.stdout  # nothing of pytest's inside
    assert "| east | no verdict: cannot compare: the baseline" in (place / "unknown.md").read_text()
    missing = call(place, "--vanbench-suite", "no-such-suite")
    assert missing.returncode == 4  # pytest's own: usage
    assert "unknown suite" in missing.stderr


@pytest.mark.slow
def test_fixture_and_one_own_test(place: Path) -> None:
    (place / "test_own.py").write_text(
        "def test_accuracy(vanbench_run):\n"
        "    found = vanbench_run('mine.toml', seed=3)\n"
        "    again = vanbench_run('mine.toml', seed=3)\n"
        "    assert found.equals(again)\n"
        "    assert set(found.task) == {'east', 'fa'}\n"
        "    assert found[found.quantity == 'ln_Z'].error.max() < 0.5\n"
    )
    done = call(place, "test_own.py")
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout
    both = call(place, "test_own.py", "--vanbench-suite", "mine.toml", "--vanbench-out", "first")
    assert "3 passed" in both.stdout


def test_silent_where_it_is_not_asked(place: Path) -> None:
    """Loaded in every project: it must add no test, and import nothing heavy."""
    (place / "test_light.py").write_text(
        "import sys\ndef test_light():\n    assert not {'torch', 'pandas', 'numba'} & sys.modules.keys()\n"
    )
    command = [sys.executable, "-m", "pytest", *OPTIONS, "test_light.py"]
    done = subprocess.run(command, cwd=place, capture_output=True, text=True)
    assert "1 passed" in done.stdout, done.stdout


EVIL = "a|b \x1b[31m\u202e<img src=x onerror=e> [x](javascript:y) # =1+1"


def test_evil_text_in_the_terminal_and_on_the_page(place: Path) -> None:
    """As an error message of somebody's network has it."""
    code = "from vanbench.neural import Autoregressive\n\nclass Net(Autoregressive):\n"
    code += f"    def __init__(self, *shape, **options):\n        raise RuntimeError({EVIL!r})\n"
    (place / "evil.py").write_text(code)
    options = ("--vanbench-architecture", "evil.py:Net", "--vanbench-summary", "evil.md")
    done = call(place, "--vanbench-suite", "mine.toml", *options)
    assert "a|b" in done.stdout
    page = (place / "evil.md").read_text()
    for text in (done.stdout, done.stderr, page):
        assert not set(text) & set("\x1b\u202e")
    told = [line for line in page.splitlines() if "img" in line]
    assert told
    for line in told:
        assert "\\<img" in line
        assert "\\](javascript" in line
        assert line.replace("\\|", "").count("|") == 3  # a row of two cells


def test_evil_warnings_in_the_terminal_and_on_the_page(tmp_path: Path) -> None:
    report = SimpleNamespace(
        nodeid="vanbench::task", when="call", failed=False, user_properties=[(pytest_plugin.WARNING, f"x\n{EVIL}")]
    )
    lines: list[str] = []
    terminal = SimpleNamespace(stats={"passed": [report]}, section=lines.append, write_line=lines.append)
    pytest_plugin.pytest_terminal_summary(terminal)  # type: ignore[arg-type]
    summary = pytest_plugin._Summary(tmp_path / "page.md")
    summary.pytest_runtest_logreport(report)  # type: ignore[arg-type]
    summary.pytest_sessionfinish(SimpleNamespace(config=None))  # type: ignore[arg-type]
    page = (tmp_path / "page.md").read_text()
    assert not set("".join(lines) + page) & set("\x1b\u202e")
    assert all("\n" not in line for line in lines)
    assert "<img" not in page.replace("\\<img", "")
