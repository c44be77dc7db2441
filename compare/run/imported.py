"""Values that another code computed, as records of a suite: compared with the exact vectors like those of a network."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vanbench.compare.declare.columns import columns, jsonable
from vanbench.compare.declare.foreign import COST, Samples, Value
from vanbench.compare.declare.parse import shape_text
from vanbench.compare.declare.task import Architecture, Run, Suite, Task
from vanbench.compare.judge import checks
from vanbench.compare.judge.distances import distances
from vanbench.compare.judge.errors import errors
from vanbench.compare.run.provenance import provenance
from vanbench.compare.run.record import FOLDER, Record
from vanbench.compare.run.references import Reference, reference
from vanbench.compare.show.warned import grouped
from vanbench.exact import InputError, StateSpace, System, build
from vanbench.exact.definitions.quantities import DISTRIBUTION, asked, kind_of, row_of
from vanbench.exact.definitions.quantity import COUNTED, NETWORKS, SUMMED
from vanbench.exact.errors import unknown
from vanbench.exact.warning import RunWarning

CLOSE = 1e-9  # relative: 0.30000000000000004 is 0.3
MOST_LABEL = 60  # characters
NOISE = 0.5  # of a total variation; with more of it explained by the number of samples, the number says little


@dataclass
class _Case:
    """What belongs to one run."""

    task: Task
    system: System
    seed: int
    rows: dict[tuple, Value] = field(default_factory=dict)
    samples: dict[float, Samples] = field(default_factory=dict)  # at the last time, by s


def import_results(suite: Suite, given: Sequence[Value | Samples], label: str, out: Path) -> list[Record]:
    """Write a record for each task, shape and seed that ``given`` has values of; returns them.

    ``label``: how tables are to call the code or network. What came before stays; the same values again change nothing.
    Raises ``InputError`` for a row that the suite does not ask for, for one given twice, and for a record of the same
    run with other values, before anything is written.
    """
    _check_label(label)
    cases: dict[tuple, _Case] = {}
    for item in given:
        _place(suite, item, cases)
    here = provenance("cpu")  # of all: it takes as long as the rest of a record
    made = [_record(case, label, out, here) for case in cases.values()]
    for path, record in made:
        if path.exists() and Record.load(path).rows != record.rows:
            raise InputError(
                f"{str(path)!r} holds other values of this run: give all files in one call, or another --out."
            )
    for path, record in made:
        record.save(path, out)
    return [record for _, record in made]


def warnings(made: Sequence[Record]) -> list[str]:
    """Those of the records, and what the suite asks for and they do not have; a sentence for what seeds share."""
    told: list[tuple[str, int, RunWarning]] = []
    for record in made:
        name = f"{record.task.name} {shape_text(record.run.shape)} {record.label}"
        told += [(name, record.run.seed, warning) for warning in record.warnings]
        held = {(str(row["quantity"]), row["s"], row["t"]) for row in record.frame().to_dict("records")}
        task = record.task
        wanted = {(q, s, t) for q in task.quantities if q != DISTRIBUTION for s in task.s for t in task.times}
        if missing := sorted(wanted - held):
            q, s, t = missing[0]
            more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            told.append((name, record.run.seed, RunWarning("missing", f"no {q} at s = {s:g}, t = {t:g}{more}")))
    return grouped(told)


def _check_label(label: str) -> None:
    from vanbench.neural import ARCHITECTURES

    if not label.strip() or len(label) > MOST_LABEL or not label.isprintable():
        raise InputError(f"--label {label!r}: give a name of 1 to {MOST_LABEL} printable characters.")
    if label in ARCHITECTURES:
        raise InputError(f"--label {label}: a network of vanbench has that name, and tables would mix the two.")


def _place(suite: Suite, item: Value | Samples, cases: dict[tuple, _Case]) -> None:
    try:
        task, shape, s, t = _task(suite, item)
        key = task.name, shape, item.seed
        if key not in cases:
            cases[key] = _Case(task, build(task.system, shape, **task.params), item.seed)
        case = cases[key]
        values = [item] if isinstance(item, Value) else _averages(case, item, s, t)
        for value in values:
            _add(case, value, s, t)
    except InputError as error:
        raise InputError(str(error) if str(error).startswith(item.where) else f"{item.where}: {error}") from None


def _add(case: _Case, value: Value, s: float, t: float) -> None:
    row = row_of(value.quantity)
    for axis in COUNTED:
        if (axis in row.axes) != (axis in value.extra):
            raise InputError(f"{value.quantity} {'needs a' if axis in row.axes else 'has no'} {axis}.")
    place = tuple(int(value.extra[axis]) for axis in COUNTED if axis in value.extra)
    if "site" in value.extra and place[0] >= case.system.n_sites:
        raise InputError(f"site {place[0]}: sites are 0 to {case.system.n_sites - 1}.")
    first = case.rows.setdefault((value.quantity, s, t, *place), value)
    if first is not value:
        raise InputError(f"{value.quantity} at s = {s:g}, t = {t:g} and seed {case.seed} is also in {first.where}.")


def _task(suite: Suite, item: Value | Samples) -> tuple[Task, tuple[int, ...], float, float]:
    """The task of ``suite`` that asks for the item, with its shape, field and time as the task has them."""
    if item.task is not None and item.task not in (names := [task.name for task in suite.tasks]):
        raise unknown(f"task of suite {suite.name}", item.task, names)
    tasks = [task for task in suite.tasks if item.task in (None, task.name)]
    fitting = []
    for task in tasks:
        shape = item.shape or (task.shapes[0] if len(task.shapes) == 1 else None)
        s, t = _nearest(task.s, item.s), _nearest(task.times, item.t)
        answers = not isinstance(item, Value) or item.quantity in task.quantities
        if shape in task.shapes and s is not None and t is not None and answers:
            fitting.append((task, shape, s, t))
    if not fitting:
        raise InputError(f"{_unasked(suite, tasks, item)}.")
    if len(fitting) > 1:
        several = ", ".join(task.name for task, *_ in fitting)
        place = "a column" if isinstance(item, Value) else "an array"
        raise InputError(f"the tasks {several} ask for it: say which in {place} task.")
    return fitting[0]  # type: ignore[return-value]


def _nearest(known: Sequence[float], given: float | None) -> float | None:
    if given is None:
        return known[0] if len(known) == 1 else None
    return next((value for value in known if math.isclose(value, given, rel_tol=CLOSE, abs_tol=1e-12)), None)


def _unasked(suite: Suite, tasks: Sequence[Task], item: Value | Samples) -> str:
    """The first thing of ``item`` that no task asks for."""
    where = f"suite {suite.name}" if len(tasks) > 1 else f"task {tasks[0].name}"
    shown = shape_text(item.shape) if item.shape else None
    checks: list[tuple[str, Any, list[Any]]] = [
        ("shape", shown, [shape_text(shape) for task in tasks for shape in task.shapes]),
        ("s", item.s, [s for task in tasks for s in task.s]),
        ("t", item.t, [t for task in tasks for t in task.times]),
    ]
    if isinstance(item, Value):
        checks.append(("quantity", item.quantity, [name for task in tasks for name in task.quantities]))
    for name, given, known in checks:
        known = sorted(set(known))
        text = ", ".join(f"{value:g}" if isinstance(value, float) else value for value in known)
        if given is None and len(known) > 1:
            return f"it does not give its {name}, and {where} has {text}"
        fits = given is None or (given in known if isinstance(given, str) else _nearest(known, given) is not None)
        if not fits:
            return f"{name} = {given}: {where} asks for {text}"
    return f"no single task of {where} asks for this shape, s, t and quantity together"


def _averages(case: _Case, samples: Samples, s: float, t: float) -> list[Value]:
    """What samples give of the task's quantities, with standard errors as of independent ones."""
    x = _configurations(case.system, samples)
    if t == case.task.times[-1]:
        if s in case.samples:
            raise InputError(
                f"samples at s = {s:g}, t = {t:g} and seed {case.seed} stand in {case.samples[s].where}, too."
            )
        case.samples[s] = samples
    out = []
    for row in asked(case.task.quantities, (NETWORKS, SUMMED), kind_of(case.system)):
        if row.observe is None:
            continue
        values = row.values(case.system, x, s)
        for site in range(values.shape[1]) if values.ndim == 2 else (None,):
            of = values if site is None else values[:, site]
            mean = float(samples.weights @ of)
            stderr = float(np.sqrt((samples.weights**2) @ (of - mean) ** 2))
            extra = {"stderr": stderr, **({} if site is None else {"site": float(site)})}
            out.append(Value(samples.where, case.system.shape, s, t, row.name, mean, case.seed, None, extra))
    return out


