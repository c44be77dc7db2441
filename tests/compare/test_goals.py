"""Which goals a suite reached, from records with known numbers."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from command_line import run
from example_records import EXACT, example, of_task

from vanbench.compare.declare.columns import columns
from vanbench.compare.declare.task import Task, load_suite, suites
from vanbench.compare.judge.goals import goals, markdown
from vanbench.compare.run.exact_tables import CASES, read
from vanbench.compare.run.exact_tables import FOLDER as library
from vanbench.compare.run.record import FOLDER


def stored(folder, *made):
    for i, record in enumerate(made):
        record.save(folder / FOLDER / f"{i}.json")
    return folder


def test_medians_over_seeds_against_the_goal(tmp_path):
    values = [EXACT[4] * (1 + error) for error in (1e-3, 2e-3, 9e-3)]
    goal = {"error": 3e-3, "seconds": 1e6}
    stored(tmp_path, *(example(4, i, value, goal=goal) for i, value in enumerate(values)))
    row = goals(tmp_path).iloc[0]
    assert row.error == pytest.approx(2e-3)
    assert (row.seeds, row.t, row.reached) == (3, 1.0, "yes")
    stored(tmp_path, *(example(4, i, value, goal={"error": 1e-3, "seconds": 1e-9}) for i, value in enumerate(values)))
    assert goals(tmp_path).iloc[0].reached == "no: error, time"


def test_a_rerun_of_some_rows_keeps_the_others(tmp_path, capsys):
    figure = tmp_path / "goals.png"
    both = [example(4, 0, EXACT[4] * 1.01), example(4, 0, EXACT[4] * 1.02, task="other")]
    words = ["--plot", figure, "--keep", "--out", tmp_path / "goals.md"]
    assert run("goals", stored(tmp_path / "a", *both), *words) == 2
    assert "CSV beside it" in capsys.readouterr().err
    assert run("goals", tmp_path / "a", *(word for word in words if word != "--keep")) == 0
    again = stored(tmp_path / "b", example(4, 0, EXACT[4] * 1.03, task="other"))
    assert run("goals", again, *words) == 0
    table = pd.read_csv(figure.with_suffix(".csv")).set_index("task")
    assert table.error.to_dict() == pytest.approx({both[0].task.name: 0.01, "other": 0.03})


def test_without_exact_vectors_the_clones_of_the_folder_are_the_measure(tmp_path):
    network, clones = example(4, 0, -0.404), example(4, 0, -0.400, task="clones", tracker="clones", reference=[])
    for record in (network, clones):
        record.errors["error"] = [None] * len(record.errors["error"])
    found = goals(stored(tmp_path, network, clones)).set_index("tracker")
    assert found.loc["kl"].error == pytest.approx(0.01)
    assert found.loc["kl"].stderr == pytest.approx(1e-3 / 0.2)  # of the first of two equal differences, at t = 0.5
    assert "clones' own error" in markdown(found.reset_index())


def test_clones_of_another_counting_field_do_not_stand_in_the_way(tmp_path):
    """Both ask at the same times; only one holds the network's s."""
    made = [("network", 0.1, "kl"), ("near", 0.1, "clones"), ("far", 0.2, "clones")]
    records = []
    for name, s, tracker in made:
        record = example(4, 0, -0.404 if tracker == "kl" else -0.400, task=name, s=s, reference=[])
        record.errors["error"] = [None] * len(record.errors["error"])
        records.append(of_task(record, tracker=tracker))
    found = goals(stored(tmp_path, *records)).set_index("tracker")
    assert found.loc["kl"].error == pytest.approx(0.01)


def test_table_and_plot_by_command(tmp_path):
    stored(tmp_path / "run", example(4), example(4, task="other", architecture="gru"))
    figure, text = tmp_path / "a.png", tmp_path / "new" / "a.md"
    assert run("goals", tmp_path / "run", "--out", text, "--plot", figure) == 0
    assert text.read_text().count("\n") == 4
    assert figure.stat().st_size > 1000
    assert run("goals", tmp_path / "none") == 2


def test_a_goal_changes_no_hash_and_every_suite_loads():
    plain = {"name": "a", "system": "east", "shapes": [[4]], "s": [0.1], "times": [1.0]}
    goal = Task.model_validate({**plain, "goal": {"error": 1e-3, "seconds": 10}})
    assert goal.hash == Task.model_validate(plain).hash
    for name in suites():
        assert load_suite(name).tasks


def test_stored_exact_tables_stand_in_for_a_reference(tmp_path):
    table = read(library / "south-east-3x3.csv")
    stored_value = table[
        (table.quantity == "ln_Z") & (table.scheme == "continuous") & (table.s == 0.1) & (table.t == 1)
    ]
    record = example(4, 0, float(stored_value.value.iloc[0]) * 1.02, reference=[])
    system = CASES["south-east-3x3"].build()
    rows = {**record.rows, "value": [v if t == 1 else None for v, t in zip(record.rows["value"], record.rows["t"])]}
    shaped = {
        "run": record.run.model_copy(update={"shape": (3, 3)}),
        "params": json.loads(json.dumps(dict(system.params))),
    }
    tables = {"rows": rows, "errors": {**record.errors, "error": [None] * 2}}
    record = record.model_copy(update={**shaped, **tables})
    assert goals(stored(tmp_path, record)).iloc[0].error == pytest.approx(0.02)


def test_goal_of_other_quantities(tmp_path):
    """The largest error of the quantities that the goal names; no stored table of ln Z is asked."""
    goal = {"quantities": ["sigma_x", "sigma_z"], "error": 0.02, "seconds": 1e6}
    record = example(4, 0, goal=goal)
    both = record.frame("errors").assign(quantity=["sigma_x", "sigma_z"], error=[0.01, 0.03])
    record = record.model_copy(update={"errors": columns(both)})
    row = goals(stored(tmp_path, record)).iloc[0]
    assert row.error == pytest.approx(0.03)
    assert (row.of, row.reached) == ("sigma_x, sigma_z", "no: error")
    assert "sigma_x, sigma_z" in markdown(goals(tmp_path))
    assert "quantities" not in markdown(goals(stored(tmp_path / "ln_Z", example(4))))
