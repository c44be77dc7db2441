"""What a run calls after each step: live logs can be read back, a sentence ends the run, its checkpoint goes on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vanbench.exact import InputError, build
from vanbench.neural import track
from vanbench.neural.run.callbacks import Moment, budget, progress, tensorboard
from vanbench.neural.run.log import RunLog

ROWS = [{"step": 1, "t": 0.1, "s": 0.5, "loss": 0.25}, {"step": 2, "t": 0.2, "s": 0.5, "loss": float("nan")}]


def test_rows_can_be_read_back(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    write = tensorboard(tmp_path)
    write(Moment(RunLog([0.5], rows=ROWS[:1]), 2))
    write(Moment(RunLog([0.5], rows=ROWS), 2))
    found = events.EventAccumulator(str(tmp_path))
    found.Reload()
    assert found.Tags()["scalars"] == ["loss/s=0.5"]
    assert [(event.step, event.value) for event in found.Scalars("loss/s=0.5")] == [(1, 0.25)]  # NaN is left out


def test_live_logs_that_cannot_be_written_end_the_run(tmp_path: Path) -> None:
    """In a sentence, where the library has a thread that dies with a traceback, and leaves an empty file."""
    pytest.importorskip("tensorboard")
    write = tensorboard(tmp_path / "logs")
    (tmp_path / "logs").write_text("a file")
    with pytest.raises(OSError, match="events"):
        write(Moment(RunLog([0.5], rows=ROWS[:1]), 2))


def test_track_shows_every_step_of_every_field() -> None:
    seen: list[dict] = []
    track(build("east", (3,)), s=[0.1, 0.2], times=[0.1], tracker="tdvp", callbacks=[lambda m: seen.extend(m.rows)])
    assert {row["s"] for row in seen} == {0.1, 0.2}
    assert seen[-1]["t"] == pytest.approx(0.1)
    assert [row["step"] for row in seen[::2]] == list(range(1, len(seen) // 2 + 1))


def test_without_the_library_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match=r"pip install 'vanbench\[logs\]'"):
        tensorboard(tmp_path)


def test_a_sentence_ends_the_run_and_what_there_is_goes_on(tmp_path: Path) -> None:
    def stop(moment: Moment) -> str | None:
        return "enough" if moment.log.steps == 2 else None

    told: list[tuple] = []
    steps = {"tracker_options": {"dt": 0.1, "samples": 50, "epochs": 2, "first_epochs": 2}}
    system, times = build("east", (3,)), [0.1, 0.4]
    calls = [stop, progress(lambda *message: told.append(message))]
    cut = track(system, [0.2], times, out=tmp_path, callbacks=calls, **steps)
    assert (cut.ended, cut.diagnostics["steps"], set(cut.records.t)) == ("enough", 2, {0.1})
    assert [message[:2] for message in told] == [(1, 4), (2, 4)]  # the others hear of the last step too
    with pytest.raises(InputError, match="resume=True"):
        track(system, [0.2], times, out=tmp_path, **steps)
    resumed = track(system, [0.2], times, out=tmp_path, resume=True, **steps)
    assert resumed.ended is None
    assert resumed.records.equals(track(system, [0.2], times, **steps).records)


def test_a_budget_counts_from_its_start_and_names_what_ran_out(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"monotonic": 5.0, "process_time": 1.0}
    for name in now:
        monkeypatch.setattr(f"vanbench.neural.run.callbacks.time.{name}", lambda name=name: now[name])
    wall, processor = budget(seconds=3.0), budget(cpu_seconds=2.0)
    moment = Moment(RunLog([0.5], steps=7), 9)
    now.update(monotonic=8.0, process_time=3.0)
    assert [check(moment) for check in (wall, processor, budget())] == [None] * 3
    now.update(monotonic=8.1, process_time=3.1)
    assert wall(moment) == "the budget of 3 seconds ran out at step 7 of 9: raise budget.seconds."
    assert processor(moment) == "the budget of 2 CPU seconds ran out at step 7 of 9: raise budget.cpu_seconds."
