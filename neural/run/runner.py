"""``track``: let networks follow a system in time and report its values."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from vanbench.exact import InputError, System
from vanbench.exact.definitions.quantities import asked as rows_of
from vanbench.exact.definitions.quantities import kind_of
from vanbench.exact.definitions.quantity import NETWORKS
from vanbench.exact.files import require_writable, write_text
from vanbench.exact.warning import AccuracyWarning, RunWarning
from vanbench.neural import architectures, trackers
from vanbench.neural.autoregressive import FLOOR, Autoregressive, Collapsed
from vanbench.neural.backend import checkpoint, distributed
from vanbench.neural.backend import weights as trained
from vanbench.neural.ensemble import Ensemble, Parameters
from vanbench.neural.run import checks, notebook
from vanbench.neural.run.asked import DTYPES, check, check_times, names, numbers
from vanbench.neural.run.callbacks import Callback, Checkpoint, Moment
from vanbench.neural.run.defect import Defects
from vanbench.neural.run.fields import Fields
from vanbench.neural.run.log import RunLog
from vanbench.neural.run.opening import opening
from vanbench.neural.run.report import Asked, Report
from vanbench.neural.run.result import Track
from vanbench.neural.trackers import auto
from vanbench.neural.trackers.base import Problem, few_states


def track(
    system: System,
    s: float | Sequence[float] = 0.0,
    times: float | Sequence[float] = 1.0,
    observable: str = "activity",
    quantities: str | Sequence[str] | None = None,
    architecture: str | type[Autoregressive] | Autoregressive = "made",
    architecture_options: dict[str, Any] | None = None,
    tracker: str = "auto",
    tracker_options: dict[str, Any] | None = None,
    target: trackers.Target = "time",
    seed: int = 1,
    device: str = "auto",
    dtype: str = "float64",
    out: str | Path | None = None,
    resume: bool | None = None,
    start_from: str | Path | None = None,
    project: bool = True,
    certify: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Track:
    """Follow ``dP/dt = W_s P`` from the system's start with one network for each ``s``, all trained side by side.

    The table ``records`` of the result has the columns ``quantity, s, t, value, sampling_stderr`` (``site`` for
    profiles) and, if it can be estimated (`defect`), ``error_estimate``, the distance from continuous time. It holds
    ``ln_Z`` by the default estimator, with the ``score`` of `defect.Defects.score`; ``ln_Z:<estimator>`` by each
    estimator; ``ln_Z_summed`` with the step normalisers summed over all configurations (``project``, up to 2^16
    states); and the observables of the tracked distribution. Trackers of the symmetrised amplitude give the observables
    in the middle of the trajectory in the s-ensemble, named accordingly (``middle_density``).

    ``quantities``: by default ``ln_Z`` and the density, or the three spins of an open quantum system. For ``activity``
    and ``susceptibility`` two more networks are trained at ``s -+ h`` (`fields.spacing`).
    ``tracker``: ``auto`` takes the one that fits (`trackers.auto`). ``architecture``: a name, a class, or a network,
    which is copied (its weights are kept, except for the last layer, which the start determines).
    ``out``: a folder for a checkpoint. If it holds one already, ``resume`` says whether to continue from it, with the
    same numbers, or to begin again.
    ``start_from``: trained parameters in a file (`backend.weights`), or a checkpoint, whose distribution is the start.
    ``certify``: sharper error estimates, at up to twice the cost; refused if the tracker has none.
    ``callbacks`` are called after each step and may end the run (see `callbacks`); a notebook shows a bar. Problems
    that `checks` detects are listed in ``warnings`` of the result, and issued as an ``AccuracyWarning``.

    Raises ``InputError`` for unknown names, times that are no multiples of the step, or a start that a network cannot
    represent, before any training. Raises ``Diverged`` when a step is not finite: its ``so_far`` holds the results up
    to there, and ``out``, if given, keeps the networks and the log before that step.
    """
    options, grid, asked_s = dict(tracker_options or {}), np.unique(numbers("times", times)), numbers("s", s).tolist()
    quantities = names(system, quantities)
    if tracker == auto.AUTO:
        choice = auto.choose(system, architecture, target, options)
        tracker, options = choice.tracker, {**choice.options, **options}
    method = trackers.make(tracker, options)
    variant = method.variant(target)
    seed, out = int(seed), None if out is None else Path(out)
    if resume and out is None:
        raise InputError("resume=True goes on from a checkpoint in a folder: give out=.")
    if out is not None and resume is None and (out / checkpoint.NAME).exists():
        raise InputError(f"{str(out)!r} holds a checkpoint: resume=True goes on from it, resume=False begins again.")
    check(system, asked_s, grid, observable, quantities, method, target, dtype)
    if certify:
        method = trackers.certified(method, target)
    distributed.start()
    torch_device = distributed.chosen(device)
    torch.manual_seed(seed)
    volume = system.n_sites * float(grid[-1])
    fields = Fields.of(asked_s, quantities, volume, variant.noiseless)
    architecture_options = architectures.with_edges(architecture, system, architecture_options or {})
    net = architectures.build(architecture, system.shape, system.local_dim, **architecture_options)
    architectures.check_dtype(net, dtype)
    net = net.to(device=torch_device, dtype=DTYPES[dtype]).restrict(system.pinned, system.support)
    trackers.check_network(method, target, net)
    if net.starts or (start_from is None and method.begins):
        net.initialise(system.initial)
    if out is not None and distributed.rank() == 0:
        require_writable(out)
    generator = torch.Generator(torch_device).manual_seed(seed)
    ensemble, summed = Ensemble(net, len(fields.trained)), project and few_states(system)
    problem = Problem(system, fields.trained, observable, ensemble, generator, summed, target)
    runner = trackers.moving(method, problem) if start_from is None else method
    log = RunLog(fields.trained)
    if start_from is not None:
        _begin(problem, runner, Path(start_from))
    elif (
        runner.path == "P" and target == "time" and (begun := opening(problem, float(grid[grid > 0].min(initial=1.0))))
    ):
        problem.ensemble.start_from(begun.product)
        problem.opened = log.t = begun.t
        log.opened = begun.ln_z
    state = runner.init(problem)
    defects = Defects(runner.path == "psi", seed, certify) if runner.path and target == "time" else None
    config = {
        "system": system.name,
        "shape": list(system.shape),
        "params": json.loads(json.dumps(dict(system.params), default=str)),
        "terms": system.fingerprint,
        "quantities": sorted(quantities),
        "s": list(map(float, fields.trained)),
        "observable": observable,
        "architecture": architectures.name_of(architecture),
        "architecture_options": json.loads(json.dumps(architecture_options)),
        "tracker": tracker,
        "tracker_options": json.loads(json.dumps(options)),
        "target": target,
        "device": torch_device.type,
        "seed": seed,
        "dtype": dtype,
        **({"certify": True} if certify else {}),
        **({"start_from": trained.digest(Path(start_from))} if start_from is not None else {}),
    }
    if out is not None and resume:
        stored = checkpoint.load(out, config, torch_device, [*trackers.saved(), *runner.saved])
        if stored is not None:
            try:
                problem.ensemble.load(stored["parameters"])
                generator.set_state(stored["generator"].cpu())
                state, log = stored["state"], RunLog.from_dict(stored["log"])
                if defects is not None:
                    defects.load(stored["defects"])
            except (AttributeError, KeyError, TypeError, ValueError, RuntimeError) as error:
                raise InputError(f"{out / checkpoint.NAME} is damaged: remove it to start afresh.") from error
            check_times(grid, log)
    written, callbacks = out if distributed.rank() == 0 else None, [*callbacks, *notebook.bars(system.name)]
    rows = tuple(row.name for row in rows_of(quantities, (NETWORKS,), kind_of(system)))
    asked = Asked(rows, variant.middle, float(grid[-1]))
    run = _Run(problem, runner, state, log, fields, grid, asked, written, config, callbacks, defects)
    try:
        ended = run.go()
    except trackers.Diverged as error:
        error.so_far = _result(problem, log, fields, grid, variant.network != "none")
        raise
    result = _result(problem, log, fields, grid, variant.network != "none", ended)
    result.begun, result.path = start_from is not None, runner.path
    return result


def _begin(problem: Problem, runner: trackers.Tracker, path: Path) -> None:
    """Put the parameters in ``path`` into the networks. Raises ``InputError``."""
    if runner.path != "P":
        raise InputError(f"{runner.name} with these options can start only from the system's own distribution.")
    held = trained.read(path)
    for r, s in enumerate(problem.s):
        problem.ensemble.put(r, trained.put(problem.ensemble.copy_of(r), trained.of_field(held, s)))


@dataclass
class _Run:
    problem: Problem
    runner: trackers.Tracker
    state: Any  # of the runner
    log: RunLog
    fields: Fields
    times: np.ndarray
    asked: Asked
    out: Path | None
    config: dict[str, Any]
    callbacks: Sequence[Callback]
    defects: Defects | None

    def __post_init__(self) -> None:
        self.checkpoint = Checkpoint(self.out, self._content) if self.out is not None else None

    def go(self) -> str | None:
        """To the last time; or until a callback ends the run, whose sentence is returned."""
        began, ended = time.perf_counter() - self.log.wall, None
        if self.log.steps == 0 and self.times.size and self.times[0] == 0:
            self._record(0.0)
        end = float(self.times[-1])
        while self.log.t < end * (1 - 1e-12) and not ended:
            ahead = self.times[self.times > self.log.t * (1 + 1e-12) + 1e-12]
            step = self._step(float(ahead[0]) - self.log.t)
            self._tell(checks.of_step(step, self.log, self.fields.owners))
            self.log.add(step, time.perf_counter() - began)
            due = self.times[np.abs(self.times - self.log.t) < 1e-9 * max(1.0, end)]
            if due.size:
                self.log.t = float(due[0])
                self._tell(checks.of_report(self.log, self.fields.owners, self._eps()))
                self._record(self.log.t)
            moment = Moment(self.log, max(self.log.steps, round(end / step.dt)))
            callbacks: list[Callback] = [*self.callbacks, *([self.checkpoint] if self.checkpoint else [])]
            ended = next(filter(None, [callback(moment) for callback in callbacks]), None)
        self._close()
        return ended if self.log.t < end * (1 - 1e-12) else None

    def _step(self, limit: float) -> trackers.Step:
        with self._kept() as before:
            self.state, step = self.runner.step(self.problem, self.state, limit)
            if self.defects is not None:
                self.defects.add(self.problem, before, step, self.log.t + step.dt, self.runner.cost(self.problem))
            return step

    @contextmanager
    def _kept(self) -> Iterator[Parameters]:
        """Whatever ends the run inside leaves the networks and the log from before."""
        good = self.problem.ensemble.frozen()
        try:
            yield good
        except (trackers.Diverged, torch.linalg.LinAlgError, Collapsed, torch.cuda.OutOfMemoryError) as error:
            self.problem.ensemble.load(good)
            self._close()
            if isinstance(error, trackers.Diverged):
                raise
            if isinstance(error, torch.cuda.OutOfMemoryError):
                why = "the memory of the GPU is too small: take fewer samples or counting fields, or the device cpu."
                raise InputError(why) from error
            why, advice = "a step met a matrix that cannot be factored", "more damping"  # it is not finite
            if isinstance(error, Collapsed):
                why, advice = str(error).rstrip("."), "smaller steps, or another network"
            raise trackers.Diverged(f"{why}; the last good networks were kept: take {advice}.") from error

    def _close(self) -> None:
        if self.checkpoint is not None:
            self.checkpoint.save()
            log = self.log.frame().to_json(orient="records", lines=True)
            write_text(self.checkpoint.folder / "metrics.jsonl", log, self.checkpoint.folder.parent)

    def _tell(self, told: Iterable[RunWarning]) -> None:
        for warning in told:
            if self.log.warn(warning):
                warnings.warn(warning.sentence, AccuracyWarning, stacklevel=2)

    def _eps(self) -> float:
        return torch.finfo(next(iter(self.problem.ensemble.parameters.values())).dtype).eps

    def _content(self) -> dict[str, Any]:
        return {
            "config": self.config,
            "parameters": {k: v.detach() for k, v in self.problem.ensemble.parameters.items()},
            "state": self.state,
            "generator": self.problem.generator.get_state(),
            "log": self.log.to_dict(),
            "defects": self.defects.to_dict() if self.defects is not None else None,
        }

    def _record(self, t: float) -> None:
        with self._kept():
            report = Report(self.problem, self.runner, self.state, self.log, self.fields, self.asked, self.defects, t)
            rows = report.rows()
            self._tell(report.warnings)
            self.log.records += rows


def _result(
    problem: Problem, log: RunLog, fields: Fields, times: np.ndarray, uses_network: bool, ended: str | None = None
) -> Track:
    frame = log.frame()
    diagnostics = {
        "n_parameters": problem.ensemble.n_parameters if uses_network else 0,
        "batched": problem.ensemble.batched,
        "negative_targets": log.negative,
        "dt_hint": 1 / log.steepest if log.negative and log.steepest > 0 else None,
        "ess_min": float(frame["ess"].min()) if "ess" in frame else None,
        "processes": distributed.size(),
        "wall_s": log.wall,
        "steps": log.steps,
        "product_floor": FLOOR if (problem.system.initial == 0).any() else None,
        "device": distributed.described(problem.ensemble.device),
    }
    reported = [r for r, _ in fields.reported]
    asked = frame[np.isin(frame.index % len(fields.trained), reported)].reset_index(drop=True)
    records = [row for row in log.records if np.isclose(times, row["t"], rtol=1e-9).any()]  # not what others asked for
    return Track(pd.DataFrame(records), asked, log.default, diagnostics, problem, fields, list(log.warnings), ended)
