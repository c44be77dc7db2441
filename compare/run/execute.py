"""One run: train the networks, compare with the references, write the record."""

from __future__ import annotations

import math
import time
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from vanbench.compare.declare.columns import columns, jsonable
from vanbench.compare.declare.sources import sources
from vanbench.compare.declare.task import Run
from vanbench.compare.judge import checks
from vanbench.compare.judge.distances import distances
from vanbench.compare.judge.errors import errors
from vanbench.compare.run.provenance import peak_memory_mib, provenance, restart_peak_memory
from vanbench.compare.run.record import FOLDER, UNFINISHED, Record
from vanbench.compare.run.references import Reference, reference
from vanbench.exact import InputError, System, build
from vanbench.exact.definitions.quantities import DISTRIBUTION, asked, kind_of
from vanbench.exact.definitions.quantity import NETWORKS, SUMMED
from vanbench.exact.files import stay_inside
from vanbench.exact.sparse.propagate import steps_of
from vanbench.exact.warning import AccuracyWarning, RunWarning

if TYPE_CHECKING:
    from vanbench.neural.run.callbacks import Callback
    from vanbench.neural.run.result import Track

MAX_CHECKED = 1 << 12  # configurations; the check of a network must not be felt


@dataclass(frozen=True)
class Done:
    """The outcome of a run: its record's file, its warnings, why it ended before its last time, if it did, and whether
    it was made by this call."""

    path: Path
    warnings: list[RunWarning]
    ended: str | None = None
    made: bool = True


def check(run: Run) -> System:
    """Raise ``InputError`` for what cannot run (system, network, tracker, times), before any work starts."""
    from vanbench import neural
    from vanbench.neural import architectures, trackers
    from vanbench.neural.backend import weights

    task = run.task
    system = build(task.system, run.shape, **task.params)
    if task.observable not in system.observables:
        raise InputError(f"task {task.name!r}: {system.name} has the observables {', '.join(system.observables)}.")
    try:
        asked(task.quantities, (NETWORKS, SUMMED), kind_of(system))
    except InputError as error:
        raise InputError(f"task {task.name!r}: {error}") from error
    tracker = trackers.make(task.tracker, task.options)
    tracker.variant(task.target)
    if task.certify:
        trackers.certified(tracker, task.target)
    architectures.check_options(run.architecture.name, run.architecture.options)
    _check_finite(f"system {task.system}", task.params)
    if tracker.fixed_step is not None:
        steps_of(np.array(task.times), tracker.fixed_step)
    try:
        net = neural.build(run.architecture.name, run.shape, system.local_dim, **run.architecture.options)
    except InputError:
        raise
    except Exception as error:  # a stranger's network, or an option of the wrong type
        raise InputError(
            f"network {run.architecture.label} cannot be built: {type(error).__name__}: {error}."
        ) from error
    trackers.check_network(tracker, task.target, net)
    neural.architectures.check_dtype(net, task.dtype)
    net.restrict(system.pinned, system.support)
    if task.start_from is None and system.initial.ndim == 2 and (net.starts or tracker.begins):
        net.initialise(system.initial)
    if task.start_from is not None:
        state = weights.read(Path(task.start_from))
        for s in task.s:
            weights.put(net, weights.of_field(state, s))
    if not type(net).__module__.startswith("vanbench."):  # those are held to the whole contract by the tests
        _check_strange(run, system.local_dim, net.square)
    return system


def _check_strange(run: Run, d: int, square: bool) -> None:
    """Hold a stranger's network to what no result shows: normalisation, causality, one density for all batches, copies
    that train, the start.

    On a smaller lattice where the run's has too many configurations to sum over.
    """
    from vanbench import neural
    from vanbench.compare.conform.case import Case, Skip, Violation
    from vanbench.compare.conform.checks import (
        check_causality,
        check_normalisation,
        check_product_start,
        check_sampling,
    )
    from vanbench.compare.conform.program import check_batches, check_copies

    def make(shape: tuple[int, ...], local_dim: int) -> neural.Autoregressive:
        return neural.build(run.architecture.name, shape, local_dim, **run.architecture.options)

    shape = tuple(run.shape)
    if d ** math.prod(shape) > MAX_CHECKED:
        shape = ((6 if d == 2 else 4,), (2, 3 if d == 2 and not square else 2), (2, 2, 2))[len(shape) - 1]
    where = f"network {run.architecture.label} on {'x'.join(map(str, shape))} sites"
    whole = f"`vanbench conform {run.architecture.name}` runs the whole contract."
    for broken, check in (
        ("is not normalised", check_normalisation),
        ("is not causal", check_causality),
        ("is another one in each batch", check_batches),
        ("has samples of another density", check_sampling),
        ("has copies that do not train", check_copies),
        ("does not start in a product distribution", check_product_start),
    ):
        try:
            check(Case(make, shape, d))
        except Skip:
            continue
        except Violation as violation:
            raise InputError(f"{where} {broken}: {violation.found} ({violation.likely}) {whole}") from violation
        except InputError as error:
            raise InputError(f"{where} fails: {error} {whole}") from error
        except Exception as error:
            raise InputError(f"{where} fails: {type(error).__name__}: {error}. {whole}") from error


