"""Warnings of runs: each check fires where it must and not where it need not, and is told wherever the number is."""

from __future__ import annotations

import io
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import run
from example_records import example, folder_of

from vanbench.compare.judge import checks as compared
from vanbench.compare.judge.collect import collect, summarise
from vanbench.compare.judge.gate import gate, write_baseline
from vanbench.compare.run.record import Record, records
from vanbench.compare.show.report.page import write_report
from vanbench.compare.show.tables import render, table
from vanbench.compare.show.warned import grouped, marked, over_seeds
from vanbench.exact import build, solve
from vanbench.exact.warning import AccuracyWarning, RunWarning
from vanbench.neural import track
from vanbench.neural.run import checks
from vanbench.neural.run.log import RunLog

pytestmark = pytest.mark.usefixtures("undrawn")

EPS = 2.2e-16
QUICK = {"full_summation": False, "samples": 200, "dt": 0.1}
WARNED = RunWarning("effective samples", "few of the samples carry ln Z", None, 0.1, 0.7)


def kinds(found: list[RunWarning]) -> set[str]:
    return {one.kind for one in found}


# -- the checks themselves ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fires"),
    [
        (checks.against_sum(-1.0, 0.01, -1.049, EPS), False),  # 4.9 standard errors
        (checks.against_sum(-1.0, 0.01, -1.051, EPS), True),
        (checks.against_sum(-153.8, 0.0, 0.0, EPS), True),
        (checks.against_sum(-1.0, 0.0, -1.0 - 1e-12, EPS), False),  # rounding
        (checks.against_sum(-1.0, 0.0, -1.0 - 1e-5, 1.2e-7), False),  # of float32
        (checks.against_sum(float("nan"), 0.1, 0.0, EPS), False),  # told as not finite
        (checks.estimators(("a", 1.0, 0.03), ("b", 1.249, 0.04), EPS), False),  # joint: 0.05
        (checks.estimators(("a", 1.0, 0.03), ("b", 1.251, 0.04), EPS), True),
        (checks.loose(-2.0, -2.19, 0.0, 1), False),
        (checks.loose(-2.0, -2.21, 0.0, 1), True),
        (checks.loose(0.0, -0.99, 0.0, 100), False),
        (checks.loose(0.0, -1.01, 0.0, 100), True),
        (checks.few_effective(0.11), False),
        (checks.few_effective(0.09), True),
        (checks.eaten(1.0, 0.29, 1.0, 0.5), False),
        (checks.eaten(1.0, 0.31, 1.0, 0.5), True),
        (checks.eaten(1.0, 0.9, 1.0, 0.09), False),  # a steady state: all is left, of next to nothing
        (checks.eaten(1e-4, 1e-4, 1.0, 1.0), False),
    ],
)
def test_a_check_fires_beyond_its_limit(text: str, fires: bool) -> None:
    assert bool(text) is fires


def test_the_sum_holds_its_level() -> None:
    """Walks of 20 steps with the errors that they claim: none of 2000 is ever 5 of them off, any of them 8."""
    rng = np.random.default_rng(1)
    sigma = rng.uniform(0.5, 2.0, 20)
    walks, claimed = (rng.normal(size=(2000, 20)) * sigma).cumsum(1), np.sqrt(np.cumsum(sigma**2))
    assert not any(checks.against_sum(x, e, 0.0, EPS) for walk in walks for x, e in zip(walk, claimed))
    assert all(checks.against_sum(8 * error, error, 0.0, EPS) for error in claimed)


@pytest.mark.parametrize("order", [1, 2])
def test_good_runs_do_not_warn(order: int) -> None:
    """Standard errors of ``ln Z`` cover its distance from the sum for any seed, in both orders."""
    system, away = build("fa", (3,), c=0.3), []
    options = {**QUICK, "order": order, "iterations": 1}
    for seed in range(12):
        found = track(
            system, [0.3, -0.2], [0.3], quantities=["ln_Z"], architecture="bernoulli", tracker="natural-gradient",
            tracker_options=options, seed=seed,
        )  # fmt: skip
        assert found.warnings == []
        rows = found.records
        for s in (0.3, -0.2):
            here = rows[rows.s == s].set_index("quantity")
            away.append((here.value["ln_Z"] - here.value["ln_Z_summed"]) / here.sampling_stderr["ln_Z"])
    assert 0.5 < np.sqrt(np.mean(np.square(away))) < 1.5  # chi-squared of 24: 0.7 to 1.3 in 95 %


# -- runs --------------------------------------------------------------------------------------------------------------


def test_a_start_that_nothing_leaves_is_no_collapse() -> None:
    found = track(build("voter", (1,)), [0.1], [0.2], tracker="natural-gradient", tracker_options={"samples": 50})
    assert found.warnings == []


