"""Random small systems of every kind that has a bound: the hard ones of each in their share."""

from __future__ import annotations

import numpy as np

from vanbench.exact import System, build
from vanbench.exact.definitions.terms import jumps


def draw(rng: np.random.Generator, most: int) -> list[System]:
    """Independent systems of at most ``most`` states each, to be put side by side; mostly one alone."""
    kind = rng.choice(["kcm", "kcm", "ring", "rates", "rates", "blocks"])
    if kind == "blocks":
        one = reversible(rng, min(most, 32))
        return [one, one if rng.random() < 0.5 else reversible(rng, min(most, 32), one.local_dim)]
    return [{"kcm": constrained, "ring": ring, "rates": reversible}[kind](rng, most)]


def many(rng: np.random.Generator, n_sites: int) -> list[System]:
    """Independent systems of ``n_sites`` spins together."""
    found: list[System] = []
    while (left := n_sites - sum(part.n_sites for part in found)) > 0:
        found.append(reversible(rng, 2 ** min(left, 5), 2))
    return found


def side_by_side(parts: list[System]) -> System:
    """One system that is all of ``parts``, which know nothing of each other."""
    if len(parts) == 1:
        return parts[0]
    terms, before = [], 0
    for part in parts:
        for t in part.terms:
            terms.append(jumps(tuple(i + before for i in t.sites), t.matrix - np.diag(np.diag(t.matrix))))
        before += part.n_sites
    return System("blocks", (before,), parts[0].local_dim, tuple(terms), np.vstack([part.initial for part in parts]))


def field(rng: np.random.Generator) -> float:
    """A counting field in -6..6; zero and tiny ones in their share."""
    wide, narrow, tiny = rng.uniform(-6, 6), rng.uniform(-1, 1), 10 ** rng.uniform(-6, 0) * rng.choice([-1, 1])
    return float(rng.choice([0.0, wide, narrow, tiny], p=[0.1, 0.4, 0.3, 0.2]))


def times(rng: np.random.Generator, count: int) -> np.ndarray:
    """Times from 1e-3 to 1e8, of wildly different scale in one call."""
    return np.unique(10 ** rng.uniform(-3, 8, count))


def constrained(rng: np.random.Generator, most: int) -> System:
    shape = [(n,) for n in range(1, 9)] + [(2, 2), (2, 3), (2, 4), (2, 2, 2), (1, 3)]
    shape = shape[rng.integers(len(shape))]
    if 2 ** np.prod(shape) > most:
        shape = (3,)
    c = float(rng.choice([10 ** rng.uniform(-4, -0.3), 1 - 10 ** rng.uniform(-3, -0.3), rng.uniform(0.05, 0.95)]))
    name = rng.choice(["free", "fa", "east"])
    params: dict = {"c": c}
    if name != "free":
        params["boundary"] = rng.choice(["up", "down", "periodic"])
    n = int(np.prod(shape))
    if n < 2:
        params.update({"boundary": "up"} if name != "free" else {})
    elif rng.random() < 0.4:
        sites = rng.choice(n, size=rng.integers(1, min(n, 3)), replace=False)
        params["pinned"] = {int(i): int(rng.random() < 0.6) for i in sites}
    return build(str(name), shape, **params)


def ring(rng: np.random.Generator, most: int) -> System:
    length = int(rng.integers(2, 9))
    while 2**length > most:
        length -= 1
    return build("ssep", (length,), boundary="periodic", p=float(10 ** rng.uniform(-3, 3)))


def reversible(rng: np.random.Generator, most: int, d: int = 0) -> System:
    """Sites of two or three states that flip at rates over 12 decades while a neighbour allows it."""
    d = d or int(rng.choice([2, 3]))
    n = int(rng.integers(1, 9))
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