def _configurations(system: System, samples: Samples) -> np.ndarray:
    x, d = samples.x, system.local_dim
    if x.shape[1] != system.n_sites:
        raise InputError(
            f"configurations of {x.shape[1]} sites, where {shape_text(system.shape)} has {system.n_sites}."
        )
    pins = np.array([system.pinned.get(site, -1) for site in range(system.n_sites)])
    wrong = ~((x >= 0) & (x < d) & (x == x.astype(np.int64))).all(1) | ((pins >= 0) & (x != pins)).any(1)
    if not wrong.any() and system.support is not None:
        wrong = ~np.asarray(system.support.contains(x.astype(np.int8)))
    if wrong.any():
        raise InputError(
            f"configuration {int(wrong.argmax())} (of {len(x)}, from 0) is none of {system.name}: values are 0 to "
            f"{d - 1} (1 is up), pinned sites keep theirs."
        )
    return x.astype(np.int8)


def _record(case: _Case, label: str, out: Path, compared_by: dict[str, Any]) -> tuple[Path, Record]:
    continuous = [name for name in case.task.references if name == "continuous"]  # its time steps are its own
    task = case.task.model_copy(update={"reference": continuous})
    shape = tuple(case.system.shape)
    replica = max(case.seed - 1, 0)
    run = Run(task=task, shape=shape, architecture=Architecture(name=label), replica=replica, seed=case.seed)
    if not case.rows:
        raise InputError(f"{run.label}: the samples give none of {', '.join(task.quantities)}: add a table of values.")
    known = reference(task, shape, out) if continuous else Reference(None, None, {})
    rows = pd.DataFrame(
        [
            {
                **{"quantity": key[0], "s": key[1], "t": key[2], "value": value.value},
                "sampling_stderr": value.extra.get("stderr", math.nan),
                **{axis: value.extra[axis] for axis in COUNTED if axis in value.extra},
            }
            for key, value in sorted(case.rows.items())
        ]
    )
    compared = errors(rows, known.continuous, None, case.system.n_sites)
    cost = {name: max((v.extra[name] for v in case.rows.values() if name in v.extra), default=None) for name in COST}
    apart = list(_distances(case, known))
    sources = sorted({Path(value.where.rpartition(", line ")[0] or value.where).name for value in case.rows.values()})
    record = Record(
        run=run,
        task_hash=task.hash,
        system=case.system.name,
        params=jsonable(dict(case.system.params)),
        rows=columns(rows),
        errors=columns(compared),
        distances=columns(pd.DataFrame([row for row, _ in apart])),
        log={},
        diagnostics={"imported": True, "n_parameters": int(cost["parameters"] or 0)},
        estimator=None,
        provenance={"imported_from": ", ".join(sources), "compared_by": compared_by},
        wall_s=cost["wall_s"],
        cpu_s=cost["cpu_s"],
        peak_memory_mib=cost["memory_mib"],
        warnings=[*checks.projections(compared, case.system), *(text for _, text in apart if text)],
    )
    return out / FOLDER / run.path, record


def _distances(case: _Case, known: Reference) -> Iterator[tuple[dict[str, Any], RunWarning | None]]:
    """Of the samples at the last time from the exact distribution, where the task asks for distances."""
    if DISTRIBUTION not in case.task.quantities:
        return
    for s, samples in sorted(case.samples.items()):
        exact = known.distribution(s)
        if exact is None:
            continue
        at = StateSpace(case.system).index(_configurations(case.system, samples))
        shares = np.bincount(at, samples.weights, len(exact))
        apart = distances(exact, shares)
        # mean |share - p| of n independent samples, each share normal about p; n as of the weights
        noise = float(
            np.sqrt(2 / np.pi * exact.clip(0, 1) * (1 - exact.clip(0, 1)) * (samples.weights**2).sum()).sum() / 2
        )
        t, text = case.task.times[-1], None
        if noise > NOISE * apart["total_variation"]:
            text = RunWarning(
                "samples",
                f"the number of samples alone makes a total variation of {noise:.2g}, and {len(at)} samples give "
                f"{apart['total_variation']:.2g}: distances say little; take more samples",
                DISTRIBUTION,
                s,
                t,
            )
        yield {"s": s, "t": t, "reference": "continuous", **apart}, text