@pytest.mark.parametrize(("network", "eaten"), [("bernoulli", True), ("sitewise", False)])
def test_a_projection_that_eats_the_signal(network: str, eaten: bool) -> None:
    """FA at long times: the product network ends 7 % off, the other one 0.2 %."""
    found = track(
        build("fa", (5,), c=0.3), [0.3], [6.0], quantities=["ln_Z"], architecture=network, tracker="tdvp",
        tracker_options={"samples": 300},
    )  # fmt: skip
    assert ("projection" in kinds(found.warnings)) is eaten


@pytest.mark.parametrize(("t", "wrong"), [(4.0, False), (20.0, True)])
def test_a_bond_that_is_too_small(t: float, wrong: bool) -> None:
    """East 3x3: a bond of 2 is 0.2 % off at the first time, 2 % at the second, which the error estimate tells, too."""
    system = build("east", (3, 3), c=0.5)
    options = {"architecture": "matrix-product", "architecture_options": {"bond": 2}, "tracker": "tebd"}
    found = track(system, [0.3], [t], quantities=["ln_Z"], tracker_options={"measure": 10}, **options)
    exact = solve(system, 0.3, [t], ["ln_Z"]).value.iloc[0]
    assert bool(abs(found.records.value.iloc[0] / exact - 1) > 1e-2) is wrong
    assert kinds(found.warnings) == ({"bond", "error estimate"} if wrong else set())


def test_each_is_told_once_and_a_checkpoint_keeps_them() -> None:
    log = RunLog([0.1, 0.2])
    assert log.warn(WARNED)
    assert not log.warn(RunWarning("effective samples", "again", None, 0.1, 0.9))
    assert log.warn(RunWarning("effective samples", "of another field", None, 0.2, 0.9))
    stored = json.loads(json.dumps(log.to_dict()))
    assert RunLog.from_dict(stored).warnings == log.warnings
    del stored["warnings"]  # as checkpoints were before
    assert RunLog.from_dict(stored).warnings == []


def test_neighbours_warn_of_the_field_that_was_asked_for() -> None:
    """``activity`` trains two more networks at each ``s``."""
    with pytest.warns(AccuracyWarning):
        found = track(
            build("fa", (5,), c=0.3), [0.2], [6.0], quantities=["activity"], architecture="bernoulli", tracker="tdvp"
        )
    assert {one.s for one in found.warnings} <= {0.2, None}


def test_exact_vectors_show_what_a_projection_takes() -> None:
    row = {"quantity": "ln_Z", "s": 0.1, "t": 1.0, "stderr": 0.01, "exact": -1.0, "scheme": -1.02, "total": 0.0}
    system = build("east", (4,))

    def told(**changes: object) -> list[RunWarning]:
        frame = pd.DataFrame([{**row, "projection": 0.0, "network": 0.0, **changes}])
        return list(compared.projections(frame, system))

    assert told() == []
    assert told(projection=0.55) == []  # half of 1.02, and five standard errors
    assert kinds(told(projection=-0.57)) == {"projection"}
    assert kinds(told(projection=np.nan, network=0.57)) == {"projection"}
    assert kinds(told(projection=np.nan, network=np.nan, total=0.57)) == {"error"}  # as of imported values: not split
    assert told(quantity="density", scheme=0.5005, projection=0.4) == []  # from 0.5: nothing to follow
    assert kinds(told(quantity="density", scheme=0.7, projection=-0.2)) == {"projection"}
    assert told(quantity="activity", projection=9.0) == []  # where it starts is not known


# -- where they stand --------------------------------------------------------------------------------------------------


def test_where_a_warning_applies() -> None:
    row = {"quantity": "ln_Z", "s": 0.1, "t": 1.0}
    assert RunWarning("a", "b").applies(row)
    assert WARNED.applies(row)
    assert not WARNED.applies({**row, "t": 0.5})
    assert not WARNED.applies({**row, "s": 0.2})
    about = RunWarning("a", "b", "ln_Z")
    assert all(about.applies({**row, "quantity": name}) for name in ("ln_Z", "ln_Z:loss", "activity"))
    assert not about.applies({**row, "quantity": "density"})


def test_a_mark_a_kind() -> None:
    marks, below = marked(["a: one.", "", "a: two. | b: three."])
    assert marks == ["[1]", "", "[1,2]"]
    assert below == ["[1] a: one. (2 rows, of which this is the first)", "[2] b: three."]
    assert over_seeds(["a: one.", "", "a: two."]) == "a: one. (2 of 3 seeds)"
    assert grouped([("x", 1, WARNED), ("x", 2, WARNED)]) == [f"x (2 seeds): effective samples: {WARNED.sentence}"]


