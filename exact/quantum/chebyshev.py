"""``exp(h A) x`` in Chebyshev polynomials, for an operator whose spectrum lies along the imaginary axis.

With ``A = c + R X``, ``c`` the middle of the decay rates and ``i R`` beyond the largest frequency,

    exp(h A) x = exp(c h) sum_k (2 - [k = 0]) J_k(R h) phi_k,   phi_{k+1} = 2 X phi_k + phi_{k-1},  phi_1 = X x,

``J_k`` Bessel functions (Tal-Ezer and Kosloff, J. Chem. Phys. 81, 3967 (1984)). It takes some ``R h`` products, where
Taylor's series needs five times as many to keep as many digits. What lies off the axis, ``c + R i z``, grows in
``phi_k`` like ``|z + sqrt(z^2 - 1)|^k``: by ``exp(k a / R)`` if it is off by ``a`` at low frequencies, but far more at
the largest, ``|z| = 1``, so that a wider ``R`` keeps more digits. The ``J_k`` undo it, at the cost of these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import jv

LONGEST = 128.0  # R h of one step: its coefficients take the square of this
DECAY = 12.0  # decay rate times h of one step: what lies beyond the axis by more takes more terms than TAIL
LOSS = 7.0  # logarithm of the largest term over the result of one step: 3 of 16 digits, as in a Taylor step
WIDER = (1.0, 1.02, 1.05, 1.1, 1.2, 1.5, 2.0)  # R over the largest frequency, of which the cheapest is taken
TAIL = 32  # terms beyond R h that are needed
EDGE = 60  # terms beyond R h in which the J_k fall below every tolerance, and a share more of its third root
NODES = 40  # of Gauss and Legendre, beyond R h


@dataclass(frozen=True)
class ChebyshevPlan:
    """Steps that cover a time, their ``R``, and about how many products they take."""

    n_steps: int
    radius: float
    products: float


def chebyshev_plan(spread: float, decay: float, decline: float, span: float) -> ChebyshevPlan:
    """For frequencies up to ``spread`` and decay rates up to ``decay``, of which the result follows ``decline`` at
    most."""
    plans = []
    for radius in np.multiply(WIDER, spread):
        lost = radius * _growth((spread + 0.5j * decay) / radius) - 0.5 * decay + decline
        n_steps = max(1, int(np.ceil(span * max(radius / LONGEST, decay / DECAY, lost / LOSS))))
        plans.append(ChebyshevPlan(n_steps, float(radius), float(radius) * span + TAIL * n_steps))
    return min(plans, key=lambda plan: plan.products)


def _growth(z: complex) -> float:
    """Of the logarithm of ``phi_k`` by ``k``, of what lies at ``z`` in units of ``R``, the real part along the axis."""
    root = np.sqrt(complex(z) ** 2 - 1)
    return float(np.log(max(abs(z + root), abs(z - root))))


def chebyshev_step(
    apply: Callable[[np.ndarray], np.ndarray], x: np.ndarray, h: float, centre: float, radius: float, tolerance: float
) -> tuple[np.ndarray, np.ndarray]:
    """``exp(h A) x`` and its integral over the step, ``(*x.shape)`` each, to ``tolerance``.

    Raises ``ArithmeticError`` where the series does not converge: the spectrum is not where ``radius`` has it.
    """
    ends, integrals = _coefficients(h, centre, radius)
    before, here = np.zeros_like(x), x
    total, passed = ends[0] * x, integrals[0] * x
    small = 0
    for k in range(1, len(ends)):
        ahead = apply(here)
        ahead -= centre * here
        ahead *= (1.0 if k == 1 else 2.0) / radius
        ahead += before
        before, here = here, ahead
        total += ends[k] * here
        passed += integrals[k] * here
        if k < radius * h:
            continue
        size = max(abs(ends[k]), abs(integrals[k]) / h) * float(np.linalg.norm(here))
        small = small + 1 if size <= tolerance * float(np.linalg.norm(total)) else 0
        if small == 2:  # two terms: one may vanish by parity
            return total, passed
    raise ArithmeticError("the Chebyshev series of the exponential did not converge.")


def _coefficients(h: float, centre: float, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Of the ``phi_k``, in ``exp(h A)`` and in its integral from 0 to ``h``."""
    reach = radius * h
    orders = np.arange(int(reach + 8 * np.cbrt(reach)) + EDGE)
    double = np.where(orders == 0, 1.0, 2.0)
    nodes, weights = np.polynomial.legendre.leggauss(int(reach) + NODES)
    tau = 0.5 * h * (nodes + 1)
    over = jv(orders[:, None], radius * tau) @ (0.5 * h * weights * np.exp(centre * tau))
    return double * np.exp(centre * h) * jv(orders, reach), double * over
