"""Monte Carlo of the Ising model: ergodic at any temperature, right on frustrated lattices, errors that can be trusted.

Each standard error is held to within a factor of two: over R replicas the mean of ((value - truth) / stderr)^2 is 1,
and R times it follows chi^2 with R degrees of freedom for normal errors. With R = 80 it lies between 1/2 and 2 but for
luck below 1e-4; errors twice too small make it 4, twice too large 1/4.
"""

import numpy as np
import pytest
from scipy.signal import lfilter
from scipy.stats import binom

from vanbench.compare.learn.ising import data
from vanbench.exact import ising
from vanbench.exact.ising import enumeration, lattice, montecarlo, series, updates

SIGMAS = 4.5  # seeds are fixed: this bounds a systematic error, not luck
REPLICAS = 80


def exact(shape, T, J, h, plaquette):
    return enumeration.averages(shape, T, J, h, plaquette)


def agrees(run, T, n_sites, expected):
    for name, (value, error) in montecarlo.averages(run, T, n_sites).items():
        assert abs(value - expected[name]) < SIGMAS * error, name


@pytest.mark.parametrize("algorithm", ["wolff", "auto", "metropolis"])
@pytest.mark.parametrize("shape", [(3, 3), (3, 5), (5, 5), (3, 4), (2, 3), (5,), (3, 1), (2, 2)])
@pytest.mark.parametrize("T", [1.0, 3.0])
def test_antiferromagnets_of_any_shape(algorithm, shape, T):
    """Odd loops are frustrated: clusters grow around them and meet themselves."""
    run = montecarlo.simulate(shape, T, 6000, -1.0, algorithm=algorithm, thermalise=200, seed=2)
    agrees(run, T, np.prod(shape), exact(shape, T, -1.0, 0.0, 0.0))


@pytest.mark.slow
def test_a_million_clusters_on_the_smallest_frustrated_lattice():
    """0.17619(14) where a cluster could take a spin twice."""
    value, error = montecarlo.averages(montecarlo.simulate((3, 3), 3.0, 10**6, -1.0, algorithm="wolff"), 3.0, 9)[
        "abs_magnetization"
    ]
    assert error < 3e-4
    assert abs(value - 0.1725797) < 4 * error


@pytest.mark.parametrize(
    ("shape", "couplings"),
    [((4, 4), (1.0, 0.2, 0.3)), ((3, 3), (-1.0, 0.5, -0.4)), ((4,), (0.6, -0.3, 0.0)), ((1, 1), (1.0, 0.4, 0.0))],
)
def test_clusters_know_field_and_plaquettes(shape, couplings):
    """Clusters alone, every site in one of them, without the single spins that would hide an error."""
    rows, columns = lattice.sides(shape)
    n, T, rng = rows * columns, 1.7, np.random.default_rng(1)
    tables = [lattice.site_tables(sets, n) for sets in (lattice.bonds(shape), lattice.plaquettes(shape))]
    K, H, Q = (value / T for value in couplings)
    s, owner, queue = np.ones(n, dtype=np.int64), np.empty(n, dtype=np.int64), np.empty(n, dtype=np.int64)
    seen = np.empty((40_000, n), dtype=np.int64)
    for t in range(len(seen)):
        updates.cluster_sweep(s, owner, queue, *tables, K, H, Q, rng)
        seen[t] = s
    p = np.exp(enumeration.log_distribution(shape, T, *couplings))
    index = (seen > 0) @ (1 << np.arange(n)[::-1])
    energies = enumeration.energies(shape, *couplings)
    for observable in (energies, lattice.spins(enumeration.configurations(n)).sum(1)):
        value, error = montecarlo.mean_error(observable[index])
        assert abs(value - p @ observable) < SIGMAS * error


@pytest.mark.parametrize("J", [1.0, -1.0])
@pytest.mark.parametrize("shape", [(5, 5), (4, 6), (2, 3), (7,), (1, 1)])
def test_cold_clusters_are_the_components_of_satisfied_bonds(J, shape):
    """Each site is taken once, whatever loops the bonds form, and the whole cluster is turned or none of it."""
    rows, columns = lattice.sides(shape)
    n, rng = rows * columns, np.random.default_rng(3)
    pairs = lattice.bonds(shape)
    tables = lattice.site_tables(pairs, n), lattice.site_tables(lattice.plaquettes(shape), n)
    turned = 0
    for start in list(range(n)) * 4:
        s = 2 * rng.integers(0, 2, n) - 1
        before, owner, queue = s.copy(), np.full(n, -1), np.zeros(n, dtype=np.int64)
        size = updates.cluster(s, start, owner, queue, *tables, 50 * J, 0.0, 0.0, rng)
        reached = {start}
        while new := {
            int(b) for i, j in pairs for a, b in ((i, j), (j, i)) if a in reached and J * s_(before, a, b) > 0
        }:
            if new <= reached:
                break
            reached |= new
        assert sorted(queue[:size]) == sorted(reached)
        changed = set(np.flatnonzero(s != before).tolist())
        assert changed in (set(), reached)
        turned += bool(changed)
    assert 0 < turned < 4 * n or n == 1


