"""The table of defaults: what it runs, how a combination comes out, and that a call that was cut off goes on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from vanbench.compare.studies.calibration import defaults
from vanbench.exact import InputError
from vanbench.neural.architectures import ARCHITECTURES
from vanbench.neural.trackers import TRACKERS

WANTED = {  # of all runs: what is expected of it
    ("chain-tdvp", "bernoulli"): {"near", "covered"},
    ("chain-natural-gradient", "bernoulli"): {"out of budget"},
    ("chain-tebd", "bernoulli"): {"refused"},
    ("open-ring-clones", "sitewise"): {"refused"},
    ("open-ring-tdvp", "bernoulli"): {"near", "covered"},
}


def test_every_network_meets_every_tracker_on_every_system() -> None:
    every = [(run.task.name, run.architecture.name) for run in defaults.runs()]
    assert len(set(every)) == len(every) == (len(TRACKERS) - 1) * 6 * len(ARCHITECTURES) + 6  # clones have no network
    assert {name for _, name in every[: 6 * len(TRACKERS)]} == {defaults.NETWORKS[0]}


def test_a_combination_comes_out_as_it_does_and_is_not_run_again(tmp_path: Path, monkeypatch) -> None:
    chosen = [run for run in defaults.runs() if (run.task.name, run.architecture.name) in WANTED]
    monkeypatch.setattr(defaults, "runs", lambda: iter(chosen))
    told: list[str] = []
    defaults.run_all(tmp_path, 0.0, 0.5, told.append)
    assert not told
    values = defaults.collected(tmp_path)
    assert set(values.verdict) == {"not run"}

    execute = defaults.execute.execute

    def cut(run, folder, device, callbacks):
        # CPU seconds of a machine are in no test: the steps of one run end it
        more = [lambda moment: "over" if run.task.tracker == "natural-gradient" else None]
        done = execute(run, folder, device, callbacks=[*callbacks, *more])
        return done

    monkeypatch.setattr(defaults.execute, "execute", cut)
    defaults.run_all(tmp_path, 60.0, 1e4, told.append)
    assert len(told) == len(WANTED)
    values = defaults.collected(tmp_path)
    worst = values.groupby(["system", "tracker", "network"]).verdict.agg(defaults._worst)
    for (task, network), verdicts in WANTED.items():
        system, tracker = next((s, task.removeprefix(f"{s}-")) for s in ("open-ring", "chain") if task.startswith(s))
        assert worst[system, tracker, network] in verdicts
    refused = values[values.verdict == "refused"].said
    assert refused.str.contains("matrix-product").any()
    page = defaults.page(values, 30.0)
    assert "needs the architecture matrix-product" in page
    assert "| tdvp" in page

    defaults.run_all(tmp_path, 60.0, 1e4, lambda text: pytest.fail(text))


def test_a_refusal_after_work_and_a_failure_are_told_apart(tmp_path: Path, monkeypatch) -> None:
    run = next(iter(defaults.runs()))

    def late(run, folder, device, callbacks):
        callbacks[0](None)
        raise InputError("too late.")

    monkeypatch.setattr(defaults.execute, "execute", late)
    assert defaults._done(run, tmp_path, 1.0) == "refused after 1 steps: too late."

    def broken(*_, **__):
        raise ZeroDivisionError("0")

    monkeypatch.setattr(defaults.execute, "execute", broken)
    assert defaults._done(run, tmp_path, 1.0) == "failed: ZeroDivisionError: 0"


def test_a_network_counts_by_its_worst_value() -> None:
    rows = [("near", "a"), ("silent", "a"), ("near", "b"), ("covered", "b"), ("near", "c"), ("refused", "d")]
    frame = pd.DataFrame([{"tracker": "t", "system": "s", "network": n, "verdict": v} for v, n in rows])
    assert defaults.matrix(frame).s.iloc[0] == "1 silent, 1 covered, 1 near, 1 refused"
