"""What errors are measured against, cached by hash: exact vectors, or with ``reference = "auto"`` what `ladder` has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vanbench.compare.declare.columns import columns
from vanbench.compare.declare.digests import digest
from vanbench.compare.declare.sources import reference_sources
from vanbench.compare.declare.task import Task
from vanbench.compare.run import ladder
from vanbench.compare.run.stored import read_json
from vanbench.exact import InputError, System, build, solve
from vanbench.exact.definitions.quantities import DISTRIBUTION, QUANTITIES, REGISTRY, kind_of
from vanbench.exact.definitions.quantity import EQUILIBRIUM, LINDBLAD, VECTORS
from vanbench.exact.errors import Unstable
from vanbench.exact.files import write_json
from vanbench.exact.systems import canonical_name, parameters

FOLDER = "references"
LOCAL = 1e-9  # a time this close to the last one is the last one


@dataclass(frozen=True)
class Reference:
    """Tables (``quantity, s, t, value, bound, source, site, state``) or None, and why a value of ``s`` has no scheme.

    ``source``: what the value is from (see `ladder`), exact vectors where the column is missing; ``bound``: its error.
    """

    continuous: pd.DataFrame | None
    scheme: pd.DataFrame | None
    scheme_notes: dict[float, str]

    def distribution(self, s: float, which: str = "continuous") -> np.ndarray | None:
        """The normalised exact distribution at the last time, ``(n_states,)``, or None."""
        frame = getattr(self, which)
        if frame is None or frame.empty or not (frame.quantity == DISTRIBUTION).any():
            return None
        rows = frame[(frame.quantity == DISTRIBUTION) & (frame.s == s)]
        rows = rows[rows.t > rows.t.max() - LOCAL].sort_values("state")
        return rows.value.to_numpy(float) if len(rows) else None


def reference_path(task: Task, shape: tuple[int, ...], folder: Path) -> Path:
    """One file for each physical question, shared by every architecture, tracker budget and seed."""
    content = {
        "system": canonical_name(task.system),
        "params": {**parameters(task.system), **task.params},
        "shape": list(shape),
        **{name: getattr(task, name) for name in ("s", "times", "observable")},
        "reference": sorted(task.references),
        "quantities": sorted(task.quantities),
        "dt": _dt(task),
        **({"ladder": ladder.SETTINGS} if task.climbs else {}),
        **({"stationary": True} if _stationary(task) else {}),
        **({"source": source} if (source := reference_sources(task)) else {}),
    }
    return folder / FOLDER / f"{digest(content)}.json"


def reference(task: Task, shape: tuple[int, ...], folder: Path) -> Reference:
    """From the cache under ``folder``, or computed and stored there. Raises ``InputError`` where nothing exact fits."""
    path = reference_path(task, shape, folder)
    if not path.exists():
        write_json(path, _dump(compute(task, shape)), folder)
    return _restore(read_json(path), path)


def compute(task: Task, shape: tuple[int, ...]) -> Reference:
    """Both exact references of ``task`` on ``shape``; neither where the task names none."""
    system = build(task.system, shape, **task.params)
    if kind_of(system) == EQUILIBRIUM and task.references:
        from vanbench.exact.ising.gibbs import gibbs  # a second of imports

        return Reference(gibbs(system, task.s, task.times, task.quantities), None, {})
    if _stationary(task):
        return Reference(_steady(system, task), None, {})
    by, rows = LINDBLAD if system.quantum else VECTORS, {name: REGISTRY.find(name) for name in task.quantities}
    moving = [name for name, row in rows.items() if by in row.by and "t" in row.axes and "state" not in row.axes]
    common: dict[str, Any] = {"quantities": moving, "observable": task.observable}
    at_end = {**common, "quantities": [DISTRIBUTION]} if DISTRIBUTION in task.quantities else None
    continuous, scheme, notes = None, None, {}
    if task.climbs and not ladder.fits(system):
        beyond = ladder.climbed(system, task.s, task.times, moving, task.observable)
        steps = "euler" in task.references
        return Reference(beyond, None, dict.fromkeys(task.s, ladder.NO_STEPS) if steps else {})
    if "continuous" in task.references:
        frames = [solve(system, s=task.s, times=task.times, **common)]
        if at_end:
            frames.append(solve(system, s=task.s, times=[task.times[-1]], **at_end))
        continuous = pd.concat(frames, ignore_index=True)
    if "euler" in task.references:
        frames = []
        for s in task.s:
            try:
                euler: dict[str, Any] = {"s": s, "scheme": "euler", "dt": _dt(task)}
                frames.append(solve(system, times=task.times, **euler, **common))
                if at_end:
                    frames.append(solve(system, times=[task.times[-1]], **euler, **at_end))
            except Unstable as error:  # told with the limit and lambda_min
                notes[s] = str(error)
        scheme = pd.concat(frames, ignore_index=True) if frames else None
    return Reference(continuous, scheme, notes)


def _stationary(task: Task) -> bool:
    from vanbench.neural import trackers

    return trackers.make(task.tracker, task.tracker_options).variant(task.target).steady


def _steady(system: System, task: Task) -> pd.DataFrame | None:
    """The steady state at every report time."""
    if "continuous" not in task.references:
        return None
    of = {row.name: row.steady_of for row in QUANTITIES.values() if row.steady_of in task.quantities}
    steady = solve(system, quantities=[*of], observable=task.observable) if of else pd.DataFrame()
    steady = steady.assign(quantity=[of[str(name)] for name in steady.get("quantity", [])])
    return pd.concat([steady.assign(t=t) for t in task.times], ignore_index=True)


def check(task: Task) -> None:
    """Raise ``InputError`` for what the references of ``task`` cannot be: before any work starts."""
    if "euler" in task.references and _dt(task) is None:
        raise InputError(
            f"task {task.name!r}: the Euler reference needs tracker_options = {{dt = ...}}; "
            'or write reference = ["continuous"].'
        )


def _dt(task: Task) -> float | None:
    return task.tracker_options.get("dt")


def _dump(known: Reference) -> dict[str, Any]:
    return {
        "continuous": None if known.continuous is None else columns(known.continuous),
        "scheme": None if known.scheme is None else columns(known.scheme),
        "scheme_notes": [[s, note] for s, note in known.scheme_notes.items()],
    }


def _restore(content: dict[str, Any], path: Path) -> Reference:
    try:
        continuous, scheme = (
            None if content[k] is None else pd.DataFrame(content[k]) for k in ("continuous", "scheme")
        )
        return Reference(continuous, scheme, {float(s): note for s, note in content["scheme_notes"]})
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"reference {str(path)!r} is damaged ({error}): delete it and run again.") from error
