"""``track``: let networks follow a system in time and report what they saw."""

from __future__ import annotations

import json
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from vanbench.exact import InputError, StateSpace, System
from vanbench.exact.definitions.quantities import TRACK_DEFAULT, evolved, kind_of, middle
from vanbench.exact.definitions.quantities import asked as rows_of
from vanbench.exact.definitions.quantity import CLASSICAL, NETWORKS
from vanbench.exact.warning import AccuracyWarning, RunWarning
from vanbench.neural import architectures, checks, differences, quantum, trackers
from vanbench.neural.asked import DTYPES, check, check_times
from vanbench.neural.autoregressive import FLOOR, Autoregressive, Collapsed
from vanbench.neural.backend import checkpoint, distributed
from vanbench.neural.ensemble import Ensemble
from vanbench.neural.log import Row, RunLog
from vanbench.neural.trackers.base import MAX_SUMMED, Problem

CHECKPOINT_SECONDS = 20.0


@dataclass
class Track:
    """The outcome of a run: tidy ``records``, a ``log`` row for each step and ``s``, ``warnings`` of what may be wrong
    with them, and the networks at the end."""

    records: pd.DataFrame
    log: pd.DataFrame
    estimator: str
    diagnostics: dict[str, Any]
    problem: Problem
    warnings: list[RunWarning]

    def network(self, index: int = 0) -> Autoregressive:
        """The network at the end, for the counting field ``problem.s[index]``."""
        return self.problem.ensemble.copy_of(index)

    def distribution(self, index: int = 0) -> np.ndarray | None:
        """Its probabilities in ``StateSpace`` order, ``(n_states,)``; None beyond 2^16 states and without a network."""
        if not self.diagnostics["n_parameters"] or not _summable(self.problem.system):
            return None
        return self.problem.log_prob(self.problem.all_states())[index].double().exp().cpu().numpy()


def track(
    system: System,
    s: Sequence[float] = (0.0,),
    times: Sequence[float] = (1.0,),
    observable: str = "activity",
    quantities: Sequence[str] = TRACK_DEFAULT[CLASSICAL],
    architecture: str = "made",
    architecture_options: dict[str, Any] | None = None,
    tracker: str = "kl",
    tracker_options: dict[str, Any] | None = None,
    seed: int = 1,
    device: str = "auto",
    dtype: str = "float64",
    out: Path | None = None,
    resume: bool = False,
    project: bool = True,
    progress: Callable[[int, int, str], None] | None = None,
    watch: Callable[[list[Row]], None] | None = None,
) -> Track:
    """Follow ``dP/dt = W_s P`` from the system's start with one network for each ``s``, all trained side by side.

    ``records``: ``quantity, s, t, value, stderr`` (``site`` for profiles): ``ln_Z`` by the default estimator,
    ``ln_Z:<estimator>`` by each, ``ln_Z_summed`` with the step normalisers summed over all configurations (``project``,
    up to 2^16 states), and the observables of the tracked distribution. Trackers of the symmetrised amplitude have
    those of the middle of the trajectory in the s-ensemble, and call them so (``middle_density``). ``activity`` and
    ``susceptibility`` train two more networks at ``s -+ h`` (`differences.spacing`). With ``out``, a checkpoint, and
    ``resume`` goes on from it with the same numbers.
    ``watch`` sees the rows of the log, one a counting field, after each step. What `checks` finds on the way stands in
    ``warnings`` of the result, and is told as an ``AccuracyWarning``.

    Raises ``InputError`` for unknown names, times that are no multiples of the step, or a start a network cannot take,
    before any training; ``Diverged`` when a step turns non-finite: with ``out``, the networks and the log before it
    are kept there. It, and any other ``Unfinished`` that ``progress`` or ``watch`` raises, carries what there is
    ``so_far``.
    """
    options, grid = dict(tracker_options or {}), np.unique(np.asarray(times, float))
    asked_s: list[float] = np.atleast_1d(np.asarray(s, float)).tolist()
    seed = int(seed)
    strict = bool(options.pop("strict", False))
    check(system, asked_s, grid, observable, quantities, tracker, options, dtype)
    distributed.start()
    torch_device = distributed.chosen(device)
    torch.manual_seed(seed)
    volume = system.n_sites * float(grid[-1])
    fields = differences.fields(asked_s, quantities, volume, trackers.noiseless(tracker))
    architecture_options = _with_edges(architecture, system, architecture_options or {})
    net = architectures.build(architecture, system.shape, system.local_dim, **architecture_options)
    net = net.to(device=torch_device, dtype=DTYPES[dtype]).restrict(system.pinned, system.support)
    net.initialise(system.initial)
    generator = torch.Generator(torch_device).manual_seed(seed)
    problem = Problem(system, fields, observable, Ensemble(net, len(fields)), generator, project and _summable(system))
    runner = trackers.build(tracker, problem, **options)
    log = RunLog(fields)
    config = {
        "system": system.name,
        "shape": list(system.shape),
        "params": json.loads(json.dumps(dict(system.params), default=str)),
        "terms": system.fingerprint,
        "quantities": sorted(quantities),
        "s": list(map(float, fields)),
        "observable": observable,
        "architecture": architecture,
        "architecture_options": json.loads(json.dumps(architecture_options)),
        "tracker": tracker,
        "tracker_options": json.loads(json.dumps(options)),
        "seed": seed,
        "dtype": dtype,
    }
    if out is not None and resume:
        stored = checkpoint.load(out, config, torch_device)
        if stored is not None:
            problem.ensemble.load(stored["parameters"])
            runner.load(stored["tracker"])
            generator.set_state(stored["generator"].cpu())
            log = RunLog.from_dict(stored["log"])
            check_times(grid, log)
    written = out if distributed.rank() == 0 else None
    try:
        asked = tuple(row.name for row in rows_of(quantities, (NETWORKS,), kind_of(system)))
        _Run(
            problem,
            runner,
            log,
            asked_s,
            grid,
            asked,
            trackers.middle(tracker),
            strict,
            written,
            config,
            progress,
            watch,
        ).go()
    except trackers.Unfinished as error:
        error.so_far = _result(problem, log, asked_s, grid, trackers.uses_network(tracker))
        raise
    return _result(problem, log, asked_s, grid, trackers.uses_network(tracker))