@pytest.fixture
def warned_of(tmp_path: Path) -> Path:
    folder = folder_of(tmp_path / "run", lengths=(4, 6))
    for path, record in records(folder):
        if record.run.shape == (4,) and record.run.replica < 2:
            record.warnings.append(WARNED)
            record.save(path)
    return folder


def test_records_keep_them(tmp_path: Path) -> None:
    record = example()
    record.warnings.append(WARNED)
    record.save(tmp_path / "new.json")
    assert Record.load(tmp_path / "new.json").warnings == [WARNED]
    content = json.loads((tmp_path / "new.json").read_text())
    assert content["warnings"] == [asdict(WARNED)]


def test_tables_mark_the_row(warned_of: Path) -> None:
    told = summarise(collect(warned_of)).set_index(["shape", "quantity", "t"]).warning
    assert told["4", "ln_Z", 1.0] == f"effective samples: {WARNED.sentence} (2 of 3 seeds)"
    assert told["4", "ln_Z", 0.5] == told["6", "ln_Z", 1.0] == ""
    found = table(warned_of)
    for form in ("md", "latex"):
        text = render(found, form)
        assert sum("[1]" in line for line in text.splitlines()) == 2  # the row, and the sentence
        assert f"warning [1] effective samples: {WARNED.sentence}" in text
    again = pd.read_csv(io.StringIO(render(found, "csv")))
    assert again.warning.notna().tolist() == [True, False]


def test_the_report_marks_the_row(warned_of: Path, tmp_path: Path) -> None:
    page = write_report(warned_of, tmp_path / "page.html").read_text()
    assert page.count(">[1]<") == 2  # of the last time, and of every time
    assert f"[1] effective samples: {WARNED.sentence}" in page
    assert "A warning [1]" in page


def test_the_gate_tells_them_and_does_not_fail(warned_of: Path, tmp_path: Path, capsys) -> None:
    write_baseline(warned_of, tmp_path / "b.json")
    verdict = gate(warned_of, tmp_path / "b.json")
    assert verdict.warnings == [f"example 4 made (2 seeds): effective samples: {WARNED.sentence}"]
    assert not verdict.failures
    assert not verdict.refusals
    assert run("gate", warned_of, "--baseline", tmp_path / "b.json", "--format", "json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["warnings"] == verdict.warnings
    assert err.count("few of the samples") == 1


LONG_STEPS = ["track", "free", "--shape", "6", "--s", "2", "--times", "0.5", "--dt", "0.5", "--samples", "50"]
LONG_STEPS += ["--tracker", "natural-gradient", "--tracker-option", "order=1"]


def test_track_tells_them_also_where_it_is_quiet(tmp_path: Path, capsys) -> None:
    assert run(*LONG_STEPS, "--out", tmp_path, "-q", "--format", "json") == 0
    out, err = capsys.readouterr()
    told = json.loads(out)["warnings"]
    ((_, record),) = records(tmp_path)
    assert [asdict(one) for one in record.warnings] == told
    assert "negative targets" in {one["kind"] for one in told}
    for one in told:
        assert err.count(one["text"]) == 1
    assert "━" not in err  # no bar
    assert run(*LONG_STEPS, "--out", tmp_path, "-q") == 0  # shown again
    out, err = capsys.readouterr()
    assert "[1" in out
    assert "warning [1] " in out
    assert "warning: " in err
    assert "already finished" in err
    assert run(*LONG_STEPS, "--out", tmp_path, "-q", "--format", "csv") == 0
    frame = pd.read_csv(io.StringIO(capsys.readouterr().out))
    assert frame[frame.quantity == "ln_Z"].warning.str.contains("clamped as published").all()


def test_a_healthy_track_says_nothing(tmp_path: Path, capsys) -> None:
    command = ["track", "east", "--shape", "3", "--s", "0.1", "--times", "0.1", "--tracker", "natural-gradient"]
    assert run(*command, "--samples", "100", "--out", tmp_path, "-q", "--format", "json") == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["warnings"] == []
    assert err == ""


SUITE = """
[[tasks]]
name = "long"
system = "free"
shapes = [[6]]
s = [2.0]
times = [0.5]
architectures = ["bernoulli"]
tracker = "natural-gradient"
tracker_options = {dt = 0.5, order = 1, samples = 50}
seeds = 2
"""


@pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.slow)])  # processes start in seconds
def test_runs_tell_them_once_whatever_process_they_are_in(jobs: int, tmp_path: Path, capsys) -> None:
    (tmp_path / "s.toml").write_text(SUITE)
    assert run("run", tmp_path / "s.toml", "--out", tmp_path / "out", "-j", jobs, "-q") == 0
    out, err = capsys.readouterr()
    for _, record in records(tmp_path / "out"):
        assert "negative targets" in kinds(record.warnings)
    assert err.count("warning: long 6 bernoulli (2 seeds): negative targets: ") == 1
    assert "warning [1] " in out


