"""The span of amplitudes and of its residuals, where everything is summed: two steps of Lanczos."""

import numpy as np
import pytest
import torch
from scipy.linalg import eigh_tridiagonal

from vanbench.neural.trackers.subspace.span import Part, Powers


def test_one_amplitude_and_its_residual_are_two_steps_of_lanczos():
    rng = np.random.default_rng(4)
    a = rng.standard_normal((8, 8))
    matrix, v = a + a.T, rng.standard_normal(8)
    v /= np.linalg.norm(v)
    diagonal = [v @ matrix @ v]
    r = matrix @ v - diagonal[0] * v
    off = np.linalg.norm(r)
    diagonal.append(r @ matrix @ r / off**2)
    values, vectors = eigh_tridiagonal(diagonal, [off])
    columns = (torch.from_numpy(np.sqrt(8) * x)[:, None] for x in (v, matrix @ v, matrix @ matrix @ v))
    u, h, h2 = columns  # configurations weigh 1 / 8 each
    every, w = torch.arange(8), torch.full((8,), 1 / 8, dtype=torch.float64)
    part = Part(Powers(torch.ones(1, 1, dtype=torch.float64), u[:, 0], u, h, every, h2), w, every)
    assert part.values.tolist() == pytest.approx(values, abs=1e-12)
    want = np.log(vectors[0] ** 2 @ np.exp(3 * values))
    assert part.ln_z(3.0) == pytest.approx(want, abs=1e-12)
    assert part.ln_z(3.0, residuals=False) == pytest.approx(3 * diagonal[0])
