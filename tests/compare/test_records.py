"""Records: written whole or not at all, read back exactly, refused in one sentence."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from example_records import example, folder_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vanbench.compare.declare.columns import columns
from vanbench.compare.declare.task import Task
from vanbench.compare.judge.collect import collect, summarise
from vanbench.compare.run.record import Record, SchemaMismatch, records
from vanbench.compare.run.references import Reference, reference
from vanbench.compare.run.stored import read_json
from vanbench.exact import InputError, build, solve
from vanbench.exact.files import write_json

plain = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
objects = st.dictionaries(
    st.text(), st.recursive(plain | st.text(), lambda x: st.lists(x) | st.dictionaries(st.text(), x))
)


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # each waits for the disk
@given(objects)
def test_json_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, content: dict) -> None:
    path = tmp_path_factory.mktemp("json") / "x.json"
    write_json(path, content)
    assert read_json(path) == content
    assert os.listdir(path.parent) == ["x.json"]  # no temporary file is left


def test_record_comes_back_exactly(tmp_path: Path) -> None:
    record = example()
    record.save(tmp_path / "r.json")
    assert Record.load(tmp_path / "r.json") == record


def test_failed_write_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"a": float("nan")})
    assert read_json(path) == {"a": 1}
    assert os.listdir(tmp_path) == ["x.json"]


def test_every_truncation_is_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    example().save(path)
    whole = path.read_text()
    for end in range(0, len(whole.rstrip()) - 1, 97):
        path.write_text(whole[:end])
        with pytest.raises(InputError) as error:
            Record.load(path)
        assert "truncated" in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("constant", ["NaN", "Infinity", "-Infinity"])
def test_numbers_that_are_none_are_refused(tmp_path: Path, constant: str) -> None:
    path = tmp_path / "r.json"
    example().save(path)
    path.write_text(path.read_text().replace('"wall_s": 2.0', f'"wall_s": {constant}'))
    with pytest.raises(InputError, match="not a number"):
        Record.load(path)


def test_other_schema_version_and_missing_fields(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    example().save(path)
    content = json.loads(path.read_text())
    write_json(path, {**content, "schema_version": 99})
    with pytest.raises(SchemaMismatch, match="schema version 99"):
        Record.load(path)
    content.pop("task_hash")
    write_json(path, content)
    with pytest.raises(InputError, match="task_hash"):
        Record.load(path)
    write_json(path, {**content, "task_hash": "x", "rows": {"value": [1.0], "t": []}})
    with pytest.raises(InputError, match="differ in length"):
        Record.load(path)


def test_null_has_a_reason() -> None:
    frame = pd.DataFrame({"quantity": ["ln_Z", "ln_Z"], "value": [1.0, np.nan], "stderr": [np.nan, np.inf]})
    held = columns(frame)
    assert held["value"] == [1.0, None]
    assert held["stderr"] == [None, None]
    assert held["note"][0] == ""
    assert "value is not finite" in str(held["note"][1])


def test_folder_without_records(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no records"):
        list(records(tmp_path))
    with pytest.raises(InputError, match="not a folder"):
        list(records(tmp_path / "nowhere"))


def test_summary_over_seeds(tmp_path: Path) -> None:
    """Mean and standard error of three values, by hand."""
    values = [-0.002, 0.001, 0.004]
    folder = folder_of(tmp_path, lambda length, replica: values[replica], lengths=(4,))
    found = summarise(collect(folder))
    last = found[found.t == 1.0].iloc[0]
    assert last.seeds == 3
    assert last.value == pytest.approx(-0.41 + np.mean(values))
    assert last.value_se == pytest.approx(np.std(values, ddof=1) / np.sqrt(3))
    assert last.error == pytest.approx(np.mean([0.012, 0.009, 0.006]) / 0.4)
    assert last.discretisation == pytest.approx(0.01 / 0.4)
    assert last.ess == pytest.approx(0.9)


def test_two_seeds_have_no_standard_error(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, lengths=(4,))
    next(folder.rglob("*_2.json")).unlink()
    assert summarise(collect(folder)).value_se.isna().all()


TASK = {
    "name": "r",
    "system": "east",
    "shapes": [[3]],
    "s": [0.1, 0.3],
    "times": [0.5, 1.0],
    "quantities": ["ln_Z", "distribution"],
    "tracker_options": {"dt": 0.1, "order": 1},
}


def test_references_are_the_exact_values_and_cached(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task.model_validate(TASK)
    found = reference(task, (3,), tmp_path)
    direct = solve(build("east", (3,)), s=0.3, times=[1.0], quantities=["ln_Z"], scheme="euler", dt=0.1)
    assert found.scheme is not None
    row = found.scheme[(found.scheme.quantity == "ln_Z") & (found.scheme.s == 0.3) & (found.scheme.t == 1.0)]
    assert row.value.item() == pytest.approx(direct.value.item(), rel=1e-13)  # the vector is rescaled at t = 0.5
    p = found.distribution(0.1)
    assert p is not None
    assert p.shape == (8,)
    assert p.sum() == pytest.approx(1, abs=1e-12)
    monkeypatch.setattr("vanbench.compare.run.references.compute", lambda *a: pytest.fail("computed again"))
    again = reference(task, (3,), tmp_path)
    np.testing.assert_array_equal(again.distribution(0.1), p)


def test_unstable_scheme_is_noted_with_lambda_min(tmp_path: Path) -> None:
    task = Task.model_validate(
        {**TASK, "tracker_options": {"dt": 1.0, "order": 1}, "times": [1.0], "system": "free", "shapes": [[6]]}
    )
    found = reference(task, (6,), tmp_path)
    assert found.scheme is None
    assert "lambda_min" in found.scheme_notes[0.1]
    assert found.continuous is not None


def test_only_trackers_that_take_euler_steps_are_measured_against_them() -> None:
    assert Task.model_validate(TASK).references == ["continuous", "euler"]
    for other in ({"tracker": "tdvp", "tracker_options": {}}, {"tracker_options": {"order": 2}}):
        assert Task.model_validate({**TASK, **other}).references == ["continuous"]
    assert Task.model_validate({**TASK, "reference": []}).references == []


def test_damaged_reference_is_told(tmp_path: Path) -> None:
    task = Task.model_validate(TASK)
    reference(task, (3,), tmp_path)
    path = next(tmp_path.rglob("*.json"))
    write_json(path, {"continuous": 3})
    with pytest.raises(InputError, match="damaged"):
        reference(task, (3,), tmp_path)
    assert isinstance(Reference(None, None, {}), Reference)


def test_a_copied_record_is_refused(tmp_path: Path) -> None:
    """It would count as one more seed."""
    folder = folder_of(tmp_path, lengths=(4,))
    path = next(folder.rglob("*.json"))
    copy = path.with_stem("copy")
    copy.write_text(path.read_text())
    with pytest.raises(InputError, match="of the same run: a seed") as refusal:
        collect(folder)
    assert path.name in str(refusal.value)
    assert copy.name in str(refusal.value)


def test_files_of_the_file_system_are_no_records(tmp_path: Path) -> None:
    folder = folder_of(tmp_path, lengths=(4,))
    path = next(folder.rglob("*.json"))
    path.with_name(f"._{path.name}").write_bytes(b"\0\5\26\7")
    assert len(list(records(folder))) == 3


def test_others_may_read_what_is_written(tmp_path: Path) -> None:
    """As any file that the user's umask allows them to read."""
    example().save(tmp_path / "record.json")
    (tmp_path / "plain").touch()
    assert (tmp_path / "record.json").stat().st_mode == (tmp_path / "plain").stat().st_mode
    assert len(list(tmp_path.iterdir())) == 2