def s_(spins, a, b):
    return spins[a] * spins[b]


@pytest.mark.parametrize(("J", "T"), [(0.0, 1.0), (1e-6, 1.0), (-1e-6, 1.0), (1.0, 1e6)])
@pytest.mark.parametrize("algorithm", ["wolff", "auto", "metropolis"])
def test_free_spins_move_on(J, T, algorithm):
    """Where turning costs nothing: a binomial |M|. Spins that turn for certain go to and fro for ever."""
    if algorithm == "wolff" and J == 0:
        algorithm = "auto"
    ups = np.arange(401)
    expected = binom.pmf(ups, 400, 0.5) @ np.abs(2 * ups - 400) / 400
    run = montecarlo.simulate((20, 20), T, 1500, J, algorithm=algorithm, thermalise=100, seed=3)
    value, error = montecarlo.averages(run, T, 400)["abs_magnetization"]
    assert abs(value - expected) < SIGMAS * error
    # independent samples: the error is that of their spread, sqrt(var |M| / n), which Wolff's few sites reach to 2
    spread = np.sqrt((1 / 400 - expected**2) / 1500)
    assert 0.8 * spread < error < 2.5 * spread


def test_free_spins_as_asked_on_the_command_line():
    (row,) = ising.solve((20, 20), [1.0], J=0.0, quantities=["abs_magnetization"], seed=3).itertuples()
    assert abs(row.value - 0.0398693) < SIGMAS * row.stderr
    assert 1e-4 < row.stderr < 5e-4


MODELS = [
    ((4, 4), 2.0, (1.0, 0.2, 0.3), "auto"),  # two phases, from one to the other by clusters
    ((4, 4), 1.9, (1.0, 0.0, 0.0), "metropolis"),  # slow
    ((3, 3), 3.0, (-1.0, 0.0, 0.0), "wolff"),
    ((3, 5), 1.5, (0.3, -0.1, -0.6), "auto"),
    ((12,), 0.9, (1.0, 0.05, 0.0), "metropolis"),  # slow domain walls
]


@pytest.mark.parametrize(("shape", "T", "couplings", "algorithm"), MODELS)
def test_standard_errors_are_neither_too_small_nor_too_large(shape, T, couplings, algorithm):
    n, expected = int(np.prod(shape)), exact(shape, T, *couplings)
    scores = {name: [] for name in ("energy", "specific_heat", "abs_magnetization")}
    for seed in range(REPLICAS):
        run = montecarlo.simulate(shape, T, 3000, *couplings, algorithm=algorithm, thermalise=200, seed=seed)
        for name, found in montecarlo.estimates(run, T, n).items():
            scores[name].append((found.value - expected[name]) / found.stderr)
    for name, values in scores.items():
        assert 0.5 < np.mean(np.square(values)) < 2, name
        assert np.mean(np.abs(values) < 2) > 0.88, name  # 0.95 of normal errors; 80 replicas: three sigma


@pytest.mark.parametrize(
    ("shape", "T", "couplings"),
    [((4, 4), 2.0, (1.0, 0.2, 0.3)), ((4, 4), 1.2, (0.0, 0.0, 1.0)), ((4, 4), 0.9, (1.0, 0.05, 0.0))],
)
def test_chains_that_stay_in_their_phases_say_so(shape, T, couplings):
    """Single spins do not leave a phase: the chains keep the weights of their starts, and the error covers that."""
    n, expected = int(np.prod(shape)), exact(shape, T, *couplings)
    covered, told = [], 0
    for seed in range(20):
        run = montecarlo.simulate(shape, T, 1500, *couplings, algorithm="metropolis", thermalise=100, seed=seed)
        found = montecarlo.estimates(run, T, n)
        told += any("disagree" in each.note for each in found.values())
        covered += [abs(each.value - expected[name]) < 2 * each.stderr for name, each in found.items()]
    assert told >= 15
    assert np.mean(covered) > 0.85


