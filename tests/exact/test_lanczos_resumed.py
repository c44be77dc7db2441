"""Lanczos runs and scans that were cut off go on where they were, and what was done is not done again."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from vanbench.exact import InputError, build, solve
from vanbench.exact.matrixfree import lanczos as lanczos_module
from vanbench.exact.matrixfree import symmetric as symmetric_module
from vanbench.exact.matrixfree.checkpoint import Checkpoint
from vanbench.exact.matrixfree.lanczos import lanczos
from vanbench.exact.matrixfree.symmetric import Symmetric
from vanbench.exact.scan import scan

SYSTEM = build("south-east", (3, 3))


def test_the_derivatives_of_a_solve_are_saved_too(tmp_path, monkeypatch):
    """Cut off among the runs at neighbouring fields: those that had ended are read again; at the end all is gone."""
    monkeypatch.setattr(lanczos_module, "SMALL", 0)
    system, asked, runs = SYSTEM, ["activity", "susceptibility"], []

    def watch(text, stop=False):
        runs.append(text.split(":")[0])
        if stop and len(set(runs)) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        solve(
            system, 0.3, 5.0, asked, "continuous", method="lanczos", progress=partial(watch, stop=True), folder=tmp_path
        )
    assert len(list(tmp_path.rglob("*.npz"))) >= 3
    before = set(runs)
    runs.clear()
    got = solve(system, 0.3, 5.0, asked, method="lanczos", progress=watch, folder=tmp_path)
    assert not list(tmp_path.iterdir())
    want = solve(system, 0.3, 5.0, asked, method="dense")
    assert got.value.to_numpy() == pytest.approx(want.value.to_numpy(), rel=1e-7)
    again = [name for name in before if name in runs]
    assert len(again) <= 2  # the field itself, which is announced, and the run that was cut


def test_scan_resumes(tmp_path):
    system, calls = SYSTEM, []
    first = scan(system, [0.1, 0.2], [1.0], tmp_path, progress=calls.append, quantities=["ln_Z", "scgf"])
    again = scan(system, [0.1, 0.2, 0.3], [1.0], tmp_path, progress=calls.append, quantities=["ln_Z", "scgf"])
    assert sum("done" in call for call in calls) == 3
    assert again.value[:4].to_numpy() == pytest.approx(first.value.to_numpy(), rel=1e-14)
    with pytest.raises(InputError, match="another"):
        scan(system, [0.1], [2.0], tmp_path, quantities=["ln_Z", "scgf"])


@pytest.mark.slow
def test_scan_over_processes(tmp_path):
    system = SYSTEM
    alone = scan(system, [0.1, 0.2, 0.4], [1.0], quantities=["ln_Z"])
    spread = scan(system, [0.1, 0.2, 0.4], [1.0], tmp_path, processes=2, quantities=["ln_Z"])
    assert spread.value.to_numpy() == pytest.approx(alone.value.to_numpy(), rel=1e-14)


def test_a_run_that_was_cut_off_goes_on(tmp_path):
    """2^15 states; the interrupted run ends in the same tridiagonal matrix."""

    engine = Symmetric(build("south-east", (4, 4)), 0.1)
    whole = lanczos(engine.op, engine.start(), lambda _: False, 30)
    seen: list[int] = []

    def interrupt(step: int, vector: np.ndarray, norm: float) -> None:
        seen.append(step)
        if len(seen) == 18:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lanczos(engine.op, engine.start(), lambda _: False, 30, interrupt, Checkpoint(tmp_path / "new", "a", 0.0))
    assert Checkpoint(tmp_path / "new", "another").load() is None
    keep = Checkpoint(tmp_path / "new", "a", 0.0)
    rest = lanczos(engine.op, engine.start(), lambda _: False, 30, lambda step, *_: seen.append(step), keep)
    assert seen[18:] == list(range(17, 30))
    assert rest.diagonal == pytest.approx(whole.diagonal, rel=1e-13)
    assert rest.off == pytest.approx(whole.off, rel=1e-13)
    assert keep.path.stat().st_size < 4096  # the tridiagonal matrix alone
    again = lanczos(engine.op, engine.start(), lambda _: False, 30, lambda *_: 1 / 0, keep)  # no step is taken again
    assert (again.diagonal == rest.diagonal).all()
    assert (again.off == rest.off).all()


def test_a_profile_run_that_was_cut_off_goes_on(tmp_path, monkeypatch):
    """The site sums of the steps that were done are kept with the vectors; another system's file is not taken."""
    system, times = SYSTEM, np.array([1.0, 5.0])
    monkeypatch.setattr(symmetric_module, "Checkpoint", partial(Checkpoint, every=0.0))
    monkeypatch.setattr(lanczos_module, "SMALL", 0)  # a stored basis would need no second chance
    want = Symmetric(system, 0.3).run(times, profile=True)

    def stop_early(text):
        if "step 15" in text:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Symmetric(system, 0.3).run(times, profile=True, progress=stop_early, folder=tmp_path / "deep" / "folder")
    assert len(list((tmp_path / "deep" / "folder").glob("*.npz"))) == 1
    steps = []
    found = Symmetric(system, 0.3).run(
        times, profile=True, progress=lambda text: steps.append(int(text.split("step ")[1].split(",")[0])),
        folder=tmp_path / "deep" / "folder",
    )  # fmt: skip
    assert min(steps) > 15
    # it may stop some steps later: both hold their goal of 1e-8; sums of the wrong steps would be off by 1e-2
    assert found.profile(times)[0] == pytest.approx(want.profile(times)[0], abs=1e-8)
    read = Symmetric(system, 0.3).run(
        times, profile=True, progress=lambda _: 1 / 0, folder=tmp_path / "deep" / "folder"
    )
    assert (read.profile(times)[0] == found.profile(times)[0]).all()
