"""Exact values of systems without moves, whose distribution is ``exp(-s t E(x))`` times the start: as `exact.solve`
has them, and those of the Ising model at any size that `exact.ising.solve` reaches."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from vanbench.exact.definitions.quantities import FREE_ENERGY
from vanbench.exact.definitions.quantity import COUNTED
from vanbench.exact.definitions.states import StateSpace
from vanbench.exact.definitions.system import ENERGY, System
from vanbench.exact.errors import InputError
from vanbench.exact.ising.montecarlo import simulate
from vanbench.exact.ising.solve import solve as solve_ising
from vanbench.exact.solve import solve

BY_TEMPERATURE = (FREE_ENERGY, ENERGY, "abs_magnetization")
LISTED = 1 << 20  # states up to which all are summed over
SWEEPS = 2  # between configurations: the energy's autocorrelation time is then 0.65 at 16x16, T = 2.5
SIGMAS = 2.0  # standard errors of Monte Carlo that a bound stands for


def free_energy(system: System, ln_z: float, s: float, t: float) -> float:
    """``-T ln (d^N Z_t(s)) / N`` with ``T = 1 / (s t)``, of a system that starts from the uniform distribution."""
    return -(ln_z + entropy(system)) / (system.n_sites * s * t)


def entropy(system: System) -> float:
    """``N ln d`` of the sites that are not pinned."""
    return len(system.free_sites) * math.log(system.local_dim)


def gibbs(system: System, s: Sequence[float], times: Sequence[float], quantities: Sequence[str]) -> pd.DataFrame:
    """``quantity, s, t, value, bound, source``, with ``site`` and ``state`` where they apply.

    Values that no exact method gives at this size are left out; the energy and the magnetisation are then of Monte
    Carlo, with two standard errors as their bound. Raises ``InputError`` where nothing remains.
    """
    frames = []
    if system.name == "ising":
        frames = [_at(system, field, t, quantities) for field in s for t in times]
    left = [name for name in quantities if system.name != "ising" or name not in (*BY_TEMPERATURE, "ln_Z")]
    if left and few(system):
        known = solve(system, s, times, ["ln_Z", *(name for name in left if name not in ("ln_Z", FREE_ENERGY))],
                      observable=ENERGY)  # fmt: skip
        frames.append(known[known.quantity.isin(left)])
        if FREE_ENERGY in left:
            z = known[known.quantity == "ln_Z"]
            values = [free_energy(system, *row) for row in z[["value", "s", "t"]].itertuples(index=False, name=None)]
            frames.append(z.assign(quantity=FREE_ENERGY, value=values))
    frames = [frame for frame in frames if len(frame)]
    if not frames:
        raise InputError(f"no exact values of {', '.join(quantities)} for {system!r}: it has too many states.")
    out = pd.concat(frames, ignore_index=True)
    return out[[name for name in ("quantity", "s", "t", *COUNTED, "value", "bound", "source") if name in out]]


def few(system: System) -> bool:
    return bool(system.local_dim ** len(system.free_sites) <= LISTED) and StateSpace(system).size <= LISTED


def _at(system: System, s: float, t: float, quantities: Sequence[str]) -> pd.DataFrame:
    """Of the Ising model by its temperature; negative ones are those of the other sign of the energy."""
    beta = s * t
    if beta == 0:
        raise InputError("s = 0 is an infinite temperature: give inverse temperatures as s, at t = 1.")
    sign = math.copysign(1.0, beta)
    wanted = [name for name in BY_TEMPERATURE if name in quantities or (name == FREE_ENERGY and "ln_Z" in quantities)]
    frame = solve_ising(
        system.shape, 1 / abs(beta), **{k: sign * v for k, v in system.params.items()}, quantities=wanted
    )
    bound = frame.bound.fillna(SIGMAS * frame.stderr)
    turned = np.where(frame.quantity == "abs_magnetization", 1.0, sign)
    table = pd.DataFrame(
        {"quantity": frame.quantity, "value": turned * frame.value, "bound": bound, "source": frame.method}
    )
    free = table[table.quantity == FREE_ENERGY]
    scale = system.n_sites * abs(beta)
    ln_z = free.assign(
        quantity="ln_Z", value=-system.n_sites * beta * free.value - entropy(system), bound=scale * free.bound
    )
    both = pd.concat([ln_z, table], ignore_index=True)
    return both[both.quantity.isin(quantities)].assign(s=s, t=t)


def require_configurations(system: System, s: float) -> None:
    """Raise ``InputError`` for a system of which `configurations` draws none."""
    if system.name != "ising" and not few(system):
        raise InputError(f"configurations of {system.name} can be drawn for at most {LISTED} states.")


def configurations(system: System, beta: float, n: int, seed: int) -> tuple[np.ndarray, int]:
    """``n`` of them at the inverse temperature ``beta``, ``(n, n_sites)``: of the Ising model by Monte Carlo, two
    sweeps apart, and its number of chains; of others independent ones, and 0."""
    if system.name == "ising":
        sign = math.copysign(1.0, beta)
        couplings = {name: sign * value for name, value in system.params.items()}
        run = simulate(system.shape, 1 / abs(beta), n, **couplings, sweeps=SWEEPS, keep=True, seed=seed)
        assert run.configurations is not None
        return run.configurations, run.chains
    p = solve(system, beta, [1.0], ["distribution"], observable=ENERGY).sort_values("state").value.to_numpy()
    p = p.clip(0)
    drawn = np.random.default_rng(seed).choice(len(p), n, p=p / p.sum())
    return StateSpace(system).configurations()[drawn], 0
