"""Every exact route of the Ising model from T -> 0 to T -> infinity, against the same sums in sixty digits."""

import mpmath
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from vanbench.exact import InputError, ising
from vanbench.exact.ising import enumeration, lattice, transfer

SHAPES = [(1,), (2,), (3,), (9,), (1, 5), (5, 1), (2, 2), (2, 3), (3, 2), (2, 5), (3, 3), (3, 4)]
COUPLINGS = st.sampled_from([0.0, 1.0, -1.0, 0.1, 0.2, 0.3, -0.7, 12.5])


def sixty_digits(shape, T, couplings):
    """Averages and <s_0 s_r> from all configurations, their energies summed bond by bond."""
    rows, columns = lattice.sides(shape)
    n = rows * columns
    x = enumeration.configurations(n)
    s = 2 * x.astype(int) - 1
    sums = [
        sum(s[:, list(each)].prod(1) for each in sets) for sets in (lattice.bonds(shape), lattice.plaquettes(shape))
    ]
    levels = np.stack([np.zeros(len(s), dtype=int) + sums[0], s.sum(1), np.zeros(len(s), dtype=int) + sums[1]], axis=1)
    along = np.arange(max(rows, columns) // 2 + 1) * (columns if rows > columns else 1)
    seen = np.concatenate([levels, np.abs(levels[:, 1:2]), s[:, :1] * s[:, along]], axis=1)
    kinds, counts = np.unique(seen, axis=0, return_counts=True)
    with mpmath.workdps(60):
        T, (J, h, plaquette) = mpmath.mpf(T), map(mpmath.mpf, couplings)
        energies = [-J * int(b) - h * int(m) - plaquette * int(q) for b, m, q in kinds[:, :3]]
        lowest = min(energies)
        weights = [int(k) * mpmath.exp((lowest - e) / T) for k, e in zip(counts, energies)]
        z = mpmath.fsum(weights)

        def mean(values):
            return mpmath.fsum(w * v for w, v in zip(weights, values)) / z

        energy = mean(energies)
        found = {
            "energy": energy / n,
            "specific_heat": mean([(e - energy) ** 2 for e in energies]) / (n * T**2),
            "free_energy": (lowest - T * mpmath.log(z)) / n,
            "abs_magnetization": mean(kinds[:, 3].tolist()) / n,
        }
        along_side = [float(mean(column.tolist())) for column in kinds[:, 4:].T]
        return {name: float(value) for name, value in found.items()}, along_side


@given(st.sampled_from(SHAPES), st.floats(-4, 5), COUPLINGS, COUPLINGS, COUPLINGS)
@example((3, 5), np.log10(0.06), -1.0, 0.0, 0.0)  # correlation(0) = 2
@example((2, 3), np.log10(0.02), -1.0, 0.0, 0.0)  # blank
@example((2, 3), np.log10(0.08), -1.0, 0.0, 0.0)
@example((3, 3), -4.0, 0.1, 0.3, 0.2)  # 0.1 + 0.2 is not 0.3: levels that rounding alone would order
@settings(max_examples=30, deadline=None)
def test_every_route_keeps_its_bound(shape, ln_T, J, h, plaquette):
    T, couplings = 10.0**ln_T, (J, h, plaquette)
    expected, along = sixty_digits(shape, T, couplings)
    answered = 0
    for by in ("auto", "enumeration", "transfer", "kaufman"):
        for asked in (None, ["correlation"]):
            try:
                frame = ising.solve(shape, [T], *couplings, asked, by=by)
            except InputError:
                continue
            answered += 1
            truth = along if asked else [expected[name] for name in frame.quantity]
            assert (np.abs(frame.value - truth) <= frame.bound).all(), (by, frame)
            assert set(frame.bound_kind) <= {"certified", "estimated"}
            if asked:
                assert frame.value[0] == pytest.approx(1, abs=1e-14)
    assert answered >= 4


@pytest.mark.parametrize("J", [-1.0, 1.0])
@pytest.mark.parametrize("shape", [(3, 9), (5, 7), (4, 8), (1, 31)])
@pytest.mark.parametrize("T", [0.05, 0.2, 1.0, 100.0])
def test_correlation_by_the_transfer_matrix_at_any_temperature(J, shape, T):
    """Beyond enumeration: 1 at distance 0, and -J <s_0 s_1> with its like across the rows makes the energy."""
    found = transfer.correlation(shape, T, J)
    assert found[0] == pytest.approx(1, abs=1e-14)
    assert (np.abs(found) <= 1 + 1e-14).all()
    if shape[0] == 1:
        assert -J * found[1] == pytest.approx(transfer.averages(shape, T, J)["energy"], abs=1e-12)
        t = np.tanh(J / T)
        z = 1 + t ** shape[1]
        if z > 1e-3:  # where the closed form of a ring itself keeps its digits
            assert found[1] == pytest.approx((t + t ** (shape[1] - 1)) / z, abs=1e-12)


def test_a_cold_frustrated_ring_has_one_broken_bond():
    """Any of the 31 bonds, once: <s_0 s_r> = (-1)^r (1 - 2 r / 31)."""
    r = np.arange(16)
    assert transfer.correlation((31,), 0.05, -1.0) == pytest.approx((-1.0) ** r * (1 - 2 * r / 31), abs=1e-12)


def test_magnetization_of_an_underflowing_trace_is_refused():
    with pytest.raises(InputError, match="underflows"):
        ising.solve((27,), [0.002], -1.0, by="transfer", quantities=["abs_magnetization"])
    with pytest.raises(InputError, match="underflows"):
        transfer.correlation((27,), 0.002, -1.0)


def test_bounds_are_labelled():
    """Certified where the sums are proved; neither kind where there is an error bar instead."""
    small = ising.solve((3, 4), [2.0], quantities=["energy", "correlation"]).set_index("quantity")
    assert small.bound_kind["energy"] == "certified"
    assert set(small.bound_kind["correlation"]) == {"estimated"}
    large = ising.solve((12, 12), [2.0], samples=100).set_index("quantity")
    assert large.bound_kind.to_dict() == {
        "energy": "estimated",
        "free_energy": "estimated",
        "specific_heat": "estimated",
        "abs_magnetization": "",
    }
    assert large.bound.isna()["abs_magnetization"]
    assert not large.bound.isna()["energy"]


@pytest.mark.parametrize("T", [1e-100, 1e-12, 1e12, 1e100])
def test_extreme_temperatures(T):
    """Two ground states and no other, or all configurations alike."""
    expected = {"energy": -2.0, "abs_magnetization": 1.0} if T < 1 else {"energy": 0.0, "abs_magnetization": 0.19638061}
    found = enumeration.averages((4, 4), T)
    assert {name: found[name] for name in expected} == pytest.approx(expected, abs=1e-8)
    assert found["specific_heat"] == pytest.approx(0, abs=1e-20)


@pytest.mark.parametrize("arguments", [((3, 3), [1e-101]), ((3, 3), [1e101]), ((3, 3), [1.0], 1e101)])
def test_values_beyond_the_floating_point_range_are_refused(arguments):
    with pytest.raises(InputError, match=r"1e-100|1e100"):
        ising.solve(*arguments)


def test_bounds_grow_with_what_the_value_is_a_difference_of():
    """1e-11 of the scale: 2 |J| + |h| + |plaquette| a site, T for the entropy, (e / T)^2 N eps for a variance."""
    frame = ising.solve((3, 4), [4.0], -3.0, 1.0, 2.0, by="transfer").set_index("quantity")
    scales = {"energy": 9.0, "free_energy": 13.0, "abs_magnetization": 1.0, "specific_heat": 1.0}
    expected = {name: 1e-11 * scale for name, scale in scales.items()}
    expected["specific_heat"] += 64 * np.finfo(float).eps * 12 * (9 / 4) ** 2
    assert frame.bound.to_dict() == pytest.approx(expected, rel=1e-9)


def test_temperatures_within_two_hundred_decades():
    assert list(lattice.check_temperatures([1e-100, 1e100])) == [1e-100, 1e100]
    for T in (0.9e-100, 1.1e100, 0.0, -1.0, np.nan):
        with pytest.raises(InputError, match="1e-100 to 1e100"):
            lattice.check_temperatures([1.0, T])
