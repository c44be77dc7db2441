"""The gate: what passes, what fails, what it refuses, by exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from command_line import run
from example_records import example, folder_of, spread, with_correlations

from vanbench.compare.cli import main
from vanbench.compare.judge.gate import RTOL, gate, write_baseline
from vanbench.compare.run.record import Record
from vanbench.compare.run.stored import read_json
from vanbench.exact.files import write_json


@pytest.fixture
def baseline(tmp_path: Path) -> Path:
    write_baseline(folder_of(tmp_path / "old", spread(1e-3)), tmp_path / "baseline.json")
    return tmp_path / "baseline.json"


def code(*arguments: object) -> int:
    with pytest.raises(SystemExit) as stop:
        main([str(a) for a in arguments])
    return int(stop.value.code or 0)


def test_same_records_pass(tmp_path: Path, baseline: Path) -> None:
    assert code("gate", tmp_path / "old", "--baseline", baseline) == 0


def test_same_records_pass_with_two_point_functions(tmp_path: Path) -> None:
    """Several rows a quantity, told apart by ``distance``, are no case of the gate."""
    folder = with_correlations(folder_of(tmp_path / "old", spread(1e-3)))
    write_baseline(folder, tmp_path / "b.json")
    verdict = gate(folder, tmp_path / "b.json")
    assert not verdict.failures
    assert {case["quantity"] for case in read_json(tmp_path / "b.json")["cases"]} == {"ln_Z"}


def test_better_passes_and_is_called_so(tmp_path: Path) -> None:
    write_baseline(folder_of(tmp_path / "old", spread(5e-3)), tmp_path / "b.json")
    verdict = gate(folder_of(tmp_path / "new", spread(1e-4)), tmp_path / "b.json")
    assert not verdict.failures
    assert {line["verdict"] for line in verdict.lines} == {"better"}


def test_network_ten_times_worse_fails_under_a_large_discretisation_error(tmp_path: Path) -> None:
    """The total moves by 9 % only, from 0.0101 to 0.011."""
    write_baseline(folder_of(tmp_path / "old", lambda *_: -1e-4), tmp_path / "b.json")
    failures = gate(folder_of(tmp_path / "new", lambda *_: -1e-3), tmp_path / "b.json").failures
    assert len(failures) == 2
    assert all(" network " in text for text in failures)


def test_without_a_scheme_the_total_is_judged(tmp_path: Path) -> None:
    """The network's own part is not known then, and the total, 0.011, is 0.023 now."""

    def without_scheme(name: str, error: float) -> Path:
        folder = folder_of(tmp_path / name, lambda *_: error)
        for path in folder.rglob("*.json"):
            record = Record.load(path)
            record.errors["network"] = [None] * len(record.errors["network"])
            record.save(path)
        return folder

    write_baseline(without_scheme("old", -0.001), tmp_path / "b.json")
    assert {case["measure"] for case in read_json(tmp_path / "b.json")["cases"]} == {"error"}
    assert not gate(without_scheme("same", -0.001), tmp_path / "b.json").failures
    assert gate(without_scheme("new", -0.013), tmp_path / "b.json").failures


def test_many_errors_that_rise_a_little_are_seen_together(tmp_path: Path) -> None:
    """Eight errors, each three times as large but by less than its noise: none fails alone, all together do."""

    def folder(name: str, rise: float) -> Path:
        for task in range(4):
            folder_of(tmp_path / name, lambda l, r: -1e-3 * (0.4 + 0.6 * r + rise), task=f"task-{task}")
        return tmp_path / name

    write_baseline(folder("old", 0), tmp_path / "b.json")
    verdict = gate(folder("new", 2), tmp_path / "b.json")
    assert [text.split(":")[0] for text in verdict.failures] == ["8 cases pooled"]
    assert not gate(tmp_path / "old", tmp_path / "b.json").failures
    one = gate(tmp_path / "new", tmp_path / "b.json", only=lambda case: case["task"] == "task-1")
    assert not one.failures
    assert len([line for line in one.lines if line["verdict"] != "new"]) == 2


def test_twice_the_error_fails(tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture) -> None:
    new = folder_of(tmp_path / "new", lambda *_: -0.013)  # the total, 0.011 before, is 0.023 now
    assert code("gate", new, "--baseline", baseline) == 1
    assert "worse: example 4 made ln_Z" in capsys.readouterr().err


