"""Leading left and right eigenvectors of ``W_s`` and the Doob-transformed generator.

``W_s r = theta r``, ``l W_s = theta l``, ``l . r = 1``. The generator ``W^D[x', x] = l(x') W_s[x', x] / l(x) - theta
delta`` conserves probability, has the stationary state ``l(x) r(x)``, and its plain trajectories are those of the
s-ensemble far from both ends. Chetrite and Touchette, Ann. Henri Poincare 16, 2005 (2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import ArpackError, eigs, splu

from vanbench.exact.definitions.states import require_memory
from vanbench.exact.definitions.system import System
from vanbench.exact.errors import InputError
from vanbench.exact.matrixfree.gauge import in_gauge, product_gauge
from vanbench.exact.matrixfree.kernel import LOOKED, STORED, Layout, Operator
from vanbench.exact.matrixfree.local import Local, tilted, transposed
from vanbench.exact.matrixfree.perron import repaired
from vanbench.exact.matrixfree.quadrature import EPS
from vanbench.exact.matrixfree.spectral import gap_below, mixed
from vanbench.exact.matrixfree.symmetric import Symmetric, applies
from vanbench.exact.matrixfree.symmetric_ends import largest, two_largest
from vanbench.exact.sparse.eigen import DENSE, Values, outermost_of
from vanbench.exact.sparse.generator import block, generator
from vanbench.exact.sparse.spectrum import Classwise, Top, classwise, merged, outermost_first, top

NCV = 40
STEPS = 2000  # of Lanczos
RESIDUAL = 1e-9  # of an eigenvector, relative to the operator


@dataclass
class Leading:
    """``theta``, ``right`` (total 1) and ``left`` (``left . right = 1``), in the order of ``layout``.

    ``error``, estimated, of averages ``left . (f right)`` of functions from 0 to 1; ``theta_error``, of ``theta``.
    """

    theta: float
    right: np.ndarray
    left: np.ndarray
    layout: Layout
    error: float
    theta_error: float

    @property
    def stationary(self) -> np.ndarray:
        """``l(x) r(x)``: the distribution in the middle of a long trajectory of the s-ensemble."""
        return self.left * self.right

    @property
    def positive_left(self) -> np.ndarray:
        """``l`` in the order of ``StateSpace``; raises ``InputError`` where it vanishes."""
        left = self.layout.to_states(self.left)
        if not (left > 0).all():
            raise InputError("some states never reach the leading class: the Doob transform is not defined on them.")
        return left


def leading_vectors(system: System, s: float, observable: str = "activity", layout: Layout | None = None) -> Leading:
    """By Lanczos where detailed balance holds, else by ARPACK; matrix-free. Raises ``InputError`` if it fails, and
    where rounding mixes the leading eigenvector with others."""
    layout = layout or Layout(system)
    assert layout.closed
    if layout.connected and applies(system, s, observable):
        engine = Symmetric(system, s, observable, layout=layout)
        run = engine.run(np.zeros(0), vector=True)
        theta = run.tri.theta()[0]
        u = repaired(engine.op, engine.leading(run.tri), theta)
        theta_error = _check(engine.op, u, theta)
        gap, off = (np.nan, 0.0) if layout.size - len(layout.excluded) < 2 else gap_below(engine, u, theta)
        error = 2 * mixed(gap, off + theta_error, theta_error)
        root = layout.product(np.sqrt(engine.pi))
        right, left = u * root, np.divide(u, root, out=np.zeros_like(u), where=root > 0)
    else:
        solved = scgf_and_gap(system, s, observable, layout)
        mixed(solved.gap, solved.gap_error, 0.0)
        theta, theta_error = solved.theta, solved.theta_error
        right, left, off, condition = _vectors(system, s, observable, layout, theta)
        error = 2 * condition * mixed(solved.gap, solved.gap_error, off, condition)
    right = right / right.sum()
    return Leading(theta, right, left / (left @ right), layout, error, theta_error)


def doob(system: System, s: float, observable: str = "activity") -> sp.csr_array:
    """The Doob-transformed generator over the states of ``StateSpace(system)``, CSR; columns sum to zero."""
    solved = leading_vectors(system, s, observable)
    left = solved.positive_left
    w = sp.diags_array(left) @ generator(system, s, observable) @ sp.diags_array(1.0 / left)
    return sp.csr_array(w - solved.theta * sp.eye_array(len(left)))


def leading_values(
    system: System,
    s: float,
    observable: str = "activity",
    layout: Layout | None = None,
    count: int = 2,
    which: str = "LR",
) -> np.ndarray:
    """The ``count`` eigenvalues of ``W_s`` of largest (``LR``; ``SR``: smallest) real part, complex, matrix-free.

    Raises ``InputError`` where no eigenvalue solver converges.
    """
    return _leading(system, s, observable, layout or Layout(system), count, which).values


def scgf_and_gap(system: System, s: float, observable: str, layout: Layout) -> Top:
    """The two leading eigenvalues of ``W_s``, with their errors; raises ``InputError`` as ``leading_values`` does."""
    return top(_leading(system, s, observable, layout, 2, "LR"))


def _leading(system: System, s: float, observable: str, layout: Layout, count: int, which: str) -> Classwise:
    if layout.size <= STORED:
        return classwise(generator(system, s, observable, space=layout.space), count, which)
    parts = tilted(system, s, observable)
    kept = np.ones(layout.size, dtype=bool)
    kept[layout.excluded] = False
    if which != "LR" or layout.size > LOOKED or layout.connected:
        only = _of_class(system, layout, parts, count, which, kept)
        return Classwise(*only, np.zeros(len(only.values)))
    labels = layout.classes
    sizes = np.bincount(labels[kept])
    small = (sizes > 0) & (sizes <= max(STORED, 1))
    few = np.flatnonzero(kept & small[labels])
    few = few[np.argsort(labels[few], kind="stable")]
    groups = np.split(few, np.cumsum(sizes[small])[:-1]) if len(few) else []
    alone = np.array([group[0] for group in groups if len(group) == 1], dtype=int)
    codes = np.arange(layout.size) if layout.codes is None else layout.codes
    blocks = (block(system, s, observable, codes[group]) for group in groups if len(group) > 1)
    solved = [merged(Operator(layout, parts).diagonal()[alone], blocks, count, which)]
    for number in np.flatnonzero(sizes > max(STORED, 1)):
        own = _of_class(system, layout, parts, count, which, labels == number)
        solved.append(Classwise(*own, np.full(len(own.values), len(groups) + number)))
    return outermost_first(solved, count, which)


class _Masked:
    """An operator on the states of a class alone, for vectors that vanish elsewhere."""

    def __init__(self, op: Operator, mask: np.ndarray):
        self.op, self.mask, self.size, self.bound = op, mask.astype(float), op.size, op.bound

    def apply(self, v: np.ndarray, out: np.ndarray, a: float = 1.0, b: float = 0.0) -> float:
        inner = self.op.apply(v, out, a, b)
        out *= self.mask
        return inner

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        return (self.op @ v) * self.mask


def _of_class(system: System, layout: Layout, parts: list[Local], count: int, which: str, mask: np.ndarray) -> Values:
    """The outermost eigenvalues of one class of many states, by products alone, in the gauge that balances them."""
    parts, symmetric = in_gauge(parts, product_gauge(parts, system.n_sites, system.local_dim))
    op = _Masked(Operator(layout, parts), mask)
    try:
        if symmetric and which == "LR" and count == 2:
            values, errors = two_largest(op, STEPS, op.mask)
            return Values(values.astype(complex), errors)
        require_memory(8.0 * op.size * (NCV + 4), f"the Arnoldi basis of {NCV} vectors over {op.size} states")
        turned = _Masked(Operator(layout, transposed(parts)), mask)
        return outermost_of(op.__matmul__, turned.__matmul__, op.size, op.bound, count, which, op.mask, NCV)
    except ArpackError as error:
        raise InputError(f"the leading eigenvalues of W_s were not found ({error}).") from error


def _vectors(
    system: System, s: float, observable: str, layout: Layout, theta: float
) -> tuple[np.ndarray, np.ndarray, float, float]:
    """The right and the left eigenvector of ``theta``, the leading eigenvalue; found in the gauge that balances. There,
    what they and rounding leave of ``W_s - theta``, and the condition number ``|l| |r| / |l . r|``."""
    parts = tilted(system, s, observable)
    f = product_gauge(parts, system.n_sites, system.local_dim)
    parts, symmetric = in_gauge(parts, f)
    root = layout.product(np.exp(f))
    kept = root > 0

    def stored() -> sp.csr_array:
        w = generator(system, s, observable, space=layout.space)
        return sp.csr_array(sp.diags_array(1 / root[kept]) @ w @ sp.diags_array(root[kept]))

    right, off = _vector(Operator(layout, parts), kept, theta, symmetric, stored)
    left = right
    if not symmetric:
        turned = Operator(layout, transposed(parts))
        left, more = _vector(turned, kept, theta, symmetric, lambda: sp.csr_array(stored().T))
        off = max(off, more)
    condition = float(np.linalg.norm(left) * np.linalg.norm(right) / max(abs(left @ right), 1e-300))
    return right * root, np.divide(left, root, out=np.zeros_like(left), where=kept), off, condition


def _vector(
    op: Operator, kept: np.ndarray, theta: float, symmetric: bool, stored: Callable[[], sp.csr_array]
) -> tuple[np.ndarray, float]:
    """The eigenvector of ``theta``, the leading eigenvalue, and what it leaves: by LAPACK, Lanczos or ARPACK, else
    inverse iteration."""
    routes: list[Callable[[], np.ndarray]] = [lambda: _dense(op, kept)] if op.size <= DENSE else []
    routes.append(lambda: _by_lanczos(op, kept, theta) if symmetric else _by_arnoldi(op, kept, theta))
    if op.size <= STORED:
        routes.append(lambda: _by_inversion(op, kept, theta, stored()))
    for number, route in enumerate(routes, 1):
        try:
            vector = route()
            vector = vector * np.sign(vector.sum())
            off = _check(op, vector, theta)
        except (ArpackError, InputError, RuntimeError) as error:
            if number == len(routes):
                raise InputError(str(error)) from error
            continue
        break
    return vector, off


def _dense(op: Operator, kept: np.ndarray) -> np.ndarray:
    matrix = np.stack([op @ e for e in np.eye(op.size)], axis=1)[np.ix_(kept, kept)]
    symmetric = np.array_equal(matrix, matrix.T)
    values, vectors = np.linalg.eigh(matrix) if symmetric else np.linalg.eig(matrix)
    out = np.zeros(op.size)
    out[kept] = vectors[:, np.argmax(values.real)].real
    return out


def _by_lanczos(op: Operator, kept: np.ndarray, theta: float) -> np.ndarray:
    return repaired(op, largest(op, STEPS, kept.astype(float))[2], theta)


def _by_arnoldi(op: Operator, kept: np.ndarray, theta: float) -> np.ndarray:
    require_memory(8.0 * op.size * (NCV + 4), f"the Arnoldi basis of {NCV} vectors over {op.size} states")
    start = np.random.default_rng(0).random(op.size) * kept
    values, vectors = eigs(op.linear_operator(), k=2, which="LR", v0=start, ncv=NCV, maxiter=300, tol=1e-13)
    return vectors[:, np.argmin(np.abs(values - theta))].real


def _by_inversion(op: Operator, kept: np.ndarray, theta: float, matrix: sp.csr_array) -> np.ndarray:
    """Inverse iteration just above ``theta``."""
    shift = theta + 1e-12 * op.bound
    factors = splu(sp.csc_array(shift * sp.eye_array(matrix.shape[0]) - matrix), permc_spec="MMD_AT_PLUS_A")
    vector = np.ones(matrix.shape[0])
    for _ in range(4):
        vector = factors.solve(vector)
        vector /= np.linalg.norm(vector)
    out = np.zeros(op.size)
    out[kept] = vector
    return out


def _check(op: Operator, vector: np.ndarray, theta: float) -> float:
    """The residual, with that of rounding. Raises ``InputError`` for what is no eigenvector of ``theta``."""
    residual = np.linalg.norm(op @ vector - theta * vector) / np.linalg.norm(vector)
    if not residual <= RESIDUAL * max(1.0, op.bound):
        raise InputError(
            f"no eigenvector of the largest eigenvalue of W_s, {theta:.6g}, was found (residual {residual:.1e}): "
            "averages over it are left out."
        )
    return float(residual) + 8 * EPS * op.bound