def _check_finite(what: str, options: dict[str, Any]) -> None:
    for key, value in options.items():
        for item in value if isinstance(value, list | tuple) else [value]:
            if isinstance(item, float) and not math.isfinite(item):
                raise InputError(f"{key} = {item}: an option of {what} is a finite number.")


def execute(
    run: Run,
    folder: Path,
    device: str = "auto",
    checkpoint: Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] = (),
) -> Done:
    """Do ``run`` and write its record under ``folder``; ``callbacks`` are those of `neural.track`.

    Where the budget runs out or the run diverges, what there is until then is kept apart, under ``UNFINISHED``, until a
    finished run takes its place. Raises ``InputError`` for bad input.
    """
    from vanbench.neural import track
    from vanbench.neural.backend import distributed
    from vanbench.neural.run import callbacks as call
    from vanbench.neural.trackers import Diverged

    task = run.task
    finished, unfinished = folder / FOLDER / run.path, folder / UNFINISHED / run.path
    for path in (finished, unfinished):
        stay_inside(path, folder)
    system = build(task.system, run.shape, **task.params)
    known = reference(task, run.shape, folder) if task.references else Reference(None, None, {})
    restart_peak_memory()
    began, began_cpu = time.perf_counter(), time.process_time()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        warnings.simplefilter("ignore", AccuracyWarning)  # the result has them
        try:
            result = track(
                system,
                s=task.s,
                times=task.times,
                observable=task.observable,
                quantities=[name for name in task.quantities if name != DISTRIBUTION],
                architecture=run.architecture.name,
                architecture_options=run.architecture.options,
                tracker=task.tracker,
                tracker_options=task.options,
                target=task.target,
                seed=run.seed,
                device=device,
                dtype=task.dtype,
                out=checkpoint,
                resume=resume,
                start_from=task.start_from,
                certify=task.certify,
                callbacks=[call.budget(task.budget.seconds, task.budget.cpu_seconds), *callbacks],
            )
            ended, how = result.ended, "out of budget"
        except Diverged as error:
            result, how = error.so_far, "diverged"
            ended = f"{run.label} diverged: {error} Take a smaller learning rate or time step."
    cost: dict[str, Any] = {
        "wall_s": round(time.perf_counter() - began, 3),
        "cpu_s": round(time.process_time() - began_cpu, 3),
    }
    record = assemble(run, system, result, known, cost)
    others = dict.fromkeys(str(warning.message) for warning in caught if issubclass(warning.category, UserWarning))
    record.warnings += [RunWarning("code", text.removesuffix(".")) for text in others]
    if ended:
        record.diagnostics["ended"] = how
        record.diagnostics["ended_t"] = float(result.log["t"].max()) if len(result.log) else 0.0
        record.distances = {}  # those at the last time
    path = unfinished if ended else finished
    if distributed.rank() == 0:
        record.save(path, folder)
        if not ended:
            unfinished.unlink(missing_ok=True)
    return Done(path, record.warnings, ended)


def assemble(run: Run, system: System, result: Track, known: Reference, cost: dict[str, Any]) -> Record:
    """The record of a finished run."""
    task = run.task
    compared = result.records  # empty where the first report time was not reached
    if len(result.records):
        compared = errors(result.records, known.continuous, known.scheme, system.n_sites, known.scheme_notes)
    return Record(
        run=run,
        task_hash=task.hash,
        system=system.name,
        params=jsonable(dict(system.params)),
        rows=columns(result.records),
        errors=columns(compared),
        distances=columns(pd.DataFrame(_distances(run, result, known))),
        log=columns(_at_times(result.log, task.times)),
        diagnostics=jsonable(result.diagnostics),
        estimator=result.estimator,
        provenance={**provenance(str(result.diagnostics.get("device", "cpu"))), "sources": sources(run)},
        **cost,
        peak_memory_mib=round(peak_memory_mib(), 1),
        warnings=[*result.warnings, *checks.projections(compared, system)],
    )


def _distances(run: Run, result: Track, known: Reference) -> Iterator[dict[str, Any]]:
    """At the last time, for each ``s`` and each reference that has a distribution."""
    if DISTRIBUTION not in run.task.quantities:
        return
    for i, s in enumerate(run.task.s):
        network = result.distribution(i)
        for which in ("continuous", "scheme"):
            exact = known.distribution(s, which)
            if network is not None and exact is not None:
                yield {"s": s, "t": run.task.times[-1], "reference": which, **distances(exact, network)}


def _at_times(log: pd.DataFrame, times: list[float]) -> pd.DataFrame:
    if log.empty:
        return log
    near = [any(abs(t - wanted) < 1e-9 * max(1.0, wanted) for wanted in times) for t in log["t"]]
    return log[near].reset_index(drop=True)