@dataclass
class _Run:
    problem: Problem
    runner: trackers.Tracker
    log: RunLog
    s: list[float]
    times: np.ndarray
    quantities: tuple[str, ...]
    middle: bool  # observables are of the middle of the trajectory
    strict: bool
    out: Path | None
    config: dict[str, Any]
    progress: Callable[[int, int, str], None] | None
    watch: Callable[[list[Row]], None] | None = None

    def go(self) -> None:
        began, saved = time.perf_counter() - self.log.wall, time.perf_counter()
        if self.log.t == 0 and self.times.size and self.times[0] == 0:
            self._record(0.0)
        end = float(self.times[-1])
        while self.log.t < end * (1 - 1e-12):
            ahead = self.times[self.times > self.log.t * (1 + 1e-12) + 1e-12]
            step = self._step(float(ahead[0]) - self.log.t)
            self._refuse(step)
            self._tell(checks.of_step(step, self.log, self._owners()))
            self.log.add(step, time.perf_counter() - began)
            if self.watch:
                self.watch(self.log.rows[-len(self.log.s) :])
            due = self.times[np.abs(self.times - self.log.t) < 1e-9 * max(1.0, end)]
            if due.size:
                self.log.t = float(due[0])
                self._tell(checks.of_report(self.log, self._owners(), self._eps()))
                self._record(self.log.t)
            if self.progress:
                shown = float(self.log.ln_z[self.log.default][0])
                total = max(self.log.steps, round(end / step.dt))
                self.progress(self.log.steps, total, f"t = {self.log.t:.4g}, ln Z = {shown:.6g}")
            if self.out is not None and time.perf_counter() - saved > CHECKPOINT_SECONDS:
                self._save()
                saved = time.perf_counter()
        self._close()

    def _step(self, limit: float) -> trackers.Step:
        with self._kept():
            return self.runner.step(limit)

    @contextmanager
    def _kept(self) -> Iterator[None]:
        """Whatever ends the run inside leaves the networks and the log from before."""
        good = self.problem.ensemble.frozen()
        try:
            yield
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
        if self.out is not None:
            self._save()
            self.log.frame().to_json(self.out / "metrics.jsonl", orient="records", lines=True)

    def _tell(self, found: Iterable[RunWarning]) -> None:
        for one in found:
            if self.log.warn(one):
                warnings.warn(one.sentence, AccuracyWarning, stacklevel=2)

    def _refuse(self, step: trackers.Step) -> None:
        if step.negative and self.strict:
            raise InputError(checks.negative(step, self.log.t) + " (strict).")

    def _eps(self) -> float:
        return torch.finfo(next(iter(self.problem.ensemble.parameters.values())).dtype).eps

    def _save(self) -> None:
        assert self.out is not None
        content = {
            "config": self.config,
            "parameters": {k: v.detach() for k, v in self.problem.ensemble.parameters.items()},
            "tracker": dict(self.runner.state()),
            "generator": self.problem.generator.get_state(),
            "log": self.log.to_dict(),
        }
        checkpoint.save(self.out, content)

    # -- records ---------------------------------------------------------------------------------------------------

    def _record(self, t: float) -> None:
        with self._kept():
            self.log.records += [*self._ln_z_rows(t), *self._difference_rows(t), *self._observable_rows(t)]

    def _owners(self) -> list[float]:
        """The ``s`` that was asked for, of each field that is trained: differences over ``s`` take neighbours."""
        stride = len(self.log.s) // len(self.s)
        return [self.s[r // stride] for r in range(len(self.log.s))]

    def _asked(self) -> list[tuple[int, float]]:
        """Index among the trained fields of each ``s`` that was asked for."""
        stride = 3 if len(self.log.s) == 3 * len(self.s) else 1
        return [(stride * i + stride // 2, value) for i, value in enumerate(self.s)]

    def _ln_z_rows(self, t: float) -> list[Row]:
        rows: list[Row] = []
        for r, s in self._asked():
            if not self.log.ln_z:  # t = 0
                rows.append({"quantity": "ln_Z", "s": s, "t": t, "value": 0.0, "stderr": 0.0})
            for name, value in self.log.ln_z.items():
                stderr = float(np.sqrt(max(0.0, self.log.covariance[name][r, r])))
                row = {"s": s, "t": t, "value": float(value[r]), "stderr": stderr, "estimator": name}
                rows.append({"quantity": f"ln_Z:{name}", **row})
                if name == self.log.default:
                    rows.append({"quantity": "ln_Z", **row})
            if self.log.summed is not None:
                rows.append(
                    {"quantity": "ln_Z_summed", "s": s, "t": t, "value": float(self.log.summed[r]), "stderr": 0.0}
                )
        return rows

    def _difference_rows(self, t: float) -> list[Row]:
        rows: list[Row] = []
        n = self.problem.system.n_sites
        for quantity in evolved(self.quantities) if t > 0 else ():
            for s, weights in zip(self.s, differences.stencils(self.log.s, quantity.order)) if quantity.order else ():
                value = -float(weights @ self.log.ln_z[self.log.default]) / (n * t)
                stderr = self.log.stderr(self.log.default, weights) / (n * t)
                rows.append({"quantity": quantity.name, "s": s, "t": t, "value": value, "stderr": stderr})
        return rows

    def _observable_rows(self, t: float) -> list[Row]:
        if self.problem.system.quantum is not None:
            return self._quantum_rows(t)
        observed = [row for row in evolved(self.quantities) if row.observe]
        if not observed:
            return []
        x, weights = self._measured()
        rows: list[Row] = []
        for r, s in self._asked():
            w = weights[r] if weights is not None else None
            for quantity in sorted(observed, key=lambda row: len(row.axes)):  # profiles last
                values = torch.from_numpy(quantity.values(self.problem.system, x[r].cpu().numpy(), s)).to(x.device)
                head = {"quantity": middle(quantity.name) if self.middle else quantity.name, "s": s, "t": t}
                if values.ndim == 1:
                    rows.append({**head, **_mean(values, w)})
                else:
                    rows += [{**head, **_mean(values[:, i], w), "site": i} for i in range(values.shape[1])]
        return rows

    def _quantum_rows(self, t: float) -> list[Row]:
        x, weights = self._measured()
        rows: list[Row] = []
        for r, s in self._asked():
            net, w = self.problem.ensemble.copy_of(r), None if weights is None else weights[r]
            outcomes = quantum.Outcomes(self.problem.system, net, x[r], w)
            last = t >= float(self.times[-1])
            rows += [{"s": s, "t": t, **row} for row in outcomes.rows(self.quantities, last, s)]
        return rows

    def _measured(self) -> tuple[Tensor, Tensor | None]:
        """Configurations to average over, with weights where they are all configurations."""
        states = getattr(self.runner, "states", None)
        if states is not None:
            return states, self.problem.log_prob_all(states).double().exp()
        return self.runner.measured, None


def _mean(values: Tensor, weights: Tensor | None) -> Row:
    if weights is not None:
        return {"value": float(weights @ values), "stderr": 0.0}
    return {"value": float(values.mean()), "stderr": float(values.std() / np.sqrt(len(values)))}


def _result(problem: Problem, log: RunLog, s: list[float], times: np.ndarray, uses_network: bool) -> Track:
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
    asked = frame[frame["s"].isin(s)].reset_index(drop=True) if len(frame) else frame
    records = [row for row in log.records if np.isclose(times, row["t"], rtol=1e-9).any()]  # not what others asked for
    return Track(pd.DataFrame(records), asked, log.default, diagnostics, problem, list(log.warnings))


def _summable(system: System) -> bool:
    if system.local_dim ** len(system.free_sites) > 16 * MAX_SUMMED:
        return False
    return StateSpace(system).size <= MAX_SUMMED


def _with_edges(architecture: str, system: System, options: dict[str, Any]) -> dict[str, Any]:
    """A network that works along edges gets those of the system, unless others were asked for."""
    known = architectures.hyperparameters(architectures.find(architecture)) or {}
    return {"edges": system.edges.tolist(), **options} if "edges" in known and len(system.edges) else options