def test_tolerances_are_what_they_say(tmp_path: Path) -> None:
    """Total and network error of e (1 + x) against e: the limit lies at x = RTOL; no spread over seeds."""
    old = folder_of(tmp_path / "old", lambda *_: -0.01, lengths=(4,))
    write_baseline(old, tmp_path / "b.json")
    for factor, fails in ((RTOL - 0.01, False), (RTOL + 0.01, True)):
        new = folder_of(tmp_path / f"new{factor}", lambda *_, f=factor: -0.01 * (1 + f), lengths=(4,))
        assert bool(gate(new, tmp_path / "b.json", false_alarms=1).failures) is fails
    assert not gate(new, tmp_path / "b.json", atol=1.0, false_alarms=1).failures


def test_spread_over_seeds_excuses_what_is_luck(tmp_path: Path) -> None:
    """+15 % and +30 %, beyond RTOL: noise when the seeds scatter by 20 %, a regression when they do not."""
    for scatter, fails in ((0.002, False), (0.00001, True)):
        errors = [-scatter, 0.0, scatter]
        old = folder_of(tmp_path / f"old{scatter}", lambda l, r, e=errors: e[r] - 0.01, lengths=(4,))
        new = folder_of(tmp_path / f"new{scatter}", lambda l, r, e=errors: e[r] - 0.013, lengths=(4,))
        write_baseline(old, tmp_path / f"{scatter}.json")
        assert bool(gate(new, tmp_path / f"{scatter}.json").failures) is fails


def test_unequal_numbers_of_seeds_are_told(tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture) -> None:
    new = folder_of(tmp_path / "new", spread(1e-3))
    for path in new.rglob("*_2.json"):
        path.unlink()
    assert code("gate", new, "--baseline", baseline) == 0
    assert "3 against 2" in capsys.readouterr().err
    assert code("gate", tmp_path / "old", "--baseline", baseline) == 0
    assert "against" not in capsys.readouterr().err


