"""CUDA: every tracker and every network as on the CPU, goes on where it was killed, in both precisions."""

from __future__ import annotations

from functools import cache

import elsewhere
import numpy as np
import pytest
import torch
from pretended_device import GeneratorOnTheCPU

from vanbench.exact import build
from vanbench.neural import Ensemble, track
from vanbench.neural import build as network
from vanbench.neural.architectures import ARCHITECTURES
from vanbench.neural.backend.replay import Replayed

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DRAWS = ("rand", "randn", "randint", "randperm", "multinomial")
SAMPLED = {
    "kl": {"samples": 100, "dt": 0.1, "epochs": 5, "first_epochs": 10},
    "tdvp": {"samples": 100},
    "tdvp, symmetrised": {"samples": 100, "picture": "symmetrised"},
    "ritz": {"flow_samples": 50, "samples": 100, "second": 20, "starts": 1.0},
    "log-ratio": {"samples": 100},
}


def drawn_on_the_cpu(draw):
    """``draw`` with the CPU's random numbers, wherever they are wanted."""

    def moved(*arguments, device=None, **options):
        given = [one.cpu() if isinstance(one, torch.Tensor) else one for one in arguments]
        wanted = next((one.device for one in arguments if isinstance(one, torch.Tensor)), device)
        return draw(*given, **options).to(wanted)

    return moved


@pytest.fixture
def same_numbers(monkeypatch):
    """The random numbers of a run on CUDA are those of a run on the CPU."""
    monkeypatch.setattr(torch, "Generator", GeneratorOnTheCPU)
    for name in DRAWS:
        monkeypatch.setattr(torch, name, drawn_on_the_cpu(getattr(torch, name)))


@pytest.mark.parametrize("case", elsewhere.cases())
def test_with_the_same_random_numbers_the_results_are_those_of_the_cpu(case, same_numbers):
    """Only the order of additions may differ."""
    arguments = elsewhere.cases()[case]
    here, there = (elsewhere.values(arguments, device) for device in ("cpu", "cuda"))
    assert there == pytest.approx(here, rel=1e-7, abs=1e-9)


@pytest.mark.parametrize("name", [name for name in ARCHITECTURES if name != "table"])
@pytest.mark.parametrize("fields", [1, 3])
def test_replayed_draws_are_those_of_the_launches(name, fields):
    """Of parameters that have changed since the capture."""
    ensemble = Ensemble(network(name, (2, 3)).double().cuda(), fields)
    for call in range(6):
        with torch.no_grad():
            for value in ensemble.parameters.values():
                value += 0.2 * torch.randn_like(value)
        uniforms = ensemble._uniforms(50, torch.Generator("cuda").manual_seed(call))
        found = ensemble.replayed(ensemble.draw, ensemble.parameters, uniforms)
        assert torch.equal(found, ensemble.draw(ensemble.parameters, uniforms))
    assert list(ensemble.replayed.graphs.values()) != [None]


def test_what_cannot_be_replayed_is_launched():
    """Here it looks at a number on the way; afterwards random numbers are drawn as before."""
    replayed = Replayed()

    def work(parameters, x):
        return x * float(parameters["a"].sum())

    for call in range(6):
        a, x = torch.full((3,), float(call), device="cuda"), torch.randn(4, device="cuda")
        assert torch.equal(replayed(work, {"a": a}, x), 3 * call * x)
    assert list(replayed.graphs.values()) == [None]
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        torch.randn(4, device="cuda")
    graph.replay()


class Killed(Exception):
    pass


@pytest.mark.parametrize("tracker", SAMPLED)
def test_a_killed_run_goes_on_with_the_same_numbers(tracker, tmp_path, monkeypatch):
    """To rounding: sums on CUDA are added in no fixed order."""
    monkeypatch.setattr("vanbench.neural.run.callbacks.CHECKPOINT_SECONDS", 0.0)

    def go(folder, resume=False, callbacks=()):
        return track(
            build("east", (2, 3), c=0.4), [0.1, 0.3], [0.8], tracker=tracker.split(",")[0], architecture="made",
            device="cuda", tracker_options=SAMPLED[tracker], out=folder, resume=resume, callbacks=callbacks,
        )  # fmt: skip

    def kill(moment):
        if moment.log.steps == 2:
            raise Killed

    whole = go(tmp_path / "whole")
    assert len(whole.log) > 2 * 2
    with pytest.raises(Killed):
        go(tmp_path / "cut", callbacks=[kill])
    again = go(tmp_path / "cut", resume=True)
    assert again.records.value.to_numpy() == pytest.approx(whole.records.value.to_numpy(), rel=1e-9)
    assert len(again.log) == len(whole.log)


@cache
def tracked(device, dtype):
    found = track(
        build("east", (3, 3), c=0.5), np.linspace(0.05, 0.5, 6), [1.0], architecture="sitewise", device=device,
        tracker="tdvp", tracker_options={"samples": 500, "picture": "symmetrised"}, dtype=dtype, quantities=["ln_Z"],
    )  # fmt: skip
    return found.records.query("quantity == 'ln_Z'").value.to_numpy()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_another_seed_on_cuda_is_within_the_noise_of_the_cpu(dtype):
    """CUDA's own random numbers, six fields at once; the errors of 500 samples are parts in a thousand."""
    assert tracked("cuda", dtype) == pytest.approx(tracked("cpu", "float64"), rel=0.01)
