"""What one writes from a textbook in an afternoon: the peers of `speed`, with nothing of vanbench.

``python textbook.py fa 14 0.1 10`` prints ln Z of a kinetically constrained model, c = 1/2, by Lanczos on a CSR matrix;
``asep`` its ln Z with the current of all bonds counted, by uniformisation. Several fields are joined by commas.
``tfim 8 0 4`` and ``heisenberg 3x3 0 2`` print the mean of sigma_z of an open system, by Taylor's series.
"""

from __future__ import annotations

import sys

import numpy as np
import scipy.sparse as sp
from scipy.linalg import eigh_tridiagonal
from scipy.sparse.linalg import eigsh

P, Q, IN, OUT, BACK, FRONT = 1.0, 0.5, 0.5, 0.5, 0.5, 0.5  # hops; in and out at the ends, and the same backwards


def facilitated(model: str, size: str) -> tuple[list[list[int]], np.ndarray, int]:
    """For each free site its facilitating sites (free ones), how many more are up for good, and the number of sites."""
    lengths = [int(part) for part in size.split("x")]
    n = int(np.prod(lengths))
    around: list[list[int]] = [[] for _ in range(n)]
    up = np.zeros(n)
    if len(lengths) == 1:  # the boundary is up
        for i in range(n):
            for j in (i - 1, i + 1) if model == "fa" else (i - 1,):
                if 0 <= j < n:
                    around[i].append(j)
                else:
                    up[i] += 1
        return around, up, n
    columns = lengths[1]  # South-East: site 0 is up for good, and no state of the vector
    for i in range(1, n):
        for j in [i - columns] * (i >= columns) + [i - 1] * (i % columns > 0):
            if j == 0:
                up[i] += 1
            else:
                around[i].append(j - 1)
    return around[1:], up[1:], n - 1


def generator(model: str, size: str) -> tuple[sp.csr_matrix, np.ndarray]:
    """Flips (symmetrised, at s = 0) and escape rates."""
    around, up, n = facilitated(model, size)
    states = np.arange(1 << n, dtype=np.int32)
    bits = [(states >> i) & 1 for i in range(n)]
    rows, columns, values, escape = [], [], [], np.zeros(1 << n)
    for i in range(n):
        count = up[i] + sum((bits[j] for j in around[i]), np.zeros(1 << n))
        escape += 0.5 * count
        used = np.flatnonzero(count)
        rows.append(states[used])
        columns.append(states[used] ^ (1 << i))
        values.append(0.5 * count[used])
    flat = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sp.csr_matrix(flat, shape=(1 << n, 1 << n)), escape


def lanczos(model: str, size: str, fields: list[float], t: float) -> list[float]:
    flips, escape = generator(model, size)
    found = []
    for s in fields:
        h = np.exp(-s) * flips - sp.diags(escape)
        q = np.full(h.shape[0], h.shape[0] ** -0.5)
        before, beta, alphas, betas, last = np.zeros_like(q), 0.0, [], [], np.inf
        while True:
            w = h @ q - beta * before
            alphas.append(w @ q)
            w -= alphas[-1] * q
            beta = np.linalg.norm(w)
            before, q = q, w / beta
            if len(alphas) % 5 == 0:
                nodes, vectors = eigh_tridiagonal(alphas, betas)
                value = np.log(vectors[0] ** 2 @ np.exp(t * nodes))
                if abs(value - last) < 1e-10:
                    break
                last = value
            betas.append(beta)
        found.append(float(value))
    return found