def test_distances_of_one_seed_are_not_judged(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """They scatter, and one seed does not say by how much: half as much again is no regression."""
    for name, variation in (("old", 0.01), ("new", 0.015)):
        record = example()
        record.distances = {"reference": ["continuous"], "s": [0.1], "t": [1.0], "total_variation": [variation]}
        record.save(tmp_path / name / "records" / "one.json")
    assert code("gate", tmp_path / "old", "--write", tmp_path / "b.json") == 0
    assert code("gate", tmp_path / "new", "--baseline", tmp_path / "b.json") == 0
    shown = capsys.readouterr()
    assert "too few seeds" in shown.out
    assert "no worse" in shown.out
    assert "1 of 2 cases were not judged" in shown.err


def test_missing_task_fails(tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture) -> None:
    new = folder_of(tmp_path / "new", spread(1e-3), lengths=(4,))
    assert code("gate", new, "--baseline", baseline) == 1
    assert "no such value" in capsys.readouterr().err


def test_value_that_is_not_finite_fails(tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture) -> None:
    new = folder_of(tmp_path / "new", spread(1e-3))
    path = next(new.rglob("4_made_0.json"))
    record = Record.load(path)
    record.rows["value"][0] = None
    record.save(path)
    assert code("gate", new, "--baseline", baseline) == 1
    assert "not finite" in capsys.readouterr().err


def test_values_that_are_all_null_fail_and_have_a_table(
    tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture
) -> None:
    new = folder_of(tmp_path / "new", spread(1e-3))
    for path in new.rglob("*.json"):
        record = Record.load(path)
        record.rows["value"] = [None] * len(record.rows["value"])
        for name in ("value", "error", "error_per_site", "total", "sampling", "network"):
            record.errors[name] = [None] * len(record.errors[name])
        record.save(path)
    assert code("gate", new, "--baseline", baseline) == 1
    assert "not finite" in capsys.readouterr().err
    assert code("table", new) == 0
    assert "| example |" in capsys.readouterr().out


def test_other_hash_cannot_be_compared(tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture) -> None:
    new = folder_of(tmp_path / "new", spread(1e-3), version=2)
    assert code("gate", new, "--baseline", baseline) == 3
    assert "task hash" in capsys.readouterr().err


def test_json_is_one_object_with_a_verdict_of_each_case(
    tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture
) -> None:
    def told(expected: int, *arguments: object) -> dict:
        capsys.readouterr()
        assert code("gate", *arguments, "--format", "json") == expected
        return json.loads(capsys.readouterr().out)

    same = told(0, tmp_path / "old", "--baseline", baseline)
    assert same["verdict"] == "no worse"
    assert {line["verdict"] for line in same["lines"]} == {"same"}
    worse = told(1, folder_of(tmp_path / "new", lambda *_: -0.013), "--baseline", baseline)
    assert worse["verdict"] == "worse"
    assert len(worse["failures"]) == sum(line["verdict"] == "worse" for line in worse["lines"]) > 0
    written = told(0, tmp_path / "new", "--write", baseline)
    assert written["verdict"] == "written"
    assert {line["verdict"] for line in written["lines"]} == {"changed"}
    write_json(baseline, {**read_json(baseline), "schema_version": 99})
    other = told(3, tmp_path / "old", "--baseline", baseline)
    assert other["verdict"] == "cannot compare"
    assert "schema version 99" in other["refusals"][0]
    assert code("gate", tmp_path / "old", "--baseline", baseline, "--format", "csv") == 2


def test_other_schema_cannot_be_compared(tmp_path: Path, baseline: Path) -> None:
    write_json(baseline, {**read_json(baseline), "schema_version": 99})
    assert code("gate", tmp_path / "old", "--baseline", baseline) == 3
    write_json(baseline, {**read_json(baseline), "schema_version": 1})
    path = next((tmp_path / "old").rglob("*.json"))
    write_json(path, {**read_json(path), "schema_version": 99})
    assert code("gate", tmp_path / "old", "--baseline", baseline) == 3


def test_bad_input_is_neither(tmp_path: Path, baseline: Path) -> None:
    assert code("gate", tmp_path / "nowhere", "--baseline", baseline) == 2
    assert code("gate", tmp_path / "old", "--baseline", tmp_path / "nothing.json") == 2
    assert code("gate", tmp_path / "old") == 2
    assert code("gate", tmp_path / "old", "--baseline", baseline, "--rtol", "-1") == 2
    for name in ("--atol", "--rtol", "--false-alarms"):
        assert code("gate", tmp_path / "old", "--baseline", baseline, name, "nan") == 2
    baseline.write_text(baseline.read_text()[:100])
    assert code("gate", tmp_path / "old", "--baseline", baseline) == 2
    write_json(baseline, {"schema_version": 1, "cases": []})
    assert code("gate", tmp_path / "old", "--baseline", baseline) == 2


def test_zero_reference_is_gated_by_the_error_per_site(tmp_path: Path) -> None:
    old = folder_of(tmp_path / "old", lambda *_: 0.0, s=0.0)
    write_baseline(old, tmp_path / "b.json")
    assert {case["measure"] for case in read_json(tmp_path / "b.json")["cases"]} == {"error_per_site"}
    new = folder_of(tmp_path / "new", lambda *_: -0.05, s=0.0)
    assert gate(new, tmp_path / "b.json").failures


def test_a_person_may_decline_after_seeing_what_changes(tmp_path: Path, baseline: Path) -> None:
    new, before = folder_of(tmp_path / "new", spread(2e-3)), baseline.read_text()
    seen: list[dict] = []
    changes = write_baseline(new, baseline, lambda lines: seen.extend(lines) or False)  # type: ignore[func-returns-value]
    assert seen == changes
    assert {line["verdict"] for line in changes} == {"changed"}
    assert baseline.read_text() == before


def test_writing_shows_what_changes(tmp_path: Path, baseline: Path, capsys: pytest.CaptureFixture) -> None:
    new = folder_of(tmp_path / "new", spread(2e-3), lengths=(4, 8))
    assert code("gate", new, "--write", baseline) == 0
    shown = capsys.readouterr().out
    assert all(word in shown for word in ("changed", "new", "removed"))
    assert code("gate", new, "--baseline", baseline) == 0


@pytest.mark.parametrize("place", ["code", "versions", "sources"])
def test_seeds_of_two_states_of_the_code_are_marked_and_not_judged(tmp_path: Path, capsys, place: str) -> None:
    folder = folder_of(tmp_path / "run")
    write_baseline(folder, tmp_path / "baseline.json")
    assert run("gate", folder, "--baseline", tmp_path / "baseline.json") == 0
    path = next(folder.rglob("4_*_2.json"))
    record = Record.load(path)
    record.provenance[place] = {"code": "x", "versions": {"torch": "0"}, "sources": {"net.py": "x"}}[place]
    record.save(path)
    capsys.readouterr()
    assert run("gate", folder, "--baseline", tmp_path / "baseline.json") == 3
    assert "seeds were run by 2 states of the code" in capsys.readouterr().err
    for form in ("md", "latex", "csv"):
        for more in ([], ["--columns", "error"]):
            assert run("table", folder, "--format", form, *more) == 0
            assert "2 states of the code" in capsys.readouterr().out
    assert run("goals", folder) == 0
    assert "2 states of the code" in capsys.readouterr().out
    assert run("gate", folder, "--write", tmp_path / "other.json", "--yes") == 2
    assert "2 states of the code" in capsys.readouterr().err
    assert not (tmp_path / "other.json").exists()