@pytest.mark.parametrize("couplings", [(1.0, 0.0, 0.0), (-1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.3, 0.1, 0.5)])
def test_frozen_chains_have_no_error_and_say_so(couplings):
    frame = ising.solve((4, 4), [0.02], *couplings, by="montecarlo", samples=300)
    assert not (frame.stderr == 0).any()
    assert (frame.note[frame.stderr.isna()] == "all samples are equal: they give no error estimate").all()
    assert (frame.stderr.isna() | frame.note.str.contains("disagree")).any()


@pytest.mark.parametrize("samples", [1, 2, 9, 10, 11, 35])
def test_few_samples(samples):
    """Chains are as many as there are samples, up to ten; every sample is kept."""
    run = montecarlo.simulate((3, 3), 2.0, samples, keep=True, thermalise=5)
    assert run.energy.shape == run.magnetization.shape == (samples,)
    assert run.chains == min(10, samples)
    assert ising.energy(run.configurations, (3, 3)) == pytest.approx(run.energy)
    assert all(not each.stderr <= 0 for each in montecarlo.estimates(run, 2.0, 9).values())


def test_generated_configurations_of_a_frustrated_lattice():
    x = data.generate(5000, (5, 5), 2.5, (-1.0, 0.0, 0.0))
    energies = ising.energy(x, (5, 5), -1.0) / 25
    value, error = montecarlo.mean_error(energies, montecarlo.CHAINS)
    assert abs(value - exact((5, 5), 2.5, -1.0, 0.0, 0.0)["energy"]) < SIGMAS * error


def autoregressive(a, n, chains, rng):
    """AR(1) series of unit variance, chain after chain, each from its stationary start."""
    noise = rng.normal(size=(chains, n)) * np.sqrt(1 - a**2)
    noise[:, 0] /= np.sqrt(1 - a**2)
    return lfilter([1], [1, -a], noise, axis=1).ravel()


@pytest.mark.parametrize(("chains", "hidden"), [(1, 0.0), (10, 0.0), (10, 0.12)])
def test_errors_of_correlated_series(chains, hidden):
    """``hidden``: a slow part below a fast one, for which Sokal's window closes too early."""
    rng = np.random.default_rng(7)
    scores = []
    for _ in range(400):
        x = autoregressive(0.5, 2000 // chains, chains, rng)
        if hidden:
            x = x + hidden * autoregressive(0.99, 2000 // chains, chains, rng)
        value, error = series.mean_error(x, chains)
        scores.append(value / error)
    assert 0.7 < np.mean(np.square(scores)) < 1.4  # chi^2 of 400: 1 +- 0.07, and the larger of two errors


def test_split_r_hat():
    rng = np.random.default_rng(2)
    same = rng.normal(size=4000)
    assert series.split_r_hat(same, 4) == pytest.approx(1, abs=0.01)
    apart = same + np.repeat([0, 0, 0, 2], 1000)
    # between: the variance of (0, 0, 0, 2) twice each, 6/7; within: 1
    assert series.split_r_hat(apart, 4) == pytest.approx(np.sqrt(1 + 6 / 7), rel=0.03)
    drift = same + np.tile(np.repeat([0, 2], 500), 4)  # every chain drifts alike: only its halves tell
    assert series.split_r_hat(drift, 4) > 1.3
    assert series.split_r_hat(np.repeat([0.0, 1.0], 8), 2) == np.inf
    assert series.split_r_hat(np.arange(6.0), 3) == 1


def test_the_error_where_chains_disagree():
    rng = np.random.default_rng(2)
    x = rng.normal(size=4000) + np.repeat([0, 0, 0, 2], 1000)
    found = series.estimate(x, 4)
    assert found.note.startswith("the chains disagree (split R-hat 1.3")
    assert found.stderr == pytest.approx(1.5, rel=0.1)  # from the mean, 0.5, to the farthest chain, 2
    squares = series.estimate((x - x.mean()) ** 2, 4, x)
    assert "disagree" in squares.note
    assert squares.stderr > 0.65  # the variance is 1 in each chain, 1.75 of all


def test_rare_samples_widen_the_error():
    """One sample of 1000 in another state: its weight is known to a factor of two at most, not to one."""
    x = np.zeros(1000)
    x[500] = 1.0
    value, error = series.mean_error(x)
    assert value == 1e-3
    assert error == pytest.approx(np.sqrt(2) * 1e-3, rel=0.01)
