"""Simple exclusion processes, symmetric and asymmetric. Derrida, J. Stat. Mech. P07023 (2007).

Rates: ``p`` and ``q`` are the hops forward and backward along axis 0; along the other axes both are ``(p + q) / 2``.
With an open boundary reservoirs touch the two faces of axis 0: ``alpha`` in and ``gamma`` out at the lower face,
``delta`` in and ``beta`` out at the upper one; the other axes end in walls. A periodic lattice keeps its particles and
starts uniform over half filling. Counters: ``activity``; ``current`` (forward minus backward, all bonds of axis 0 and
the reservoirs); ``current_b``, the same through the cut ``b = 0..L`` across axis 0 alone (0: lower reservoir).
"""

from __future__ import annotations

import numpy as np

from vanbench.exact.definitions.lattice import lower_bonds
from vanbench.exact.definitions.system import FixedSum, System
from vanbench.exact.definitions.terms import Counter, Term, jumps
from vanbench.exact.errors import InputError, number, unknown
from vanbench.exact.systems.starts import classical_start

IN = np.array([[0.0, 0.0], [1.0, 0.0]])
OUT = IN.T


def ssep(shape: tuple[int, ...], p: float = 1.0, **options: float | str) -> System:
    """Symmetric exclusion process: hops at rate ``p`` in both directions; other options as for ``asep``."""
    if "q" in options:
        raise InputError("ssep hops at one rate 'p' both ways: for different rates take 'asep'.")
    system = asep(shape, p=p, q=p, **options)  # type: ignore[arg-type]
    return System(**{**_fields(system), "name": "ssep"})


def asep(
    shape: tuple[int, ...],
    p: float = 1.0,
    q: float = 0.5,
    alpha: float = 0.5,
    beta: float = 0.5,
    gamma: float = 0.5,
    delta: float = 0.5,
    boundary: str = "open",
    initial: str = "bernoulli:0.5",
    particles: int | None = None,
) -> System:
    """Asymmetric exclusion process, open with reservoirs or periodic at fixed particle number (half filling)."""
    rates = {"p": p, "q": q, "alpha": alpha, "beta": beta, "gamma": gamma, "delta": delta}
    for name, rate in rates.items():
        if not 0 <= number(name, rate) < np.inf:
            raise InputError(f"{name} = {rate}: a rate must be a non-negative number.")
    if boundary not in ("open", "periodic"):
        raise unknown("boundary of an exclusion process", boundary, ["open", "periodic"])
    n, length = int(np.prod(shape)), shape[0]
    rows = np.arange(n).reshape(length, -1)
    bonds = lower_bonds(shape, boundary == "periodic")
    terms = [_hop(a, b, axis, int(a // rows.shape[1]) + 1, p, q) for a, b, axis in bonds]
    if boundary == "open":
        terms += [_reservoir(int(i), alpha, gamma, +1, 0) for i in rows[0]]
        terms += [_reservoir(int(i), delta, beta, -1, length) for i in rows[-1]]
    if particles is None and boundary == "periodic":
        particles = n // 2
    if particles is not None and boundary == "open":
        raise InputError("reservoirs change the number of particles: give 'particles' only with boundary 'periodic'.")
    if particles is not None and number("particles", particles) not in range(n + 1):
        raise InputError(f"particles = {particles}: there are {n} sites, take a whole number up to that.")
    return System(
        name="asep",
        shape=tuple(shape),
        local_dim=2,
        terms=tuple(terms),
        initial=classical_start(initial, n, None),
        support=None if particles is None else FixedSum(particles),
        edges=np.array([b[:2] for b in bonds], dtype=int).reshape(-1, 2),
        params={**rates, "boundary": boundary, "initial": initial, "particles": particles},
    )


def _hop(a: int, b: int, axis: int, cut: int, p: float, q: float) -> Term:
    forward, backward = np.zeros((4, 4)), np.zeros((4, 4))
    forward[0b01, 0b10] = p if axis == 0 else (p + q) / 2
    backward[0b10, 0b01] = q if axis == 0 else (p + q) / 2
    counters: dict[str, Counter] = {}
    if axis == 0:
        both: Counter = ((1.0, forward), (-1.0, backward))
        counters = {"current": both, f"current_{cut}": both}
    return jumps((a, b), forward + backward, counters)


def _reservoir(site: int, rate_in: float, rate_out: float, direction: int, cut: int) -> Term:
    both: Counter = ((float(direction), rate_in * IN), (-float(direction), rate_out * OUT))
    return jumps((site,), rate_in * IN + rate_out * OUT, {"current": both, f"current_{cut}": both})


def _fields(system: System) -> dict:
    return {name: getattr(system, name) for name in system.__dataclass_fields__}
