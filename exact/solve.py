"""``solve``: every exact quantity of a small system as one tidy table."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from vanbench.exact.definitions.quantities import EXACT_DEFAULT, QUANTITIES, asked, given, kind_of, order_of, row_of
from vanbench.exact.definitions.quantity import CLASSICAL, DMRG, LINDBLAD, MPS, QUANTUM, QUSPIN, VECTORS, Quantity
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError, Unstable, unknown
from vanbench.exact.tidy import Row, Table

if TYPE_CHECKING:
    import pandas as pd

MATRIX_PRODUCTS = (MPS, DMRG)
METHODS = ("auto", "dense", "sparse", "lanczos", "krylov", QUSPIN, *MATRIX_PRODUCTS)
LATEST = 1e9  # time units (errors of ln Z grow like t |W| 1e-16), and Euler steps


def solve(
    system: System,
    s: float | Sequence[float] = 0.0,
    times: float | Sequence[float] = (1.0,),
    quantities: str | Sequence[str] | None = None,
    scheme: str = "continuous",
    dt: float | None = None,
    observable: str = "activity",
    method: str = "auto",
    progress: Callable[[str], None] | None = None,
    folder: Path | None = None,
    bond: int | None = None,
    tolerance: float | None = None,
) -> pd.DataFrame:
    """Exact values as a tidy table with columns ``quantity, s, t, value, bound, bound_kind, note`` (and ``site``,
    ``state``, ``k`` where they apply).

    ``ln_Z = ln <-|exp(t W_s)|P_0>``; ``activity k = -(1/(N t)) d ln_Z/ds`` and ``susceptibility dk/ds`` of the tilted
    ``observable``; ``density``, ``density_profile``, ``instantaneous_activity`` (``exp(-s) <r>/N`` for the plain
    activity; it is not ``k``) and ``distribution`` of the normalised evolved vector; ``trajectory_density``, the
    average along the trajectory in the s-ensemble (at times ``t``; rows without ``t`` are the middle of a long
    trajectory, also by site); ``scgf``, ``gap`` and ``rate_function`` (``I = -theta - s N k`` at the ``k(s)`` beside
    it) of ``W_s``, in rows without ``t``. ``scheme="euler"`` steps with ``1 + dt W_s`` instead of continuous time.
    Steady quantities belong to ``W_s`` on all allowed states, whatever the scheme and the start: if moves do not
    connect all states, the start may never reach the part with the leading eigenvalue, and ``ln_Z / t`` then tends to
    a smaller value than ``scgf``. Averages over the leading vectors are off by what rounding mixes into them, about
    ``eps |W_s| / gap``: their bound says so, and they are blank, with a note, where it is no small number.

    ``method``: ``lanczos`` (certified, needs detailed balance), ``sparse``, ``krylov`` (matrix-free), ``dense``,
    ``quspin`` (built and evolved by that package: an independent check), or ``auto``; ``frame.attrs["method"]`` is
    the method used. ``bound`` is an error bound, if the method gives one, as Lanczos does. ``bound_kind`` is
    ``certified`` for ``ln_Z``, whose error never exceeds its bound, and ``estimated`` for all else; the error of a row
    without a bound is not known.
    ``folder``: where long Lanczos runs are saved, and resumed from.

    At any size, by matrix products: ``mps`` evolves the state (TEBD); ``dmrg`` finds the leading eigenvector where
    detailed balance holds, and gives ``scgf_lower``, a ``certified`` lower bound. `exact.mps.accuracy` defines ``bond``
    (64), ``tolerance`` (1e-5) and, for ``mps``, the time step ``dt``. All other bounds are ``estimated`` from changes
    under smaller bonds and longer steps.

    In a scan over ``s``, a row whose Euler scheme is unstable holds no value, and its ``note`` says so; if every ``s``
    is unstable, ``Unstable`` is raised.

    Open quantum systems are solved by `exact.quantum.solve.quantum_table`, which adds ``sigma_x|y|z``, ``purity`` and
    others; with the methods above they are solved here, as plain generators over outcomes.

    Raises ``InputError`` for unknown names, negative times, an unstable or missing ``dt``, or a system that does not
    fit memory, before anything is computed.
    """
    if not isinstance(system, System):
        raise InputError(f"solve takes a System, like build('east', 4), not {system!r:.60}.")
    quantities = (quantities,) if isinstance(quantities, str) else quantities
    fields = np.atleast_1d(np.asarray(s, float)).tolist()
    options = (scheme, dt, observable, method, progress, folder, bond, tolerance)
    if is_lindblad(system, method):
        from vanbench.exact.quantum.solve import quantum_table

        return quantum_table(system, fields, times, quantities, *options[:5]).frame()
    table = Table.joined(table_of for _, table_of in by_field(system, fields, times, quantities, *options))
    require_values(table, scheme, dt)
    return table.frame()


def by_field(
    system: System,
    fields: Sequence[float],
    times: float | Sequence[float],
    quantities: Sequence[str] | None = None,
    scheme: str = "continuous",
    dt: float | None = None,
    observable: str = "activity",
    method: str = "auto",
    progress: Callable[[str], None] | None = None,
    folder: Path | None = None,
    bond: int | None = None,
    tolerance: float | None = None,
) -> Iterator[tuple[float, Table]]:
    """The rows of ``solve`` for each of the ``fields``, one field after the other.

    The connectivity of states, the form of the operators and the step of differences are reused from field to field.
    """
    if is_lindblad(system, method):
        from vanbench.exact.quantum.solve import quantum_table

        for value in fields:
            yield value, quantum_table(system, value, times, quantities, scheme, dt, observable, method, progress)
        return
    names = [row.name for row in asked_of(system, quantities, method)]
    grid = _checked(system, fields, times, scheme, dt, observable, method)
    if method in MATRIX_PRODUCTS:
        from vanbench.exact.mps.solve import by_field as by_matrix_products

        accuracy = _accuracy(method, scheme, dt, bond, tolerance)
        yield from by_matrix_products(system, fields, grid, names, observable, method, accuracy, progress)
        return
    if bond is not None or tolerance is not None:
        raise InputError(f"bond and tolerance are for the methods {' and '.join(MATRIX_PRODUCTS)}.")
    # the solvers, loaded where something is solved
    from vanbench.exact.matrixfree.kernel import Layout
    from vanbench.exact.matrixfree.solve_lanczos import Question
    from vanbench.exact.method import choose

    layout, order = Layout(system), order_of(names)
    taken = [choose(system, layout, value, observable, names, order, method) for value in fields]
    ask = Question(0.0, grid, names, dt if scheme == "euler" else None, observable, progress)
    for value, how in zip(fields, taken):
        if progress:
            progress(f"s = {value:g}: {layout.size} states by {how}")
        ask.s, ask.folder = float(value), None if folder is None else Path(folder) / f"s={float(value)!r}"
        yield value, Table(list(_rows(system, layout, ask, how)), (how,))
        if ask.folder is not None:
            shutil.rmtree(ask.folder, ignore_errors=True)


def _rows(system: System, layout: Any, ask: Any, how: str) -> Iterator[Row]:
    if how == "lanczos":
        from vanbench.exact.matrixfree import solve_lanczos

        return solve_lanczos.rows(system, layout, ask)
    from vanbench.exact.matrixfree import solve_vectors

    return solve_vectors.rows(system, layout, ask, how)


def is_lindblad(system: System, method: str) -> bool:
    """Whether density matrices answer, not the vectors over outcomes."""
    return system.quantum is not None and (method not in METHODS[1:] or method == QUSPIN)


def require_values(table: Table, scheme: str, dt: float | None) -> None:
    """Raise ``Unstable`` where Euler steps left no value at any time."""
    notes = {row.get("note") or "" for row in table.rows if row["t"] is not None}
    if scheme == "euler" and notes and "" not in notes:
        raise Unstable(f"the Euler scheme with dt = {dt:g} is {notes.pop()}.")


def asked_of(system: System, names: Sequence[str] | None, method: str) -> list[Quantity]:
    """What is asked for, by default what there is: outcomes of an open quantum system have no up-spins to count.

    Raises ``InputError`` for what the method does not give.
    """
    kind = kind_of(system)
    if is_lindblad(system, method):
        return asked(names or EXACT_DEFAULT[QUANTUM], (LINDBLAD,), QUANTUM)
    if method in (QUSPIN, *MATRIX_PRODUCTS):
        known = given(method, kind)
        for name in (name for name in names or () if name in QUANTITIES and name not in known):
            raise InputError(f"method {method!r} gives {', '.join(known) or 'nothing'} of {system.name}, no {name}.")
        defaults = [name for name in EXACT_DEFAULT[kind] if name in known] if method != DMRG else known
        return asked(names or defaults, (method,), kind)
    if names is None:
        return [row for row in map(row_of, EXACT_DEFAULT[CLASSICAL]) if kind in row.systems]
    if kind == QUANTUM:
        known = given(VECTORS, QUANTUM)
        for name in (name for name in names if name in QUANTITIES and name not in known):
            raise InputError(
                f"method {method!r} gives {', '.join(known)} of {system.name}, no {name}: take 'povm' (the same "
                "generator), 'liouvillian' or 'qutip'."
            )
    return asked(names, (VECTORS,), kind)


def _checked(
    system: System, fields: Sequence[float], times: Any, scheme: str, dt: Any, observable: str, method: str
) -> np.ndarray:
    """The times, sorted."""
    if method not in METHODS:
        raise unknown("method", method, list(METHODS))
    if observable not in system.observables:
        raise unknown(f"observable of {system.name}", observable, system.observables)
    grid = np.unique(np.atleast_1d(np.asarray(times, float)))
    if not np.isfinite(fields).all():
        raise InputError("s must be finite.")
    if not np.isfinite(grid).all() or (grid < 0).any():
        raise InputError("times must be finite and not negative.")
    if grid.max(initial=0.0) > LATEST:
        raise InputError(f"t = {grid[-1]:g}: beyond t = {LATEST:g} ln Z is nothing but rounding; take scgf.")
    if scheme not in ("continuous", "euler"):
        raise unknown("scheme", scheme, ["continuous", "euler"])
    if dt is not None and scheme == "continuous" and method not in MATRIX_PRODUCTS:
        raise InputError("dt is the step of scheme 'euler' or of method 'mps': give one of them, or leave dt out.")
    if scheme == "euler":
        if method == QUSPIN:
            raise InputError("method 'quspin' evolves in continuous time: take 'sparse' for Euler steps.")
        if dt is None or not 0 < dt < np.inf:
            raise InputError("the Euler scheme needs a positive time step: give dt (--dt).")
        if grid.max(initial=0.0) / dt > LATEST:
            raise InputError(f"dt = {dt:g} takes {grid[-1] / dt:.3g} steps to t = {grid[-1]:g}, more than {LATEST:g}.")
        from vanbench.exact.sparse.propagate import steps_of

        steps_of(grid, dt)
    return grid


def _accuracy(method: str, scheme: str, dt: float | None, bond: int | None, tolerance: float | None) -> Any:
    from vanbench.exact.mps.accuracy import Accuracy

    if scheme != "continuous":
        raise InputError("matrix products evolve in continuous time: leave the scheme out; dt is then their own step.")
    if method == DMRG and dt is not None:
        raise InputError("method 'dmrg' takes no time steps: leave dt out.")
    given_values: dict[str, Any] = {"bond": bond, "tolerance": tolerance, "dt": dt}
    return Accuracy(**{name: value for name, value in given_values.items() if value is not None})
