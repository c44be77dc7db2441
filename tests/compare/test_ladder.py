"""References that climb: where exact vectors end, matrix products and clones go on with an uncertainty of their own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from vanbench.compare.declare.task import Task
from vanbench.compare.judge.collect import summarise
from vanbench.compare.judge.errors import errors
from vanbench.compare.run import ladder, references
from vanbench.compare.show.tables import render, select
from vanbench.exact import build

TASK = {
    "name": "chain", "system": "fa", "shapes": [[6]], "s": [0.1], "times": [0.5, 1.0], "quantities": ["density"],
    "tracker": "tdvp",
}  # fmt: skip


def task(**other) -> Task:
    return Task.model_validate({**TASK, **other})


def test_the_hash_of_a_task_is_that_without_references():
    assert task(reference="auto").hash == task().hash == task(reference=["continuous"]).hash
    paths = [references.reference_path(task(**other), (6,), Path()) for other in ({}, {"reference": "auto"})]
    assert paths[0] != paths[1]


def test_where_vectors_fit_they_are_the_reference():
    frame = references.compute(task(reference="auto"), (6,)).continuous
    pd.testing.assert_frame_equal(frame, references.compute(task(), (6,)).continuous)


def test_beyond_vectors_matrix_products_agree_with_vectors_within_their_bound(monkeypatch):
    want = references.compute(task(), (6,)).continuous.set_index(["quantity", "t"]).value
    monkeypatch.setattr(ladder, "LARGEST", 8)
    found = references.compute(task(reference="auto"), (6,)).continuous.set_index(["quantity", "t"])
    assert set(found.source) == {"mps"}
    assert (found.bound > 0).all()
    assert ((found.value - want).abs() <= found.bound).all()


def test_clones_and_matrix_products_agree_within_their_uncertainties(monkeypatch):
    monkeypatch.setattr(ladder, "CLONES", 1000)
    asked = (build("fa", (12,)), [0.05], [1.0], ["ln_Z", "activity"], "activity")
    (products, clones) = (ladder.climbed(*asked), None)
    monkeypatch.setattr(ladder, "PATIENCE", 0.0)
    clones = ladder.climbed(*asked)
    assert (set(products.source), set(clones.source)) == ({"mps"}, {"cloning"})
    both = products.merge(clones, on=["quantity", "t"])
    assert len(both) == 2
    assert ((both.value_x - both.value_y).abs() <= 1.5 * (both.bound_x + both.bound_y)).all()  # 3 standard errors


def test_what_no_rung_gives_has_no_reference(monkeypatch):
    monkeypatch.setattr(ladder, "PATIENCE", 0.0)
    assert ladder.climbed(build("tfim", (12,)), [0.0], [1.0], ["sigma_z"], "jumps").empty


def test_a_distance_below_the_uncertainty_reads_at_most():
    continuous = pd.DataFrame(
        {"quantity": "ln_Z", "s": 0.1, "t": [1.0, 2.0], "value": [-1.0, -2.0], "bound": 0.01, "source": "mps"}
    )
    rows = pd.DataFrame({"quantity": "ln_Z", "s": 0.1, "t": [1.0, 2.0], "value": [-1.001, -2.5], "site": np.nan})
    found = errors(rows, continuous, None, 6)
    assert list(found.uncertainty) == [0.01, 0.01]
    assert list(found.source) == ["mps", "mps"]
    told = {
        "task": "chain", "task_hash": "0", "tracker": "kl", "architecture": "made", "shape": "6", "n_sites": 6,
        "seed": 1, "wall_s": 1.0, "cpu_s": 1.0, "memory_mib": 1.0, "parameters": 1, "negative": 0, "ess": 1.0,
        "distance": np.nan,
    }  # fmt: skip
    summary = summarise(found.assign(site=np.nan, **told))
    assert summary.error_se.tolist() == pytest.approx([0.01, 0.005])  # of the reference, relative
    text = render(select(summary, "time", "ln_Z"))
    assert "≤ 1.1e-02" in text
    assert "2.50e-01 ± 5.0e-03" in text
    assert "mps" in text
    assert r"$\leq$ \num{1.1e-02}" in render(select(summary, "time", "ln_Z"), "latex")


def test_a_reference_of_another_word_is_refused():
    with pytest.raises(ValueError, match="reference"):
        task(reference="clones")
