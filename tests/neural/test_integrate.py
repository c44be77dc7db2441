"""The schemes by which parameters move in time: conditions of order, and the stability that is claimed."""

import numpy as np
import pytest

from vanbench.neural.trackers.tangent.integrate import SCHEMES


def amplification(scheme, z: complex) -> tuple[complex, complex]:
    """Of ``y' = lambda y`` over a step, ``z = lambda dt``; and the distance to the other solution."""
    stages = [1.0 + 0j]
    for node in scheme.nodes:
        stages.append(1 + z * node * stages[-1])
    end = 1 + z * sum(w * y for w, y in zip(scheme.weights, stages))
    return end, z * sum(w * y for w, y in zip(scheme.apart, [*stages, end]))


@pytest.mark.parametrize("order", SCHEMES)
def test_steps_are_of_their_order(order):
    """Conditions of Butcher's tree for ``y' = f(t)``, and the exponential series for ``y' = lambda y``."""
    scheme = SCHEMES[order]
    nodes = np.array([0.0, *scheme.nodes])
    for power in range(order):
        assert np.dot(scheme.weights, nodes**power) == pytest.approx(1 / (power + 1))
    (end, apart), (half_end, half_apart) = (amplification(scheme, z) for z in (1e-2, 5e-3))
    errors = abs(end - np.exp(1e-2)), abs(half_end - np.exp(5e-3))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order + 1, abs=0.05)
    assert np.log2(abs(apart) / abs(half_apart)) == pytest.approx(scheme.power, abs=0.05)


@pytest.mark.parametrize("order", SCHEMES)
def test_what_decays_slower_than_is_claimed_is_not_amplified(order):
    scheme = SCHEMES[order]
    assert abs(amplification(scheme, -0.999 * scheme.stable)[0]) < 1
    assert abs(amplification(scheme, -1.001 * scheme.stable)[0]) > 1
