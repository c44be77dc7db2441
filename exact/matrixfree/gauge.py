"""A product measure that balances local operators: what a counting field puts on one bond is spread over all.

``M[b, a] exp(f(a) - f(b))`` with ``f(x) = sum_i f_i(x_i)`` has the eigenvalues of ``M`` and stays local. Of all fields
``f`` the one is taken that makes the sum of the elements least (convex): flows in and out are then equal, site by site
and value by value. Where detailed balance holds for a product measure the result is symmetric.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vanbench.exact.matrixfree.local import Local

STEPS = 200
STILL = 1e-13
SYMMETRIC = 1e-12
LONGEST = 10.0  # change of a field in a step
FLAT, SLOPING = 1e-13, 1e-10  # a curvature that is rounding, of the largest; a slope that is none
WIDEST = 300.0  # of the logarithm of a weight of a configuration: its square is a double


def product_gauge(parts: Sequence[Local], n_sites: int, d: int) -> np.ndarray:
    """The fields ``f``, ``(n_sites, d)``, of mean zero on each site, by Newton's method."""
    weights, directions = _moves(parts, n_sites, d)
    f = np.zeros(n_sites * d)
    if not len(weights):
        return f.reshape(n_sites, d)
    value = np.log(weights.sum())
    logs = np.log(weights)
    for _ in range(STEPS):
        share = np.exp(logs + directions @ f - value)  # of the logarithm of the sum, convex as well
        gradient = share @ directions
        hessian = (directions.T * share) @ directions - np.outer(gradient, gradient)
        step = _step(hessian, gradient)
        step *= min(1.0, LONGEST / max(np.abs(step).max(), 1e-300))
        for _ in range(40):
            exponents = logs + directions @ (f + step)
            trial = exponents.max() + np.log(np.exp(exponents - exponents.max()).sum())
            if trial <= value + 1e-15 * abs(value):
                break
            step /= 2
        else:
            break
        f, value = f + step, trial
        if np.abs(step).max() <= STILL * max(1.0, np.abs(f).max()):
            break
    fields = f.reshape(n_sites, d)
    fields = fields - fields.mean(1, keepdims=True)
    # moves without a way back push it to infinity; on the way there, from zero, the sum falls throughout
    return fields * min(1.0, WIDEST / max(np.ptp(fields, axis=1).sum(), 1e-300))


def _step(hessian: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Newton's, and as far as a step may go where the logarithm falls on a straight line: elements that outweigh all
    others by more than a double tells apart may fall together, and no curvature says how far."""
    curvatures, directions = np.linalg.eigh(hessian)
    slopes = directions.T @ gradient
    curved = curvatures > FLAT * curvatures[-1]
    straight = np.where(np.abs(slopes) > SLOPING, np.sign(slopes) * LONGEST, 0.0)
    return -directions @ np.where(curved, slopes / np.where(curved, curvatures, 1.0), straight)


def in_gauge(parts: Sequence[Local], f: np.ndarray) -> tuple[list[Local], bool]:
    """The local matrices in the gauge ``f``, and whether they are symmetric (then exactly so)."""
    out, symmetric = [], True
    for part in parts:
        fields = np.zeros(1)
        for site in part.sites:
            fields = np.add.outer(fields, f[site]).ravel()
        matrix = part.matrix * np.exp(fields - fields[:, None])
        symmetric &= bool(np.abs(matrix - matrix.T).max(initial=0.0) <= SYMMETRIC * np.abs(matrix).max(initial=0.0))
        out.append(Local(part.sites, matrix))
    return ([Local(p.sites, (p.matrix + p.matrix.T) / 2) for p in out] if symmetric else out), symmetric


def _moves(parts: Sequence[Local], n_sites: int, d: int) -> tuple[np.ndarray, np.ndarray]:
    """The size of each off-diagonal element, ``(m,)``, and the fields it feels, ``(m, n_sites d)``."""
    weights, rows = [], []
    for part in (part for part in parts if part.sites):  # all sites pinned: a number
        k = len(part.sites)
        digits = np.stack(np.unravel_index(np.arange(d**k), (d,) * k), axis=-1)
        for to, start in zip(*np.nonzero(part.matrix - np.diag(np.diag(part.matrix)))):
            row = np.zeros((n_sites, d))
            for site, a, b in zip(part.sites, digits[start], digits[to]):
                row[site, a] += 1.0
                row[site, b] -= 1.0
            weights.append(abs(part.matrix[to, start]))
            rows.append(row.ravel())
    return np.array(weights), np.array(rows).reshape(-1, n_sites * d)
