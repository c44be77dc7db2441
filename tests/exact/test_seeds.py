"""Streams of random numbers: none is met twice, whatever seeds, runs, chains and populations are put side by side."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from vanbench.exact import build, ising, seeds
from vanbench.exact.ising import montecarlo
from vanbench.exact.quantum import tfim_model
from vanbench.exact.quantum.trajectories import read, sample
from vanbench.exact.trajectories.cloning import cloning
from vanbench.exact.trajectories.gillespie import trajectories

NEIGHBOURS = (0, 1, 2, 3, 2**32 - 1, 2**32, 2**32 + 1, 2**63 - 1)  # a seed of two words must not read as a longer key


def first_words(*name):
    return tuple(seeds.stream(*name).generate_state(4, np.uint64))


def test_streams_do_not_coincide():
    """Seeds beside each other, keys of one to three numbers, and streams of streams."""
    names = [(seed, *key) for seed in NEIGHBOURS for n in (1, 2, 3) for key in itertools.product(range(5), repeat=n)]
    found = {first_words(*name) for name in names}
    assert len(found) == len(names)
    assert len({word for words in found for word in words}) == 4 * len(names)
    assert len({seeds.number(*name) for name in names}) == len(names)
    assert first_words(seeds.stream(5, 2), 3) == first_words(5, 2, 3)


def test_ising_runs_at_neighbouring_seeds_share_no_chain():
    """Every (seed, temperature, chain): no stretch of recorded energies is met twice. With ``seed + k`` most were."""
    met = set()
    count = 0
    for seed, k in itertools.product(range(4), range(4)):
        run = montecarlo.simulate((6, 6), 3.0, 400, seed=seeds.stream(seed, k), thermalise=10)
        for chain in np.array_split(run.energy, run.chains):
            met.add(tuple(chain))
            count += 1
    assert len(met) == count
    asked = {
        "quantities": ["specific_heat"],
        "by": "montecarlo",
        "samples": 400,
    }  # few of its values are equal by chance
    rows = [ising.solve((6, 6), [3.0] * 3, **asked, seed=seed).value for seed in range(1, 4)]
    assert len(np.unique(np.concatenate(rows))) == sum(map(len, rows))


def test_quantum_trajectories_at_neighbouring_seeds_differ(tmp_path):
    values = []
    for seed in (1, 2, 3):
        path = tmp_path / f"{seed}.csv"
        sample(path, "ring", tfim_model((3,), g=2.5), 4, dt=0.1, burn_in=1.0, duration=4.0, seed=seed)
        values += [row["sigma_x"] for row in read(path, "ring")]
    assert len(set(values)) == 12


@pytest.mark.parametrize("seeds_", [(0, 1, 2), (5, 2**32 + 5)])
def test_populations_and_walkers_at_neighbouring_seeds_differ(seeds_):
    system = build("fa", (4,))
    grown = [cloning(system, [0.2, 0.2], 1.0, clones=60, populations=2, seed=s) for s in seeds_]
    values = np.concatenate([found[found.quantity == "ln_Z"].value.to_numpy() for found in grown])
    assert len(np.unique(values)) == len(values)
    counts = [tuple(seen.counts) for s in seeds_ for seen in trajectories(system, [1.0, 1.0, 2.0], 200, seed=s)]
    assert len(set(counts)) == 2 * len(seeds_)  # at 1.0 twice the same: no time has passed
