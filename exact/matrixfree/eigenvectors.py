"""Leading left and right eigenvectors of ``W_s`` and the Doob-transformed generator.

``W_s r = theta r``, ``l W_s = theta l``, ``l . r = 1``. The generator ``W^D[x', x] = l(x') W_s[x', x] / l(x) - theta
delta`` conserves probability, has the stationary state ``l(x) r(x)``, and its plain trajectories are those of the
s-ensemble far from both ends. Chetrite and Touchette, Ann. Henri Poincare 16, 2005 (2015).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from scipy.sparse.linalg import ArpackError, eigs

from ..errors import InputError
from ..sparse import generator
from ..spectrum import DENSE, leading
from ..states import require_memory
from ..system import System
from .kernel import STORED, Layout, Operator
from .local import Local, tilted, transposed
from .perron import repaired
from .symmetric import Symmetric, applies

NCV = 20
RESIDUAL = 1e-9  # of an eigenvector, relative to the operator
SEPARATE = 1e-9  # closer eigenvalues are one: no iteration tells them apart


@dataclass
class Leading:
    """``theta``, ``right`` (total 1) and ``left`` (``left . right = 1``), in the order of ``layout``."""

    theta: float
    right: np.ndarray
    left: np.ndarray
    layout: Layout

    @property
    def stationary(self) -> np.ndarray:
        """``l(x) r(x)``: the distribution in the middle of a long trajectory of the s-ensemble."""
        return self.left * self.right


def leading_vectors(system: System, s: float, observable: str = "activity", layout: Layout | None = None) -> Leading:
    """By Lanczos where detailed balance holds, else by ARPACK; matrix-free. Raises ``InputError`` if it fails."""
    layout = layout or Layout(system)
    assert layout.closed
    if layout.connected and applies(system, s, observable):
        engine = Symmetric(system, s, observable, layout=layout)
        run = engine.run(np.zeros(0), vector=True)
        theta = run.tri.theta()[0]
        u = repaired(engine.op, engine.leading(run.tri), theta)
        _check(engine.op, u, theta)
        root = layout.product(np.sqrt(engine.pi))
        right, left = u * root, np.divide(u, root, out=np.zeros_like(u), where=root > 0)
    else:
        parts = tilted(system, s, observable)
        values = leading_values(system, s, observable, layout)
        if len(values) > 1 and (values[0] - values[1]).real <= SEPARATE * max(1.0, abs(values[0])):
            raise InputError(
                f"the largest eigenvalue of W_s, {values[0].real:.6g}, is degenerate (absorbing or disconnected "
                "states): its eigenvectors, and what is averaged over them, are not unique."
            )
        theta = float(values[0].real)
        right, left = (_vector(layout, matrix, theta) for matrix in (parts, transposed(parts)))
    right = right / right.sum()
    return Leading(theta, right, left / (left @ right), layout)


def doob(system: System, s: float, observable: str = "activity") -> sp.csr_array:
    """The Doob-transformed generator over the states of ``StateSpace(system)``, CSR; columns sum to zero."""
    found = leading_vectors(system, s, observable)
    left = found.layout.to_states(found.left)
    if not (left > 0).all():
        raise InputError("some states never reach the leading class: the Doob transform is not defined on them.")
    w = sp.diags_array(left) @ generator(system, s, observable) @ sp.diags_array(1.0 / left)
    return sp.csr_array(w - found.theta * sp.eye_array(len(left)))


def leading_values(
    system: System,
    s: float,
    observable: str = "activity",
    layout: Layout | None = None,
    count: int = 2,
    which: str = "LR",
) -> np.ndarray:
    """The ``count`` eigenvalues of ``W_s`` of largest (``LR``; ``SR``: smallest) real part, complex, matrix-free."""
    layout = layout or Layout(system)
    if layout.size <= STORED:
        return leading(generator(system, s, observable), count, which)
    parts = tilted(system, s, observable)
    values, _ = _eigen(layout, parts, count, which)
    return _with_absorbing(system, layout, parts, values) if which == "LR" else values


def _with_absorbing(system: System, layout: Layout, parts: list[Local], values: np.ndarray) -> np.ndarray:
    """``values`` with the eigenvalue of each absorbing state: of equal ones a Krylov space sees but one."""
    escape = Operator(layout, [Local(p.sites, np.diag(np.diag(p.matrix))) for p in tilted(system)]).diagonal()
    absorbing = escape == 0
    absorbing[layout.excluded] = False
    own = np.sort(Operator(layout, parts).diagonal()[absorbing])[::-1][: len(values)]
    others = [v for v in values if not (np.abs(v - own) < SEPARATE * max(1.0, abs(v))).any()]
    found = np.concatenate([others, own])
    return found[np.argsort(found.real)[::-1]][: len(values)]


def _vector(layout: Layout, parts: list[Local], theta: float) -> np.ndarray:
    """The eigenvector of ``theta``, the leading eigenvalue."""
    values, vectors = _eigen(layout, parts, 2)
    vector = vectors[:, np.argmin(np.abs(values - theta))].real
    vector = vector * np.sign(vector.sum())
    _check(Operator(layout, parts), vector, theta)
    return vector


def _check(op: Operator, vector: np.ndarray, theta: float) -> None:
    """Raises ``InputError`` for what is no eigenvector of ``theta``."""
    residual = np.linalg.norm(op @ vector - theta * vector) / np.linalg.norm(vector)
    if not residual <= RESIDUAL * max(1.0, op.bound):
        raise InputError(
            f"no eigenvector of the largest eigenvalue of W_s, {theta:.6g}, was found (residual {residual:.1e}): what "
            "is averaged over it is left out."
        )


def _eigen(layout: Layout, parts: list[Local], count: int, which: str = "LR") -> tuple[np.ndarray, np.ndarray]:
    op = Operator(layout, parts)
    kept = np.ones(op.size, dtype=bool)
    kept[layout.excluded] = False
    if op.size <= DENSE:
        dense = np.stack([op @ e for e in np.eye(op.size)], axis=1)[np.ix_(kept, kept)]
        values, inner = np.linalg.eig(dense)
        vectors = np.zeros((op.size, len(values)), dtype=complex)
        vectors[kept] = inner
    else:
        ncv = min(NCV, int(kept.sum()) - 1)
        require_memory(8.0 * op.size * (ncv + 4), f"the Arnoldi basis of {ncv} vectors over {op.size} states")
        start = np.random.default_rng(0).random(op.size) * kept
        try:
            values, vectors = eigs(op.linear_operator(), k=count, which=which, v0=start, ncv=ncv, tol=1e-13)
        except ArpackError as error:
            raise InputError(f"ARPACK did not find the leading eigenvalues ({error}).") from error
    order = np.argsort(values.real)
    order = (order if which == "SR" else order[::-1])[:count]
    return values[order], vectors[:, order]
