"""A pytest plugin: ``pytest --vanbench-suite ci --vanbench-architecture made --vanbench-baseline FILE``.

Each task is a test. It fails if an error is worse than the baseline's (a regression), and is an error if there is no
verdict (a crash, bad input, nothing to compare with), so JUnit tells the two apart. Without ``--vanbench-baseline`` a
task passes when every run ends with finite numbers. If pytest is given no path, only these tests run. The fixture
``vanbench_run`` runs a suite or a task inside a user's test.

Nothing heavy is imported before it is used: pytest loads this file in every project of the environment.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import pandas as pd

    from vanbench.compare.declare.task import Architecture, Suite, Task

PROPERTY = "vanbench"  # of a test report: one case as JSON, for JUnit and the summary
WARNING = "vanbench-warning"  # likewise: a sentence on a number that may be wrong
COLUMNS = ("task", "verdict", "case", "baseline", "now", "allowed", "sees doubling", "seeds needed")


class NoVerdict(pytest.fail.Exception):  # type: ignore[name-defined]
    """The task was not judged: a crash, bad input, or nothing to compare with."""

    def __init__(self, told: str):
        from vanbench.compare.show.escape import visible

        super().__init__(visible(told), pytrace=False)  # a traceback through pytest would not help


class Regression(Exception):
    """An error is worse than the baseline's."""


def pytest_addoption(parser: pytest.Parser) -> None:
    group = parser.getgroup("vanbench", "vanbench: accuracy of neural networks against exact solutions")
    add = group.addoption
    add("--vanbench-suite", metavar="SUITE", help="Run each task of this suite (a name, or FILE.toml) as a test.")
    add("--vanbench-architecture", metavar="NAME", help="Replaces the suite's networks: a name, or my.module:MyNet.")
    add(
        "--vanbench-architecture-option",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="A hyperparameter of that network.",
    )
    add("--vanbench-baseline", metavar="FILE", help="Fail where an error is worse than in this stored baseline.")
    add("--vanbench-out", metavar="DIR", help="Folder of the records; runs recorded there are not repeated.")
    add(
        "--vanbench-seed", metavar="N", type=int, default=1, help="Seed from which all runs' seeds derive (default: 1)."
    )
    add("--vanbench-jobs", metavar="N", type=int, help="Number of parallel processes (default: one per core).")
    add("--vanbench-summary", metavar="FILE.md", help="Write a Markdown summary, for example for $GITHUB_STEP_SUMMARY.")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--vanbench-suite") is None:
        return
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())  # a user's own my_package.my_module:MyNet
    if config.args_source is not pytest.Config.ArgsSource.ARGS:
        config.args = []  # no path was given: only the tasks
    if config.getoption("--vanbench-summary"):
        config.pluginmanager.register(_Summary(Path(config.getoption("--vanbench-summary"))), "vanbench-summary")


@pytest.hookimpl(tryfirst=True)  # so that -k and -m choose among the tasks as well
def pytest_collection_modifyitems(session: pytest.Session, config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--vanbench-suite") is None:
        return
    from vanbench.compare.declare.task import load_suite
    from vanbench.compare.show.escape import printable
    from vanbench.exact import InputError

    try:
        suite = load_suite(config.getoption("--vanbench-suite"))
    except InputError as error:
        raise pytest.UsageError(printable(error)) from None
    parent = _Suite.from_parent(session, name=f"vanbench[{suite.name}]", nodeid=f"vanbench::{suite.name}")
    items += [TaskItem.from_parent(parent, name=task.name, task=task) for task in suite.tasks]


class _Suite(pytest.Collector):
    def collect(self) -> Iterator[pytest.Item]:
        return iter(())


class TaskItem(pytest.Item):
    """All runs of one task, judged against the baseline."""

    def __init__(self, *, task: Task, **arguments: Any):
        super().__init__(**arguments)
        self.task = task
        self.verdict: Any = None

    def setup(self) -> None:
        """Run and judge the task: what fails here is an error of the test, not a regression."""
        runner = _runner(self.config)
        runner.run(self.task)
        baseline = self.config.getoption("--vanbench-baseline")
        self.verdict = runner.judge(self.task, None if baseline is None else Path(baseline))
        for line in self.verdict.lines:
            self.user_properties.append((PROPERTY, json.dumps({"task": self.task.name, **_rounded(line)})))
        self.user_properties += [(WARNING, text) for text in self.verdict.warnings]
        if self.verdict.refusals:
            raise NoVerdict("cannot compare: " + "\n".join(self.verdict.refusals))

    def runtest(self) -> None:
        if self.verdict.failures:
            raise Regression("\n".join(f"worse: {text}" for text in self.verdict.failures))

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        if isinstance(excinfo.value, NoVerdict | Regression):
            from vanbench.compare.show.escape import visible

            return visible(str(excinfo.value))
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, None, str]:
        return self.path, None, f"vanbench task {self.task.name}"


