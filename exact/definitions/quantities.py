"""The table of quantities, one row for each.

Solvers, networks, errors, tables and figures take their lists of quantities from here. A user's quantity is a
`Quantity` with a function ``observe``, by a name that `exact.registry` finds: exact vectors and networks average it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from vanbench.exact.definitions.connections import Connections
from vanbench.exact.definitions.quantity import (
    CLASSICAL,
    CLONING,
    DMRG,
    ENUMERATION,
    EQUILIBRIUM,
    KAUFMAN,
    LANCZOS,
    LINDBLAD,
    MONTECARLO,
    MPS,
    NETWORKS,
    QUANTUM,
    QUSPIN,
    QUTIP,
    SUMMED,
    TRANSFER,
    UNASKED,
    VECTORS,
    Quantity,
)
from vanbench.exact.definitions.system import ENERGY, System
from vanbench.exact.errors import InputError, unknown
from vanbench.exact.registry import Registry

SPINS = ("sigma_x", "sigma_y", "sigma_z")
PROFILES = {spin: f"{spin}_profile" for spin in SPINS}
CORRELATIONS = {spin: f"correlation_{2 * spin[-1]}" for spin in SPINS}
FREE_ENERGY = "free_energy"  # of equilibrium, from ln Z
DISTRIBUTION = "distribution"  # compared as a whole, by distances
EXACT_DEFAULT = {CLASSICAL: ("ln_Z", "activity", "density", "scgf"), QUANTUM: ("ln_Z", *SPINS, "purity")}
TRACK_DEFAULT = {
    CLASSICAL: ("ln_Z", "density"),
    QUANTUM: ("ln_Z", *SPINS),
    EQUILIBRIUM: ("ln_Z", "free_energy", "energy", "abs_magnetization"),
}

ANY = (CLASSICAL, QUANTUM)
COUNTING, EVERY = (CLASSICAL, EQUILIBRIUM), (CLASSICAL, QUANTUM, EQUILIBRIUM)
ALL = (VECTORS, LANCZOS, QUSPIN, MPS, CLONING, LINDBLAD, NETWORKS)
CONFIGURATIONS = (VECTORS, LANCZOS, QUSPIN, MPS, NETWORKS)
STATES = (LINDBLAD, MPS, QUTIP, NETWORKS)
LEADING = (VECTORS, LANCZOS, DMRG)
ISING, FULL = (ENUMERATION, KAUFMAN, TRANSFER, MONTECARLO), (ENUMERATION, TRANSFER, MONTECARLO)
# ln_Z of a probability-conserving generator is zero up to rounding, about 1e-12 after 1e4 steps: 1e-8 is clear of it.
CLEAR = 1e-8
# Flips per site and unit of time: the inactive phase has next to none, and no percentage of nothing is of interest.
FEW = 1e-3


def _up(system: System, x: np.ndarray, s: float) -> np.ndarray:
    return x.mean(1)


def _up_by_site(system: System, x: np.ndarray, s: float) -> np.ndarray:
    return x


def _rate(system: System, x: np.ndarray, s: float) -> np.ndarray:
    return -Connections(system).diagonal(x) * float(np.exp(-s)) / x.shape[-1]


def _energy(system: System, x: np.ndarray, s: float) -> np.ndarray:
    return -np.asarray(Connections(system, 1.0, ENERGY).column_sum(x)) / x.shape[-1]


def _magnetization(system: System, x: np.ndarray, s: float) -> np.ndarray:
    """Values from 0 to d - 1 are spins from -1 to 1."""
    return np.abs(2 * x.mean(1) / (system.local_dim - 1) - 1)


def _classical() -> list[Quantity]:
    st, by_site = ("s", "t"), ("s", "t", "site")
    rate: dict[str, Any] = {"relative": True, "floor": FEW}
    z: dict[str, Any] = {"relative": True, "floor": CLEAR, "undefined_below": True, "extensive": True}
    return [
        Quantity("ln_Z", st, "Logarithm of <-|exp(t W_s)|P_0>.", EVERY, ALL, order=0, **z),
        Quantity("activity", st, "Events per site and time, -(1/(N t)) d ln Z/ds.", ANY, ALL, order=1, **rate),
        Quantity(
            "susceptibility",
            st,
            "Derivative of the activity with respect to s.",
            ANY,
            (*CONFIGURATIONS, LINDBLAD),
            2,
            **rate,
        ),
        Quantity("density", st, "Fraction of up-spins at t.", COUNTING, CONFIGURATIONS, floor=1e-3, observe=_up),
        Quantity(
            "density_profile", by_site, "Density of each site at t.", COUNTING, CONFIGURATIONS, observe=_up_by_site
        ),
        Quantity("instantaneous_activity", st, "exp(-s) <r>/N at t.", by=CONFIGURATIONS, observe=_rate, **rate),
        Quantity(
            "trajectory_density", st, "Density averaged along trajectories of the s-ensemble.", by=(*LEADING, MPS)
        ),
        Quantity(
            DISTRIBUTION, (*st, "state"), "Probabilities at t.", EVERY, (VECTORS, LINDBLAD, QUTIP, QUSPIN, SUMMED)
        ),
        Quantity(
            "scgf",
            ("s",),
            "theta(s), the leading eigenvalue of W_s.",
            ANY,
            (*LEADING, CLONING, LINDBLAD),
            extensive=True,
        ),
        Quantity("scgf_lower", ("s",), "Certified lower bound of theta(s).", by=(DMRG,), extensive=True),
        Quantity("gap", ("s",), "Distance from theta(s) to the next real part.", ANY, (*LEADING, LINDBLAD)),
        Quantity(
            "rate_function",
            ("s",),
            "Rate function of the activity, -theta - s N k at k(s).",
            ANY,
            LEADING,
            extensive=True,
        ),
    ]


def _quantum() -> list[Quantity]:
    """Of density matrices; each of them of the steady state, too."""
    of = (QUANTUM,)
    rows = [Quantity(name, ("s", "t"), f"<{name}>, mean over the sites, at t.", of, STATES) for name in SPINS]
    rows += [Quantity(PROFILES[name], ("s", "t", "site"), f"<{name}> of each site at t.", of, STATES) for name in SPINS]
    for spin, name in CORRELATIONS.items():
        about = f"<{spin} {spin}> (not connected), mean over the pairs at a distance, at t."
        rows.append(Quantity(name, ("s", "t", "distance"), about, of, STATES))
    rows.append(Quantity("purity", ("s", "t"), "Tr rho^2 at t.", of, STATES))
    steady = []
    for row in [*rows, Quantity(DISTRIBUTION, ("s", "t", "state"), "")]:
        about = f"The {row.heading} in the steady state, s = 0."
        steady.append(Quantity(f"steady_{row.name}", row.axes[2:], about, of, (LINDBLAD, QUTIP), steady_of=row.name))
    return rows + steady


def _unasked() -> list[Quantity]:
    """What networks report beside what they are asked for."""
    inner = [row for row in _classical() if row.observe]
    of = "in the middle of trajectories of the s-ensemble."
    rows = [
        replace(row, name=middle(row.name), about=f"The {row.heading} {of}", by=(UNASKED,), observe=None)
        for row in inner
    ]
    about = "ln Z of the same networks, summed over all configurations."
    rows.append(Quantity("ln_Z_summed", ("s", "t"), about, ANY, (UNASKED,), order=0, extensive=True))
    for name, of in (
        ("", "the state"),
        ("_one_site", "the states of a site"),
        ("_two_sites", "the states of two sites"),
    ):
        about = f"Smallest eigenvalue of {of}; if negative, no such state exists."
        rows.append(Quantity(f"smallest_eigenvalue{name}", ("s", "t"), about, (QUANTUM,), (UNASKED,)))
    return rows


def _equilibrium() -> list[Quantity]:
    stt, solved, of, magnet = ("s", "t", "T"), (VECTORS, NETWORKS), (EQUILIBRIUM,), r"$\langle|M|\rangle/N$"
    energy, blocks = r"energy per spin $\langle H\rangle/N$", r"$\langle|\sum_b\,\mathrm{block}|\rangle/(4N_b)$"
    return [
        Quantity("energy", stt, "<E>/N.", of, (*ISING, *solved), title=energy, observe=_energy),
        Quantity("specific_heat", ("T",), "(<E^2> - <E>^2)/(N T^2).", of, ISING, title="specific heat per spin"),
        Quantity("free_energy", stt, "-T ln Z/N.", of, (*ISING[:-1], NETWORKS), relative=True, floor=CLEAR),
        Quantity("abs_magnetization", stt, "<|sum s|>/N.", of, (*FULL, *solved), title=magnet, observe=_magnetization),
        Quantity("block_magnetization", ("T",), "<|sum of blocks|>/(4 N_b).", of, (UNASKED,), title=blocks),
        Quantity("correlation", ("T", "distance"), "<s_0 s_r> along the longer side.", of, (ENUMERATION, TRANSFER)),
    ]


def middle(name: str) -> str:
    """The name of an observable in the middle of trajectories instead of their end."""
    return f"middle_{name}"


QUANTITIES = {row.name: row for row in (*_classical(), *_quantum(), *_unasked(), *_equilibrium())}
_asked: dict[str, Quantity] = {}  # from outside, by their own names, which is how tables call them


def _checked(name: str, row: Any) -> Quantity:
    if not (isinstance(row, Quantity) and row.observe and row.axes in (("s", "t"), ("s", "t", "site"))):
        raise InputError(f"quantity {name!r} must be a Quantity with `observe` and the axes (s, t) or (s, t, site).")
    if row.name in QUANTITIES or not row.name.isidentifier() or (":" not in name and row.name != name):
        raise InputError(
            f"quantity {name!r} is called {row.name!r}: give it a new name of one word, the same in both places."
        )
    _asked[row.name] = row
    return row


REGISTRY = Registry("quantity", "quantities", QUANTITIES, _checked)


def kind_of(system: System) -> str:
    if system.quantum is not None:
        return QUANTUM
    return EQUILIBRIUM if system.static else CLASSICAL


def given(by: str, kind: str) -> list[str]:
    """Names of what ``by`` gives of systems of this ``kind``, in the order of the table."""
    return [row.name for row in QUANTITIES.values() if by in row.by and kind in row.systems]


def asked(names: Sequence[str], by: Sequence[str], kind: str, what: str = "quantity") -> list[Quantity]:
    """The rows of ``names``. Raises ``InputError`` for one that none of ``by`` gives of systems of this ``kind``."""

    def fits(row: Quantity) -> bool:
        return bool(set(by) & set(row.by)) and kind in row.systems

    rows = []
    for name in names:
        known = name in QUANTITIES or ":" in name or name in REGISTRY.names()
        if not known or not fits(row := REGISTRY.find(name)):
            every = [*QUANTITIES.values(), *REGISTRY.installed().values()]
            raise unknown(what, name, [row.name for row in every if fits(row)])
        rows.append(row)
    return rows


def row_of(name: str) -> Quantity:
    """The row of a name in a table; of ``ln_Z:loss``, an estimator, that of ``ln_Z``; of one unknown a plain one."""
    base = name.partition(":")[0]
    for rows in (QUANTITIES, _asked):
        if base in rows:
            return rows[base]
    return REGISTRY.installed().get(base) or Quantity(base, ("s", "t"), "", by=())


def functions(names: Iterable[str]) -> list[Any]:
    """Whose averages ``names`` are."""
    return [row.observe for row in map(REGISTRY.find, names) if row.observe is not None]


def evolved(names: Iterable[str]) -> list[Quantity]:
    """The rows of those that have a time, in the order of the table."""
    rows = {name: row_of(name) for name in names}
    return sorted((row for row in rows.values() if "t" in row.axes), key=lambda row: _place(row.name))


def _place(name: str) -> int:
    return list(QUANTITIES).index(name) if name in QUANTITIES else len(QUANTITIES)


def order_of(names: Iterable[str]) -> int:
    """The highest derivative of ``ln Z`` by ``s`` that ``names`` are made of."""
    return max((row_of(name).order or 0 for name in names), default=0)


def in_order(names: Iterable[str]) -> list[str]:
    """As reports show them: ``ln_Z`` first, the others by name."""
    return sorted(set(names), key=lambda name: (name != "ln_Z", name))
