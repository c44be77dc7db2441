"""The standing table: ranks that follow from the errors, submissions that are judged anew, a page of both."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vanbench.compare.declare.task import Suite, load_suite
from vanbench.compare.run.record import Record
from vanbench.compare.studies.standing import board, page, submissions
from vanbench.exact import InputError


def ranked(errors: dict[str, list[list[float]]]) -> pd.DataFrame:
    """Rows as of `board.cases`: for each contestant the errors of its seeds, case by case."""
    rows = []
    for contestant, by_case in errors.items():
        for case, seeds in enumerate(by_case):
            asked = {"question": "q", "shape": str(4 + case), "s": 0.1, "task": "t", "n_sites": 4 + case}
            rows += [{**asked, "contestant": contestant, "error": e, "cpu_s": 1.0, "parameters": 9} for e in seeds]
    return pd.DataFrame(rows)


def test_the_rank_is_the_median_ratio_to_the_best_of_each_case():
    table = board.leaderboard(
        ranked({"a": [[1e-3] * 3, [4e-3] * 3, [1e-3] * 3], "b": [[2e-3] * 3, [2e-3] * 3, [9e-3] * 3]})
    )
    assert list(table.contestant) == ["a", "b"]
    assert list(table.relative) == pytest.approx([1.0, 2.0])  # ratios 1, 2, 1 and 2, 1, 9
    assert list(table.low) == pytest.approx(list(table.relative))  # seeds that agree leave no interval
    assert list(table.solved) == [3, 3]


def test_what_is_not_finished_counts_as_infinitely_worse():
    table = board.leaderboard(ranked({"a": [[1e-3, 1e-3, np.nan], [1e-3] * 3, [np.nan] * 3], "b": [[2e-3] * 3] * 3}))
    of = table.set_index("contestant")
    assert of.solved.to_dict() == {"a": 1, "b": 3}
    assert np.isinf(of.relative["a"])
    assert of.relative["b"] == pytest.approx(1.0)  # ratios 1, 2, 1
    told = board.advice(ranked({"a": [[1e-3, np.nan]], "b": [[2e-3, 2e-3]]}))
    assert list(told.best) == ["b"]


def test_a_contestant_is_measured_where_it_entered():
    table = board.leaderboard(ranked({"a": [[1e-3], [1e-3]], "b": [[3e-3]]})).set_index("contestant")
    assert table.asked.to_dict() == {"a": 2, "b": 1}
    assert table.relative["b"] == pytest.approx(3.0)


def test_fewer_than_three_seeds_give_no_interval():
    """Not in a case where only the best has one, either: the ratio is to it."""
    table = board.leaderboard(ranked({"a": [[1e-3], [1e-3] * 3], "b": [[2e-3] * 3, [2e-3] * 3]})).set_index(
        "contestant"
    )
    assert table[["low", "high"]].isna().all(axis=None)
    assert table.relative["b"] == pytest.approx(2.0)


@pytest.mark.slow
def test_the_interval_covers_the_ratio_of_the_means():
    """Two contestants, one case: the ratio of means of lognormal seeds; 95 % of the intervals are to hold it, and with
    eight seeds the bootstrap's hold it in somewhat fewer (seen: 0.88)."""
    rng = np.random.default_rng(3)
    held, trials = 0, 40
    for _ in range(trials):
        a, b = np.exp(0.3 * rng.standard_normal((2, 8)))
        table = board.leaderboard(ranked({"a": [list(a)], "b": [list(3 * b)]})).set_index("contestant")
        held += table.low["b"] <= 3.0 <= table.high["b"]
    assert held / trials >= 0.75


def test_every_task_is_declared_for_at_least_four_sizes_and_three_seeds():
    suite = load_suite(submissions.SUITE)
    assert len({task.description for task in suite.tasks}) >= 4
    assert all(len(task.shapes) >= 4 and task.seeds >= 3 and task.climbs for task in suite.tasks)
    assert all(task.budget.cpu_seconds for task in suite.tasks)


@pytest.fixture
def answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the records of a small suite in the place of the standing one."""
    from vanbench.compare import run_suite

    task = {
        "name": "few", "system": "east", "s": [0.1], "times": [0.1], "shapes": [3, 4, 5], "seeds": 1,
        "tracker": "tdvp", "reference": "auto", "description": "chains", "architectures": ["bernoulli", "made"],
    }  # fmt: skip
    suite = Suite.model_validate({"name": "standing", "tasks": [task]})
    monkeypatch.setattr(submissions, "load_suite", lambda name: suite)
    monkeypatch.setattr(page, "load_suite", lambda name: suite)
    run_suite(suite, tmp_path / "runs", workers=1)
    return tmp_path


def test_a_submission_is_judged_anew_and_enters_once(answered: Path):
    home = answered / "home"
    for path in (answered / "runs" / "records").rglob("*.json"):  # whatever a record says of its own errors
        content = json.loads(path.read_text())
        content["errors"]["error"] = [0.0 for _ in content["errors"]["error"]]
        content["errors"]["exact"] = content["errors"]["value"]
        path.write_text(json.dumps(content))
    assert submissions.add([answered / "runs"], home) == (6, 0)
    table = submissions.stored(home)
    assert (table.error > 0).all()
    assert table.exact.nunique() == 3
    before = (home / submissions.TABLE).read_bytes()
    assert submissions.add([answered / "runs"], home) == (0, 6)
    assert (home / submissions.TABLE).read_bytes() == before
    text = page.write(home).read_text()
    assert "How networks stand" in text
    assert "made, tdvp" in text
    assert "http" not in text.replace("http://www.w3.org", "")  # nothing is loaded from elsewhere


def test_what_does_not_answer_the_declaration_is_refused_and_nothing_is_written(answered: Path):
    home = answered / "home"
    path = next((answered / "runs" / "records").rglob("*.json"))
    content = json.loads(path.read_text())
    content["run"]["task"]["times"] = [0.2]
    content["task_hash"] = Record.model_validate(content).task.hash
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="no task of the suite"):
        submissions.add([answered / "runs"], home)
    assert not (home / submissions.TABLE).exists()


def test_other_values_of_a_run_are_refused(answered: Path):
    home = answered / "home"
    submissions.add([answered / "runs"], home)
    path = next((answered / "runs" / "records").rglob("*.json"))
    content = json.loads(path.read_text())
    content["rows"]["value"] = [2 * value for value in content["rows"]["value"]]
    path.write_text(json.dumps(content))
    with pytest.raises(InputError, match="the table has other values"):
        submissions.add([answered / "runs"], home)