class _Runner:
    """Runs tasks into one folder, with the options of this pytest call."""

    def __init__(self, config: pytest.Config, out: Path):
        self.out = out
        self.config = config

    def run(self, task: Task | Suite, architecture: str | None = None, seed: int | None = None, **options: Any) -> Path:
        """The folder with the records of ``task``. Raises ``NoVerdict`` for a run that left none."""
        from vanbench.compare.declare.task import Architecture, Suite
        from vanbench.compare.run.suite import NothingMade, run_suite
        from vanbench.exact import InputError

        option = self.config.getoption
        suite = task if isinstance(task, Suite) else Suite(name=task.name, tasks=[task])
        seed = option("--vanbench-seed") if seed is None else seed
        try:
            own = [Architecture(name=architecture, options=options)] if architecture else None
            networks = own or self.networks()
            done = run_suite(suite, self.out, networks, seed, option("--vanbench-jobs"))
        except NothingMade as nothing:
            done = nothing.summary
        except InputError as error:
            raise NoVerdict(f"bad input: {error}") from None
        if done.failures:
            first = done.failures[0]
            word = "crash" if first.crash else "no record"
            raise NoVerdict(f"{word}: {first.job.label}: {first.failure}\n{first.crash or ''}".rstrip())
        return self.out

    def networks(self) -> list[Architecture] | None:
        """The networks of --vanbench-architecture; None for the suite's own."""
        from vanbench.compare.declare.task import Architecture
        from vanbench.exact import InputError

        name = self.config.getoption("--vanbench-architecture")
        given = self.config.getoption("--vanbench-architecture-option")
        if given and name is None:
            raise InputError("--vanbench-architecture-option needs --vanbench-architecture.")
        return [Architecture.of(name, given)] if name else None

    def judge(self, task: Task, baseline: Path | None) -> Any:
        """The gate's ``Verdict`` on this task alone; without a baseline only values that are not finite fail."""
        from vanbench.compare.judge import gate as gates
        from vanbench.compare.run.record import FOLDER
        from vanbench.exact import InputError

        folder = self.out / FOLDER / task.name
        try:
            if baseline is None:
                lines = [{"case": gates.label(case), "now": case["error"]} for case in gates.cases(folder)]
                return gates.Verdict(lines=lines, failures=gates.not_finite(folder), warnings=gates.warned(folder))
            labels = {network.label for network in self.networks() or task.architectures}
            labels.add(task.method)  # of records without a network
            verdict = gates.gate(
                folder, baseline, only=lambda case: case["task"] == task.name and case["architecture"] in labels
            )
        except InputError as error:
            raise NoVerdict(f"cannot compare: {error}") from None
        verdicts = {line["verdict"] for line in verdict.lines}
        if verdicts == {"new", gates.TOO_FEW} or verdicts == {gates.TOO_FEW}:
            verdict.refusals += verdict.cautions
        if verdicts <= {"new"} and not (verdict.failures or verdict.refusals):
            verdict.refusals.append(
                f"the baseline {str(baseline)!r} has no case of task {task.name} with this network: `vanbench gate DIR "
                f"--write {baseline}` replaces it by the cases of a folder DIR that holds all of its runs."
            )
        return verdict


