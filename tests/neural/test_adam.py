"""Our Adam is torch's, to the last bit, and goes on from where it was."""

from __future__ import annotations

import subprocess
import sys
from copy import deepcopy

import pytest
import torch

from vanbench.neural.backend.adam import Adam


def descend(optimiser, parameters, steps, begin=0):
    for k in range(begin, begin + steps):
        optimiser.zero_grad()
        a, b, c = parameters
        loss = ((a - 1.5) ** 2).sum() + (b * torch.sin(a[:3] + k)).sum()
        if k % 3:  # c has no gradient otherwise
            loss = loss + (c**4).sum()
        loss.backward()
        optimiser.step()


def start(dtype):
    rng = torch.Generator().manual_seed(3)
    return [torch.randn(n, generator=rng, dtype=dtype).requires_grad_() for n in (5, 3, 2)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_are_those_of_torch(dtype):
    ours, theirs = start(dtype), start(dtype)
    descend(Adam(ours, 0.03, (0.8, 0.99)), ours, 20)
    descend(torch.optim.Adam(theirs, lr=0.03, betas=(0.8, 0.99)), theirs, 20)
    assert all(torch.equal(mine, other) for mine, other in zip(ours, theirs))


def test_goes_on_from_its_state_and_forgets():
    whole, parts = start(torch.float64), start(torch.float64)
    descend(Adam(whole, 0.1), whole, 12)
    first = Adam(parts, 0.1)
    descend(first, parts, 7)
    again = Adam(parts, 0.1, moments=deepcopy(first.moments))
    descend(again, parts, 5, begin=7)
    assert all(torch.equal(one, other) for one, other in zip(whole, parts))
    moments = again.moments
    moments.forget()
    assert all((moment == 0).all() for moment in (*moments.first, *moments.second, *moments.steps))


def test_a_run_does_not_wait_for_a_compiler():
    code = """if True:
        from vanbench.exact import build
        from vanbench.neural import track
        options = {"dt": 0.1, "samples": 20, "epochs": 2, "first_epochs": 2}
        track(build("east", (3,)), s=[0.1], times=[0.1], quantities=["ln_Z"], architecture="made", tracker="kl",
              tracker_options=options)
        import sys
        print("torch._dynamo" in sys.modules)
    """
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "False"
