"""Random small systems of every kind that has a bound: the hard ones of each in their share."""

from __future__ import annotations

import numpy as np

from exact import System, build
from exact.terms import jumps


def draw(rng: np.random.Generator, most: int = 256) -> System:
    """One system of at most ``most`` states."""
    kind = rng.choice(["kcm", "kcm", "ring", "rates", "rates", "blocks"])
    return {"kcm": constrained, "ring": ring, "rates": reversible, "blocks": blocks}[kind](rng, most)


def field(rng: np.random.Generator) -> float:
    """A counting field in -6..6; zero and tiny ones in their share."""
    return float(rng.choice([0.0, rng.uniform(-6, 6), rng.uniform(-1, 1), 10 ** rng.uniform(-6, 0) * rng.choice([-1, 1])],
                            p=[0.1, 0.4, 0.3, 0.2]))  # fmt: skip


def times(rng: np.random.Generator, count: int = 4) -> np.ndarray:
    """Times from 1e-3 to 1e8, of wildly different scale in one call."""
    return np.unique(10 ** rng.uniform(-3, 8, count))


def constrained(rng: np.random.Generator, most: int) -> System:
    shape = [(n,) for n in range(1, 9)] + [(2, 2), (2, 3), (2, 4), (2, 2, 2), (1, 3)]
    shape = shape[rng.integers(len(shape))]
    if 2 ** np.prod(shape) > most:
        shape = (3,)
    c = float(rng.choice([10 ** rng.uniform(-4, -0.3), 1 - 10 ** rng.uniform(-3, -0.3), rng.uniform(0.05, 0.95)]))
    name = rng.choice(["free", "fa", "east"])
    params = {"c": c}
    if name != "free":
        params["boundary"] = rng.choice(["up", "down", "periodic"])
    n = int(np.prod(shape))
    if n > 1 and rng.random() < 0.4:
        sites = rng.choice(n, size=rng.integers(1, min(n, 3)), replace=False)
        params["pinned"] = {int(i): int(rng.random() < 0.6) for i in sites}
    elif name != "free" and params["boundary"] != "up" and n < 2:
        params["boundary"] = "up"
    return build(str(name), shape, **params)


def ring(rng: np.random.Generator, most: int) -> System:
    length = int(rng.integers(2, 9))
    while 2**length > most:
        length -= 1
    return build("ssep", (length,), boundary="periodic", p=float(10 ** rng.uniform(-3, 3)))


def reversible(rng: np.random.Generator, most: int, n: int = 0, offset: int = 0) -> System:
    """Sites of two or three states that flip at rates over 12 decades while a neighbour allows it."""
    d = int(rng.choice([2, 3]))
    n = n or int(rng.integers(1, 6 if d == 3 else 9))
    while d**n > most:
        n -= 1
    spread = rng.choice([0.0, 0.5, 2.0])  # of each of three factors, in decades on both sides: 12 together
    pi = 10 ** (rng.choice([0.0, 0.5, 1.5]) * rng.standard_normal((n, d)))
    pi /= pi.sum(1, keepdims=True)
    terms = []
    for i in range(n):
        if rng.random() < 0.1:
            continue  # a site that never moves
        scale = 10 ** rng.uniform(-spread, spread)
        rates = np.zeros((d, d))
        for a in range(d):
            for b in range(a):
                if d == 2 or rng.random() < 0.8:
                    k = scale * 10 ** rng.uniform(-spread, spread) if rng.random() < 0.7 else scale
                    rates[a, b], rates[b, a] = k * np.sqrt(pi[i, a] / pi[i, b]), k * np.sqrt(pi[i, b] / pi[i, a])
        how = rng.choice(["free", "one", "both"])
        others = [j for j in (i - 1, i + 1) if 0 <= j < n]
        if how == "free" or not others:
            terms.append(jumps((i,), rates))
            continue
        for j in others if how == "both" else others[:1]:
            allowed = 10 ** rng.uniform(-spread, spread, d) * (rng.random(d) < 0.7)
            terms.append(jumps((i, j), np.kron(rates, np.diag(allowed))))
    return System("random", (n,), d, tuple(terms), pi)


def blocks(rng: np.random.Generator, most: int) -> System:
    """Two systems side by side that know nothing of each other: degenerate where they are the same."""
    one = reversible(rng, max(3, int(np.sqrt(most))))
    n, d = one.n_sites, one.local_dim
    if rng.random() < 0.5 or 2 * n > 8:
        other = one
    else:
        other = reversible(rng, max(3, int(np.sqrt(most))))
        if other.local_dim != d:
            other = one
    terms = [*one.terms, *(jumps(tuple(i + n for i in t.sites), t.matrix - np.diag(np.diag(t.matrix))) for t in other.terms)]
    return System("blocks", (n + other.n_sites,), d, tuple(terms), np.vstack([one.initial, other.initial]))