def uniformisation(n: int, fields: list[float], t: float) -> list[float]:
    """asep, open: right and left hops, injection and ejection at both ends, from half filling on average."""
    states = np.arange(1 << n, dtype=np.int32)
    bits = [(states >> (n - 1 - i)) & 1 for i in range(n)]
    moves = []  # states that leave, mask of the bits that change, rate, increment of the current
    for i in range(n - 1):
        both = (1 << (n - 1 - i)) | (1 << (n - 2 - i))
        moves += [((bits[i] == 1) & (bits[i + 1] == 0), both, P, 1), ((bits[i] == 0) & (bits[i + 1] == 1), both, Q, -1)]
    first, last = 1 << (n - 1), 1
    moves += [(bits[0] == 0, first, IN, 1), (bits[0] == 1, first, BACK, -1)]
    moves += [(bits[-1] == 1, last, OUT, 1), (bits[-1] == 0, last, FRONT, -1)]
    found = []
    for s in fields:
        rows, columns, values, escape = [], [], [], np.zeros(1 << n)
        for leaves, mask, rate, step in moves:
            used = states[leaves]
            rows.append(used ^ mask)
            columns.append(used)
            values.append(np.full(len(used), rate * np.exp(-s * step)))
            escape[used] += rate
        flat = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
        top = escape.max()
        step_matrix = sp.csr_matrix(flat, shape=(1 << n, 1 << n)) / top + sp.diags(1 - escape / top)
        # exp(-top t) sum_k (top t)^k / k! (1 + W / top)^k P_0, in logarithms
        term, k, weight, scale, terms = np.full(1 << n, 0.5**n), 0, -top * t, 0.0, []
        while True:
            z = term.sum()
            terms.append(weight + scale + np.log(z))
            if k > top * t and terms[-1] < max(terms) - 35:
                break
            term = step_matrix @ (term / z)
            scale += np.log(z)
            k += 1
            weight += np.log(top * t / k)
        highest = max(terms)
        found.append(float(highest + np.log(np.exp(np.array(terms) - highest).sum())))
    return found


X, Y, Z = np.array([[0, 1], [1, 0]]), np.array([[0, -1j], [1j, 0]]), np.diag([1, -1])
LOWER = np.array([[0, 0], [1, 0]])


def on(n: int, matrices: dict[int, np.ndarray]) -> sp.csr_matrix:
    out = sp.identity(1, format="csr")
    for i in range(n):
        out = sp.kron(out, matrices.get(i, np.eye(2)), format="csr")
    return out


def lindblad(model: str, size: str, t: float) -> float:
    """The published models, all up at first, with decay of rate one on a torus."""
    lengths = [int(part) for part in size.split("x")]
    n, columns = int(np.prod(lengths)), lengths[-1]
    pairs = {tuple(sorted((i, i - i % columns + (i + 1) % columns))) for i in range(n)}
    pairs |= {tuple(sorted((i, (i + columns) % n))) for i in range(n)} if len(lengths) > 1 else set()
    if model == "tfim":
        h = sum(0.5 * on(n, {i: Z, j: Z}) for i, j in pairs) + sum(0.5 * on(n, {i: X}) for i in range(n))
    else:
        h = sum(c * on(n, {i: m, j: m}) for c, m in ((0.9, X), (1.0, Y), (1.0, Z)) for i, j in pairs)
    eye = sp.identity(2**n, format="csr")
    jumps = [on(n, {i: LOWER}) for i in range(n)]
    k = h - 0.5j * sum(a.getH() @ a for a in jumps)
    whole = -1j * sp.kron(k, eye, format="csr") + 1j * sp.kron(eye, k.conj(), format="csr")
    whole = (whole + sum(sp.kron(a, a.conj(), format="csr") for a in jumps)).tocsr()
    rho = np.zeros(4**n, dtype=complex)
    rho[0] = 1
    top, bottom = (eigsh(h, k=1, which=which, return_eigenvectors=False)[0] for which in ("LA", "SA"))
    steps = int(np.ceil(t * (top - bottom + n * 2**0.5) / 8))  # each local dissipator has the norm sqrt(2)
    for _ in range(steps):
        term, order = rho, 0
        while np.linalg.norm(term) > 1e-13:
            order += 1
            term = (t / steps / order) * (whole @ term)
            rho = rho + term
    diagonal = rho.reshape(2**n, 2**n).diagonal().real
    return float(np.mean([on(n, {i: Z}).diagonal().real @ diagonal for i in range(n)]))


if __name__ == "__main__":
    model, size, s, t = sys.argv[1:5]
    fields = [float(part) for part in s.split(",")]
    if model in ("tfim", "heisenberg"):
        answers = [lindblad(model, size, float(t))]
    elif model == "asep":
        answers = uniformisation(int(size), fields, float(t))
    else:
        answers = lanczos(model, size, fields, float(t))
    for value in answers:
        print(repr(value))
