"""Tasks and suites: hashes that are stable, seeds that are named, and files that are wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vanbench.compare.declare.digests import derived_seed
from vanbench.compare.declare.task import Suite, Task, load_suite, suites
from vanbench.compare.run.execute import check
from vanbench.exact import InputError

BASE = {
    "name": "east-1d",
    "system": "east",
    "shapes": [[4], [6]],
    "s": [0.1, 0.2],
    "times": [1.0, 2.0],
    "tracker_options": {"dt": 0.1, "samples": 100},
}


FORMER_HASH = "ef806891481d7a74"


def task(**changes: object) -> Task:
    return Task.model_validate({**BASE, **changes})


def test_results_that_are_stored_keep_the_defaults_that_they_were_made_with() -> None:
    """The hash of BASE was this before trackers had other defaults."""
    former, today = task(tracker_defaults=1), task()
    assert former.hash == FORMER_HASH != today.hash
    assert former.options == {"order": 1, "control": "fixed", "full_summation": False, "dt": 0.1, "samples": 100}
    assert today.options == today.tracker_options
    assert (former.references, today.references) == (["continuous", "euler"], ["continuous"])
    gates = {"tracker": "tebd", "tracker_options": {}}
    assert task(**gates).hash == task(**gates, tracker_defaults=1).hash  # its defaults are the same


@pytest.mark.parametrize(
    "same",
    [
        {"s": [0.2, 0.1]},
        {"times": [2, 1]},
        {"tracker_options": {"samples": 100.0, "dt": 0.1}},
        {"params": {"c": 0.5}},  # the system's default
        {"quantities": ["ln_Z"]},
        {"shapes": [[8]]},
        {"seeds": 5},
        {"architectures": ["gru"]},
        {"description": "other words"},
        {"budget": {"seconds": 3}},
        {"reference": []},
    ],
    ids=str,
)
def test_hash_is_stable(same: dict) -> None:
    assert task(**same).hash == task().hash


@pytest.mark.parametrize(
    "other",
    [
        {"name": "east"},
        {"version": 2},
        {"system": "fa"},
        {"params": {"c": 0.4}},
        {"s": [0.1]},
        {"times": [1.0]},
        {"observable": "current"},
        {"quantities": ["density"]},
        {"tracker_options": {"dt": 0.05, "samples": 100}},
        {"dtype": "float32"},
    ],
    ids=str,
)
def test_hash_tells_what_changes_the_numbers(other: dict) -> None:
    assert task(**other).hash != task().hash


def test_alias_is_the_same_question() -> None:
    assert task(system="south-east").hash == task().hash


def test_runs_have_their_own_seeds_and_files() -> None:
    runs = list(task(architectures=["made", "gru"]).runs(seed=1))
    assert len(runs) == 2 * 2 * 3
    assert len({run.path for run in runs}) == len(runs)
    assert len({(run.shape, run.replica): run.seed for run in runs}) == 6
    made, gru = (run for run in runs if run.shape == (4,) and run.replica == 0)
    assert made.seed == gru.seed  # architectures meet the same random numbers
    assert [run.seed for run in task().runs(seed=1)] != [run.seed for run in task().runs(seed=2)]


@given(st.text(max_size=20), st.integers(0, 10**9), st.integers(0, 100))
def test_derived_seeds_fit_every_generator(name: str, seed: int, replica: int) -> None:
    assert 0 <= derived_seed(name, (3, 3), seed, replica) < 2**31


@pytest.mark.parametrize("name", sorted(suites()))
def test_every_suite_of_the_package_can_run(name: str) -> None:
    from vanbench.compare.run import execute, references

    suite = load_suite(name)
    assert suite.description
    for declared in suite.tasks:
        references.check(declared)
        for run in declared.runs():
            if run.replica == 0:
                execute.check(run)


GOOD = '[[tasks]]\nname = "a"\nsystem = "fa"\nshapes = [[4]]\ns = [0.1]\ntimes = [1]\n'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tasks = [", "not valid TOML"),
        ("version = 1", "[[tasks]]"),
        ("version = 7\n" + GOOD, "version 7"),
        (GOOD.replace("times", "tmies"), "'times'"),
        (GOOD + "sedes = 3", "did you mean 'seeds'"),
        (GOOD.replace("[1]", "[0]"), "times must be positive"),
        (GOOD.replace("[1]", "[nan]"), "finite"),
        (GOOD.replace("[[4]]", "[[-4]]"), "positive integer"),
        (GOOD.replace("[[4]]", "[]"), "at least 1"),
        (GOOD.replace('"a"', '"../a"'), "pattern"),
        (GOOD + "seeds = 0", "greater than or equal to 1"),
        (GOOD + "budget = {secnds = 3}", "did you mean 'seconds'"),
        (GOOD + GOOD, "used twice"),
        ("\x00", "TOML"),
    ],
    ids=str,
)
def test_bad_suites_are_told_in_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        load_suite(str(path))
    assert words in str(error.value) or words.strip("'") in str(error.value)
    assert "\n" not in str(error.value)


def _check_all(path: Path) -> None:
    for one in load_suite(str(path)).tasks:
        for run in one.runs():
            check(run)


WRONG = {
    "a number": st.sampled_from(["true", "false", '"0.1"', "nan", "inf", "-inf", "[]", "{}", "1979-05-27"]),
    "a whole number": st.sampled_from(["true", "false", '"3"', "2.5", "3.0", "nan", "inf", "[1]"]),
    "text": st.sampled_from(["true", "1", "0.5", "nan", "[1]", '["a", 1]']),
    "a table": st.sampled_from(["true", "1", '"c=0.5"', "[]", "[0.5]"]),
    "an option": st.sampled_from(["true", '"0.1"', "nan", "inf"]),
    "a count": st.sampled_from(["true", '"100"', "2.5", "nan", "inf"]),
    "a switch": st.sampled_from(["1", "0", '"true"', "0.5"]),
}
PLACES = {
    "s = [0.2, {}]": "a number", "times = [1.0, {}]": "a number", "budget = {{seconds = {}}}": "a number",
    "budget = {{cpu_seconds = {}}}": "a number", "goal = {{error = {}, seconds = 1.0}}": "a number",
    "goal = {{error = 0.1, seconds = {}}}": "a number", "seeds = {}": "a whole number",
    "shapes = [[4], [{}]]": "a whole number", "version = {}": "a whole number", "name = {}": "text",
    "system = {}": "text", "description = {}": "text", "observable = {}": "text", "quantities = [{}]": "text",
    "tracker = {}": "text", "dtype = {}": "text", "reference = [{}]": "text", "params = {}": "a table",
    "tracker_options = {}": "a table", "params = {{c = {}}}": "an option", "tracker_options = {{dt = {}}}": "an option",
    "tracker_options = {{samples = {}, dt = 0.1}}": "a count", "tracker_options = {{dt = 0.1, tilts = [1.0, {}]}}":
    "an option", "tracker_options = {{dt = 0.1, full_summation = {}}}": "a switch",
    'architectures = [{{name = "made", options = {{hidden = {}}}}}]': "a count",
    'architectures = [{{name = "made", options = {}}}]': "a table", "architectures = [{{name = {}}}]": "text",
}  # fmt: skip


@settings(deadline=None, max_examples=200)  # each writes a file
@given(st.sampled_from(list(PLACES)).flatmap(lambda place: st.tuples(st.just(place), WRONG[PLACES[place]])))
def test_a_field_of_another_type_is_refused(tmp_path_factory: pytest.TempPathFactory, given_: tuple[str, str]) -> None:
    """In one sentence and before any work: neither ``true`` nor text is a number, and 2.5 is no count."""
    place, value = given_
    name = place.split(" ")[0]
    kept = [line for line in GOOD.splitlines() if not line.startswith(f"{name} =")]
    path = tmp_path_factory.mktemp("suite") / "mine.toml"
    path.write_text("\n".join([*kept, place.format(value)]))
    with pytest.raises(InputError) as error:
        _check_all(path)
    assert "\n" not in str(error.value)


@settings(deadline=None)  # each writes a file
@given(st.binary(max_size=200))
def test_no_bytes_give_a_traceback(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("suite") / "any.toml"
    path.write_bytes(content)
    with pytest.raises(InputError):
        load_suite(str(path))


def test_unknown_suite_and_missing_file() -> None:
    with pytest.raises(InputError, match="did you mean 'validate'"):
        load_suite("valdate")
    with pytest.raises(InputError, match=r"suite 'nowhere.toml' is no file"):
        load_suite("nowhere.toml")


def test_defaults_are_merged_key_by_key(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    defaults = "[defaults]\nseeds = 5\ntracker_options = {dt = 0.1, samples = 100}\n"
    path.write_text(defaults + GOOD + "tracker_options = {dt = 0.05}\n")
    suite = load_suite(str(path))
    assert isinstance(suite, Suite)
    assert suite.name == "mine"
    assert suite.tasks[0].seeds == 5
    assert suite.tasks[0].tracker_options == {"dt": 0.05, "samples": 100}


def test_a_task_for_each_value_of_a_parameter(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    task = '[[tasks]]\nname = "a"\nsystem = "fa"\nshapes = [[4]]\ns = [0.1]\ntimes = [1]\nparams = {boundary = "up"}\n'
    path.write_text(task + "vary = {c = [0.3, 0.5]}\n")
    found = load_suite(str(path)).tasks
    assert [one.name for one in found] == ["a-c0.3", "a-c0.5"]
    assert [one.params for one in found] == [{"boundary": "up", "c": 0.3}, {"boundary": "up", "c": 0.5}]
    for bad in ("vary = 3\n", "vary = {c = 0.3}\n", "vary = {c = [0.3], boundary = ['up']}\n"):
        path.write_text(task + bad)
        with pytest.raises(InputError, match="one parameter"):
            load_suite(str(path))


@pytest.mark.parametrize(("order", "references"), [(1, ["continuous", "euler"]), (2, ["continuous"])])
@pytest.mark.parametrize("tracker", ["kl", "natural-gradient"])
def test_steps_of_second_order_are_not_measured_against_euler(tracker: str, order: int, references: list[str]) -> None:
    """The difference would be called the network's own error."""
    assert task(tracker=tracker, tracker_options={"dt": 0.1, "order": order}).references == references
