"""Networks made worse fail the gate of this repository, by name, label and task hash what the baseline holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from gate_study import BASELINE, SUITE, WORSE_SEED, complete
from worse_networks import WORSE, put_in_place

from vanbench.compare.declare.task import Suite, load_suite
from vanbench.compare.judge.gate import Verdict, gate, load_baseline, outlook, pools
from vanbench.compare.judge.power import POWER
from vanbench.compare.run.suite import run_suite

TASK = "voter-1d"  # the cheapest
SEEDS = 5  # of the baseline's sixteen
AT_LEAST = 15  # cases that see a doubled error


def judged(folder: Path, seed: int) -> Verdict:
    """The verdict on one task with a few of its seeds."""
    task = load_suite(SUITE).only([TASK]).tasks[0]
    run_suite(Suite(name=SUITE, tasks=[task.model_copy(update={"seeds": SEEDS})]), folder, seed=seed, workers=1)
    return gate(folder, BASELINE, only=lambda case: case["task"] == TASK)


@pytest.mark.parametrize("name", WORSE)
def test_what_is_worse_fails(name: str, tmp_path: Path) -> None:
    with put_in_place(name):
        verdict = judged(tmp_path, WORSE_SEED)
    assert not verdict.refusals
    assert verdict.failures


def test_what_is_put_in_place_is_taken_away(tmp_path: Path) -> None:
    """The same seed without it is no worse: the tests above see the networks, not the seeds."""
    assert not judged(tmp_path, WORSE_SEED).failures


def test_the_baseline_sees_a_doubled_error() -> None:
    """As `vanbench gate` prints it, with as many seeds as the baseline has."""
    stored = load_baseline(BASELINE)
    compared = len(stored) + len(pools(stored))
    sighted = [case for case in stored if outlook(case, case["seeds"], compared)["power"] >= POWER]
    assert len(stored) == 20
    assert len(sighted) >= AT_LEAST
    assert {case["measure"] for case in stored} == {"network"}


def test_the_baseline_is_of_the_suite() -> None:
    declared = {(task.name, task.hash, task.seeds) for task in load_suite(SUITE).tasks}
    assert {(case["task"], case["task_hash"], case["seeds"]) for case in load_baseline(BASELINE)} == declared


@pytest.mark.slow
@pytest.mark.parametrize("name", [*WORSE, None])
def test_the_whole_suite(name: str | None, tmp_path: Path) -> None:
    """What is worse fails it, and what is unchanged does not."""
    if name is None:
        run_suite(SUITE, tmp_path, seed=WORSE_SEED, workers=1)
    else:
        with put_in_place(name):
            run_suite(SUITE, tmp_path, seed=WORSE_SEED, workers=1)
    assert complete(tmp_path)
    assert bool(gate(tmp_path, BASELINE).failures) == (name is not None)
