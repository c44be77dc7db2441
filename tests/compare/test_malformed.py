"""Files that somebody edited or cut: read as they stand, or refused in one sentence, never a traceback."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import resource
from pathlib import Path
from typing import Any

import pytest
from command_line import run as command_line
from damage import anything, damaged
from example_records import example, folder_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from vanbench.compare.declare.task import Task, load_suite
from vanbench.compare.judge.collect import collect, summarise
from vanbench.compare.judge.gate import gate, write_baseline
from vanbench.compare.run.execute import check
from vanbench.compare.run.record import Record
from vanbench.compare.run.stored import read_json
from vanbench.compare.show.tables import render, select, write_tables
from vanbench.exact import InputError

quick = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))  # each writes files

RECORD = json.loads(example().model_dump_json())
TASK: dict[str, Any] = {
    "name": '"a"',
    "system": '"east"',
    "shapes": "[[4]]",
    "s": "[0.1]",
    "times": "[1]",
    "params": "{c = 0.5}",
    "quantities": '["ln_Z"]',
    "tracker_options": "{dt = 0.1}",
    "architectures": '["made"]',
    "budget": "{seconds = 1}",
    "seeds": "3",
}
PLACES = [(key,) for key in RECORD] + [("errors", name) for name in RECORD["errors"]] + [("log", "s"), ("log", "ess")]
PLACES += [("run", name) for name in RECORD["run"]] + [("run", "task", name) for name in RECORD["run"]["task"]]


def one_sentence(error: InputError) -> None:
    assert "\n" not in str(error)


@quick
@given(st.sampled_from(PLACES), anything)
def test_any_change_of_a_record(tmp_path_factory: pytest.TempPathFactory, place: tuple, value: Any) -> None:
    content = copy.deepcopy(RECORD)
    inside = content
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = value
    path = tmp_path_factory.mktemp("r") / "records" / "a.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content))
    try:
        summary = summarise(collect(path.parents[1]))
        for quantity in set(summary.quantity):
            render(select(summary, "size", quantity), "md")
    except InputError as error:
        one_sentence(error)


@pytest.mark.parametrize("value", ["many", [1], {"a": 1}, None, True])
def test_an_option_samples_of_a_stranger_is_no_column_of_numbers(tmp_path: Path, value: Any) -> None:
    content = copy.deepcopy(RECORD)
    content["run"]["task"]["tracker"] = "theirs.py:Tracker"
    content["run"]["task"]["tracker_options"] = {"samples": value}
    (tmp_path / "records").mkdir()
    (tmp_path / "records" / "a.json").write_text(json.dumps(content))
    assert render(select(summarise(collect(tmp_path)), "samples", "ln_Z"), "md")


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = folder_of(tmp_path_factory.mktemp("run"))
    write_baseline(folder, folder / "baseline.json")
    return folder


@quick
@given(st.data())
def test_any_change_of_a_baseline(run: Path, data: st.DataObject) -> None:
    content = read_json(run / "baseline.json")
    where = data.draw(st.sampled_from(["cases", "schema_version", *content["cases"][0]]))
    value = data.draw(anything)
    if where in content:
        content[where] = value
    else:
        content["cases"][0][where] = value
    (run / "other.json").write_text(json.dumps(content))
    try:
        gate(run, run / "other.json")
    except InputError as error:
        one_sentence(error)


def toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    return json.dumps("" if value is None else value)


def test_a_file_of_a_thousand_brackets(tmp_path: Path) -> None:
    (tmp_path / "deep.toml").write_text("a = " + "[" * 5000 + "]" * 5000)
    (tmp_path / "deep.json").write_text("[" * 100_000)
    for read, name in ((load_suite, str(tmp_path / "deep.toml")), (read_json, tmp_path / "deep.json")):
        with pytest.raises(InputError, match="not valid") as refused:
            read(name)  # type: ignore[operator]
        one_sentence(refused.value)


def test_a_number_too_long_for_any_table(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**RECORD, "seed": 10**400}))
    with pytest.raises(InputError, match="number of 401 digits"):
        read_json(tmp_path / "a.json")


def test_a_byte_order_mark_is_no_error(tmp_path: Path) -> None:
    lines = [f"{name} = {content}" for name, content in TASK.items()]
    (tmp_path / "bom.toml").write_text("\ufeff[[tasks]]\n" + "\n".join(lines), encoding="utf-8")
    assert load_suite(str(tmp_path / "bom.toml")).tasks[0].name == "a"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"samples": 0}, "lies from 2"),
        ({"samples": -5}, "lies from 2"),
        ({"samples": 10**12}, "lies from 2"),
        ({"samples": 1e30}, "written as digits"),
        ({"dt": True}, "must be a number"),
        ({"full_summation": "yes"}, "true or false"),
    ],
)
def test_options_that_no_tracker_can_take(option: dict[str, Any], message: str) -> None:
    asked = {"tracker": "kl", "tracker_options": {"dt": 0.1, **option}}
    task = Task(name="a", system="east", shapes=[(3,)], s=[0.1], times=[0.1], **asked)
    with pytest.raises(InputError, match=message) as refused:
        check(next(task.runs()))
    one_sentence(refused.value)


@quick
@given(st.sampled_from([*TASK, "reference", "dtype", "observable", "version"]), anything)
def test_any_change_of_a_suite(tmp_path_factory: pytest.TempPathFactory, key: str, value: Any) -> None:
    path = tmp_path_factory.mktemp("s") / "any.toml"
    lines = [f"{name} = {content}" for name, content in {**TASK, key: toml(value)}.items()]
    path.write_text("[[tasks]]\n" + "\n".join(lines))
    try:
        for task in load_suite(str(path)).tasks:
            assert len(task.hash) == 16
            assert len({run.path for run in task.runs()}) >= 1
    except InputError as error:
        one_sentence(error)


def tree(folder: Path) -> dict[str, Any]:
    return {
        str(path.relative_to(folder)): (path.lstat().st_mtime_ns, path.lstat().st_size)
        for path in sorted(folder.rglob("*"))
        if "out" not in path.relative_to(folder).parts
    }


commands = st.sampled_from(["table", "table", "table", "report", "gate", "status", "goals"])


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(damaged(RECORD), commands, st.booleans())
def test_no_record_breaks_a_command(tmp_path_factory, run: Path, text: str, command: str, linked: bool) -> None:
    check_command(tmp_path_factory, run, text, command, linked)


@pytest.mark.slow  # a tenth of a second each
@settings(max_examples=1000, deadline=None, suppress_health_check=list(HealthCheck))
@given(damaged(RECORD), commands, st.booleans())
def test_none_of_many_records_breaks_a_command(tmp_path_factory, run: Path, text: str, command: str, linked: bool):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    check_command(tmp_path_factory, run, text, command, linked)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 << 10  # KiB: figures, and no more


def check_command(tmp_path_factory, run: Path, text: str, command: str, linked: bool) -> None:
    """No crash, nothing outside of the folder, and a sentence for what is refused."""
    place = tmp_path_factory.mktemp("place")
    out = place / "a" / "b" / "out"
    (out / "records" / "example").mkdir(parents=True)
    (place / "outside").mkdir()
    (out / "records" / "example" / "a.json").write_text(text)
    (out / "suite.json").write_text(json.dumps({"name": "x", "tasks": [RECORD["run"]["task"]]}))
    if linked:
        for name in ("tables", "plots", "report.html", "references"):
            (out / name).symlink_to(place / "outside")
    before = tree(place)
    options = {"gate": ["--baseline", run / "baseline.json"]}
    assert command_line(command, out, *options.get(command, [])) in (0, 1, 2, 3, 5)
    if command == "table" and linked:
        with contextlib.suppress(InputError):
            write_tables(out)
    assert tree(place) == before


@pytest.mark.parametrize("text", ["x" * (21 << 20), "\ud800"])
def test_texts_that_are_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(json.dumps({**RECORD, "system": text}))
    with pytest.raises(InputError, match=r"text of|surrogate"):
        read_json(tmp_path / "a.json")


def test_a_pipe_is_no_record(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.json")
    with pytest.raises(InputError, match="is no file"):
        read_json(tmp_path / "a.json")


def test_a_number_beyond_all_is_not_infinity(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"value": 1e999}')
    with pytest.raises(InputError, match="1e999, which is not a number"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("shape", [[1] * 100_000, [10**9, 10**9], [0], []])
def test_shapes_that_no_lattice_has(tmp_path: Path, shape: list[int]) -> None:
    content = copy.deepcopy(RECORD)
    content["run"]["shape"] = shape
    (tmp_path / "a.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="shape"):
        Record.load(tmp_path / "a.json")