_RUNNER = pytest.StashKey[_Runner]()


def _runner(config: pytest.Config) -> _Runner:
    if _RUNNER not in config.stash:
        import tempfile

        from vanbench.compare.run.suite import require_empty_or_run_folder
        from vanbench.exact import InputError

        given = config.getoption("--vanbench-out")
        if given is None:
            temporary = tempfile.TemporaryDirectory(prefix="vanbench-")
            config.add_cleanup(temporary.cleanup)
        out = Path(given or temporary.name)
        try:
            require_empty_or_run_folder(out)
        except InputError as error:
            raise NoVerdict(f"bad input: {error}") from None
        config.stash[_RUNNER] = _Runner(config, out)
    return config.stash[_RUNNER]


@pytest.fixture(scope="session")
def vanbench_run(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., pd.DataFrame]:
    """``vanbench_run(suite, architecture=None, seed=None, **options) -> DataFrame``: runs it and returns the summary.

    ``suite``: a name, FILE.toml, a ``Suite`` or a ``Task``. One row for each task, network, shape, quantity, s and t,
    averaged over seeds, with ``error`` and its parts (the columns of ``judge.collect.summarise``). The same call twice
    runs once.
    """
    from vanbench.compare.declare.task import load_suite
    from vanbench.compare.judge.collect import collect, summarise

    kept: dict[str, Path] = {}

    def run(suite: str | Suite | Task, architecture: str | None = None, seed: int | None = None, **options: Any) -> Any:
        declared = load_suite(suite) if isinstance(suite, str) else suite
        key = json.dumps([declared.model_dump(mode="json"), architecture, seed, options], sort_keys=True, default=str)
        if key not in kept:
            kept[key] = tmp_path_factory.mktemp("vanbench")
        folder = _Runner(request.config, kept[key]).run(declared, architecture, seed, **options)
        return summarise(collect(folder))

    return run


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [entry for several in terminalreporter.stats.values() for entry in several]
    told = dict.fromkeys(text for report in reports for text in _warnings(report))
    if told:
        terminalreporter.section("vanbench warnings")
    for text in told:
        terminalreporter.write_line(text)


def _warnings(report: Any) -> list[str]:
    from vanbench.compare.show.escape import printable

    return [printable(value) for name, value in getattr(report, "user_properties", ()) if name == WARNING]


class _Summary:
    """Gathers what the tests report (from the workers of pytest-xdist too) and writes one Markdown page."""

    def __init__(self, path: Path):
        self.path = path
        self.rows: dict[tuple[str, str], dict[str, Any]] = {}
        self.outcomes: dict[str, str] = {}
        self.warnings: dict[str, None] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        cases = [json.loads(str(value)) for name, value in report.user_properties if name == PROPERTY]
        if report.nodeid.startswith("vanbench::"):
            word = {"setup": "no verdict", "call": "regression"}.get(report.when or "", "no verdict")
            if report.failed or report.when == "call":
                name = report.nodeid.split("::")[-1]
                self.outcomes[name] = word if report.failed else "no worse"
                if report.failed and report.when == "setup":
                    self.outcomes[name] += ": " + report.longreprtext.splitlines()[0]
        self.warnings.update(dict.fromkeys(_warnings(report)))
        self.rows.update({(case["task"], case["case"]): case for case in cases})

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if hasattr(session.config, "workerinput"):  # pytest-xdist: the controller writes
            return
        from vanbench.compare.show.pages import page

        names = {"sees doubling": "power", "seeds needed": "needed"}
        rows = [[row.get(names.get(name, name)) for name in COLUMNS] for row in self.rows.values()]
        told = {"outcomes": self.outcomes, "headings": COLUMNS, "rows": rows, "warnings": list(self.warnings)}
        text = page(__file__, "pytest_summary.md.j2", **told)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:  # several steps may write into one page
            file.write(text)


def _rounded(line: dict[str, Any]) -> dict[str, Any]:
    """Round to twelve digits, on which two machines of one kind agree."""
    return {key: float(f"{item:.12g}") if isinstance(item, float) else item for key, item in line.items()}