def test_a_run_that_ends_early_tells_them(tmp_path: Path, capsys) -> None:
    two_steps = SUITE.replace("times = [0.5]", "times = [0.5, 1.0]")  # what is left undone after the first
    (tmp_path / "s.toml").write_text(two_steps + "budget = {seconds = 1e-9}\n")
    assert run("run", tmp_path / "s.toml", "--out", tmp_path / "out", "-j", "1", "-q") == 5
    assert "warning: long 6 bernoulli (2 seeds): negative targets: " in capsys.readouterr().err


def test_exact_tells_what_it_has_no_value_for(capsys) -> None:
    """The Euler scheme is unstable at one of the two fields."""
    command = ["exact", "fa", "--shape", "4", "--s=0.1,-1", "--scheme", "euler", "--dt", "0.3", "--times", "0.3"]
    assert run(*command, "--quantities", "ln_Z,scgf", "--format", "json", "-q") == 0
    out, err = capsys.readouterr()
    (told,) = json.loads(out)["warnings"]
    assert (told["kind"], told["quantity"], told["s"]) == ("note", "ln_Z", -1.0)
    assert err.count("unstable") == 1


NOTED = {  # what a note of a row with a value says
    "degenerate": ["voter", "--shape", "3", "--quantities", "gap"],
    "tolerance allows": ["asep", "--shape", "4", "--times", "0.4", "--quantities", "ln_Z", "--s=-2",
                         "--method", "mps", "--bond", "2"],
    "no clone has moved": ["east", "--shape", "2", "-p", "c=1e-9", "--initial", "down", "--s", "0.3",
                           "--times", "0.01", "--method", "cloning", "--clones", "400"],
    "all samples are equal": ["ising", "--shape", "4x4", "--temperatures", "0.01", "--method", "montecarlo",
                              "--quantities", "energy"],
}  # fmt: skip


@pytest.mark.parametrize("note", NOTED)
def test_notes_of_values_are_warnings(note, capsys) -> None:
    command = ["exact", *NOTED[note], "-q", "--format"]
    assert run(*command, "json") == 0
    out, err = capsys.readouterr()
    assert all(note in warning["text"] for warning in json.loads(out)["warnings"])
    assert json.loads(out)["warnings"]
    assert note in err
    assert run(*command, "table") == 0
    out, err = capsys.readouterr()
    assert note.split()[0] in out
    assert note in err


def test_a_prediction_from_few_draws_is_doubtful() -> None:
    from vanbench.compare.learn.ising.predict import Sampling, doubts

    frame = pd.DataFrame({"quantity": ["energy"] * 2, "T": [1.0, 3.0], "value": [0.0] * 2, "quality": [99.0, 101.0]})
    assert list(doubts(frame, Sampling())) == [1.0]
    frame["quality"] = [0.06, 0.07]  # of 150 steps: 9 and 10.5 moves
    assert list(doubts(frame, Sampling(method="chains"))) == [1.0]


def test_pytest_shows_them() -> None:
    from types import SimpleNamespace

    from vanbench.compare.pytest_plugin import WARNING, pytest_terminal_summary

    lines: list[str] = []
    report = SimpleNamespace(user_properties=[(WARNING, "one"), ("vanbench", "{}")])
    reporter = SimpleNamespace(stats={"passed": [report, report]}, section=lines.append, write_line=lines.append)
    pytest_terminal_summary(reporter)  # type: ignore[arg-type]
    assert lines == ["vanbench warnings", "one"]


@pytest.mark.parametrize(("apart", "told"), [(0.0, 0), (0.02, 0), (0.3, 1)])
def test_estimators_that_disagree(apart: float, told: int) -> None:
    """Two estimators of the same steps, each with a standard error of 0.01; five of both together are 0.07."""
    log = RunLog([0.1], default="mean")
    log.ln_z = {"mean": np.array([-1.0]), "importance": np.array([-1.0 - apart])}
    log.covariance = {name: np.array([[1e-4]]) for name in log.ln_z}
    warned = list(checks.of_report(log, [0.1], 1e-16))
    assert [one.kind for one in warned] == ["estimators"] * told
    for one in warned:
        assert "-1 ± 0.01 by mean" in one.text
        assert "-1.3 ± 0.01 by importance" in one.text
