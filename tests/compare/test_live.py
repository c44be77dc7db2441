"""Live logs: what a run says of each step can be read back from TensorBoard's own files."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from vanbench.compare.run.live import tensorboard
from vanbench.exact import InputError, build
from vanbench.neural import track

ROWS = [{"step": 1, "t": 0.1, "s": 0.5, "loss": 0.25}, {"step": 2, "t": 0.2, "s": 0.5, "loss": float("nan")}]


def test_rows_can_be_read_back(tmp_path: Path) -> None:
    events = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    watch = tensorboard(tmp_path)
    watch(ROWS)
    watch.__closure__[0].cell_contents.close()  # type: ignore[index]  # flush what is waiting
    found = events.EventAccumulator(str(tmp_path))
    found.Reload()
    assert found.Tags()["scalars"] == ["loss/s=0.5"]
    assert [(event.step, event.value) for event in found.Scalars("loss/s=0.5")] == [(1, 0.25)]  # NaN is left out


def test_track_shows_every_step_of_every_field() -> None:
    seen: list[dict] = []
    track(build("east", (3,)), s=[0.1, 0.2], times=[0.1], tracker="tdvp", watch=seen.extend)
    assert {row["s"] for row in seen} == {0.1, 0.2}
    assert seen[-1]["t"] == pytest.approx(0.1)
    assert [row["step"] for row in seen[::2]] == list(range(1, len(seen) // 2 + 1))


def test_without_the_library_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(InputError, match="pip install tensorboard"):
        tensorboard(tmp_path)
