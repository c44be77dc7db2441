"""The moves of the Ising Monte Carlo, compiled: heat-bath sweeps over single spins, and clusters.

A spin, or a cluster as a whole, is turned with probability 1 / (1 + exp(dE / T)) (A. A. Barker, Aust. J. Phys. 18, 119
(1965); for a single spin this is the heat bath). Metropolis' min(1, exp(-dE / T)) turns every spin for certain where
turning costs nothing: sweeps in site order at J = 0, or at a high temperature, then go to and fro between two
configurations for ever.

Clusters are those of Fortuin and Kasteleyn (R. H. Swendsen and J.-S. Wang, Phys. Rev. Lett. 58, 86 (1987)): a bond
with J s_i s_j > 0 joins its sites with probability 1 - exp(-2 J s_i s_j / T), a bond of the other sign never. A site is
taken into one cluster once, whatever loops the bonds form, and no spin turns before its cluster is complete, so that
the lattice may be frustrated. What field and plaquettes cost when the whole cluster turns is the dE above.
"""

from __future__ import annotations

import numpy as np

from vanbench.exact.compiled import compiled

SINGLE, ONE_CLUSTER, BOTH = range(3)  # what an update does


@compiled()
def _turns(cost, rng):
    """Whether a move that costs `cost` = dE / T is made."""
    return rng.random() < 1.0 / (1.0 + np.exp(cost))


@compiled()
def heat_bath_sweep(s, neighbours, squares, K, H, Q, rng):
    """Each spin once, in site order; K, H, Q are J/T, h/T, plaquette/T."""
    for i in range(len(s)):
        bond_sum, square_sum = 0, 0
        for k in range(neighbours.shape[1]):
            if neighbours[i, k, 0] >= 0:
                bond_sum += s[neighbours[i, k, 0]]
        if Q != 0.0:
            for k in range(squares.shape[1]):
                if squares[i, k, 0] >= 0:
                    square_sum += s[squares[i, k, 0]] * s[squares[i, k, 1]] * s[squares[i, k, 2]]
        if _turns(2.0 * s[i] * (K * bond_sum + H + Q * square_sum), rng):
            s[i] = -s[i]


@compiled()
def _square_cost(s, members, owner, squares, Q):
    """What the plaquettes that a cluster shares with other spins cost, over T, when it turns."""
    cost = 0.0
    for i in members:
        for k in range(squares.shape[1]):
            if squares[i, k, 0] < 0:
                break
            inside, product = 1, s[i]
            for j in squares[i, k]:
                inside += owner[j] == owner[i]
                product *= s[j]
            if inside % 2:
                cost += 2.0 * Q * product / inside  # met once from each of its sites inside
    return cost


@compiled()
def cluster(s, start, owner, queue, neighbours, squares, K, H, Q, rng):
    """Grows the cluster of `start` among the sites with owner -1, turns it or not; its sites are queue[:size]."""
    join = 1.0 - np.exp(-2.0 * abs(K))
    owner[start], queue[0] = start, start
    size, done = 1, 0
    while done < size:
        i = queue[done]
        done += 1
        for k in range(neighbours.shape[1]):
            j = neighbours[i, k, 0]
            if j >= 0 and owner[j] < 0 and K * s[i] * s[j] > 0.0 and rng.random() < join:
                owner[j], queue[size] = start, j
                size += 1
    cost = 0.0
    if H != 0.0:
        for i in queue[:size]:
            cost += 2.0 * H * s[i]
    if Q != 0.0:
        cost += _square_cost(s, queue[:size], owner, squares, Q)
    if _turns(cost, rng):
        for i in queue[:size]:
            s[i] = -s[i]
    return size


@compiled()
def cluster_sweep(s, owner, queue, neighbours, squares, K, H, Q, rng):
    """Every site once, in the cluster it belongs to."""
    owner[:] = -1
    for start in range(len(s)):
        if owner[start] < 0:
            cluster(s, start, owner, queue, neighbours, squares, K, H, Q, rng)


@compiled()
def _update(s, owner, queue, neighbours, squares, K, H, Q, moves, rng):
    """One update; returns how many spins it dealt with."""
    if moves == ONE_CLUSTER:
        size = cluster(s, rng.integers(0, len(s)), owner, queue, neighbours, squares, K, H, Q, rng)
        owner[queue[:size]] = -1
        return size
    heat_bath_sweep(s, neighbours, squares, K, H, Q, rng)
    if moves == BOTH:
        cluster_sweep(s, owner, queue, neighbours, squares, K, H, Q, rng)
    return len(s)


@compiled()
def chain(s, neighbours, squares, pairs, quads, couplings, T, moves, thermalise, sweeps, samples, keep, rng):
    """Thermalise, then record energy and magnetization (and spins, if `keep` is as long) every `sweeps` sweeps."""
    J, h, plaquette = couplings
    n = len(s)
    owner, queue = np.full(n, -1), np.empty(n, dtype=np.int64)
    sizes = 0
    for _ in range(thermalise):
        sizes += _update(s, owner, queue, neighbours, squares, J / T, h / T, plaquette / T, moves, rng)
    # as many clusters as make `sweeps` sweeps on average: a number fixed before the first sample
    stride = max(1, int(np.ceil(sweeps * n * thermalise / sizes)))
    energy, magnetization = np.empty(samples), np.empty(samples)
    for t in range(samples):
        for _ in range(stride):
            _update(s, owner, queue, neighbours, squares, J / T, h / T, plaquette / T, moves, rng)
        bond_sum, square_sum = 0, 0
        for k in range(len(pairs)):
            bond_sum += s[pairs[k, 0]] * s[pairs[k, 1]]
        for k in range(len(quads)):
            square_sum += s[quads[k, 0]] * s[quads[k, 1]] * s[quads[k, 2]] * s[quads[k, 3]]
        magnetization[t] = s.sum()
        energy[t] = -J * bond_sum - h * magnetization[t] - plaquette * square_sum
        if t < len(keep):
            for i in range(n):
                keep[t, i] = (s[i] + 1) // 2
    return energy, magnetization
