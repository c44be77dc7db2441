"""Which method answers a question: from the system, the quantities, and the memory there is."""

from __future__ import annotations

from collections.abc import Sequence

from vanbench.exact.definitions.connections import Connections
from vanbench.exact.definitions.quantities import given
from vanbench.exact.definitions.quantity import CLASSICAL, LANCZOS, QUSPIN
from vanbench.exact.definitions.states import SAMPLED, available_memory, require_memory
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree.kernel import Layout
from vanbench.exact.matrixfree.kernel_dense import SCRATCH
from vanbench.exact.matrixfree.symmetric import VECTORS, applies, counts_moves
from vanbench.exact.sparse.generator import sparse_bytes

SMALL = 1 << 9  # states up to which exact derivatives on a sparse matrix are cheaper than differences (measured)
SPARSE = 1 << 17  # states up to which the sparse propagator is no slower than the matrix-free one


def choose(
    system: System, layout: Layout, s: float, observable: str, quantities: Sequence[str], order: int, method: str
) -> str:
    """The method, checked to fit memory; raises ``InputError`` with the memory that is needed where nothing does.

    ``auto``: Lanczos where detailed balance holds and the start is the equilibrium (small systems whose derivatives
    in ``s`` are asked: sparse); else sparse up to 2^17 states, else Krylov.
    """
    missing = sorted(set(quantities) - set(given(LANCZOS, CLASSICAL)))
    if "instantaneous_activity" in quantities and not missing and not counts_moves(system, observable):
        missing = [f"instantaneous_activity beside the observable {observable!r}"]
    balanced = not missing and applies(system, s, observable)
    if method == "lanczos" and missing:
        raise InputError(f"method 'lanczos' does not give {', '.join(missing)}: take 'auto'.")
    if method == "lanczos" and not balanced:
        raise InputError(
            "method 'lanczos' needs detailed balance, a symmetric counter and the equilibrium start: take 'auto'."
        )
    if method == "auto":
        method = _auto(system, layout, balanced, order)
    if method == QUSPIN:
        from vanbench.exact.sparse import quspin_route

        quspin_route.check(system)
        return method
    advice = "the method 'auto'" if method == "sparse" else SAMPLED
    require_memory(needed(system, layout, order, method), f"method {method!r} on {layout.size} states", advice)
    return method


def _auto(system: System, layout: Layout, balanced: bool, order: int) -> str:
    if balanced and not (order and layout.size <= SMALL) and layout.connected:
        return "lanczos"  # from one start it would miss leading states that weigh little in it, were they apart
    if layout.size <= SPARSE and needed(system, layout, order, "sparse") <= available_memory():
        return "sparse"
    return "krylov"


def needed(system: System, layout: Layout, order: int, method: str) -> float:
    """Bytes that a method takes at its peak."""
    vector = 8.0 * layout.size
    if method == "dense":
        return 8.0 * vector * layout.size * (order + 1) ** 2
    if method == "sparse":
        return (order + 1) * (order + 2) / 2 * sparse_bytes(layout.size, Connections(system).n_moves) + 10 * vector
    if method == "lanczos":
        return VECTORS * vector
    from vanbench.exact.matrixfree.krylov import FEWEST

    return (order + 1) * (FEWEST + 5 + SCRATCH) * vector
