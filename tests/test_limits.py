"""Options at their limits: the last value that is taken, and the first that is refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from vanbench.exact import InputError, System, build
from vanbench.exact.cycles.chain import hidden_states
from vanbench.exact.cycles.estimates import rao_blackwell
from vanbench.exact.definitions import states
from vanbench.exact.definitions.pauli import MINUS
from vanbench.exact.ising import coarse
from vanbench.exact.quantum import Jump, tfim_model
from vanbench.exact.quantum.liouvillian import Liouvillian
from vanbench.exact.trajectories.cloning import cloning
from vanbench.neural import Ensemble, trackers
from vanbench.neural import build as network
from vanbench.neural.learning import mixture
from vanbench.neural.learning.likelihood import Training, check_configurations
from vanbench.neural.trackers import Problem

torch.set_num_threads(1)
TINY = 1e-300
BELOW_ONE = math.nextafter(1, 0)
ABOVE_ONE = math.nextafter(1, 2)
FEW = {"samples": 100, "second": 20, "flow_samples": 20}  # of ritz
SPANS = {"first": ([TINY, 1e300], [0.0, math.inf]), "growth": ([ABOVE_ONE], [1.0, math.inf]),
         "still": ([TINY], [0.0, math.inf])}  # fmt: skip
TDVP = {"dt": ([TINY], [0.0]), "tolerance": ([TINY, 0.0], [-TINY]), "damping": ([0.0], [-TINY]), "samples": ([10], [9]),
        "share": ([TINY, BELOW_ONE], [0.0, 1.0]), "order": ([2, 4], [1, 3])}  # fmt: skip
TRACKERS = {
    "kl": {
        "dt": ([TINY], [0.0]), "samples": ([2], [1]), "epochs": ([1], [0]), "first_epochs": ([1], [0]),
        "order": ([1, 2], [0, 3]), "learning_rate": ([TINY], [0.0]), "decay": ([TINY, 1.0], [0.0, ABOVE_ONE]),
        "window": ([TINY, 1.0], [0.0, ABOVE_ONE]), "clip": ([TINY], [0.0]), "measure": ([0, 2], [1, -1]),
        "share": ([TINY, BELOW_ONE], [0.0, 1.0]), "anneal": ([1.0], [BELOW_ONE]),
    },
    "natural-gradient": {"iterations": ([1], [0]), "damping": ([0.0], [-TINY])},
    "tdvp": TDVP,
    "tdvp symmetrised": {**TDVP, "window": ([TINY], [0.0]), "still": ([TINY], [0.0])},
    "log-ratio": {"iterations": ([1], [0]), "clip": ([TINY], [0.0])},
    "tebd": {"dt": ([TINY, 0.0], [-TINY]), "cutoff": ([0.0, BELOW_ONE], [-TINY, 1.0]), "measure": ([2], [1]),
              "order": ([2, 4], [1, 3])},
    "ritz": {**SPANS, "samples": ([100], [99]), "second": ([20, 100], [19, 101])},
    "l1": {"samples": ([2], [1]), "neighbours": ([0], [-1]), "learning_rate": ([TINY], [0.0, math.inf]),
           "decay": ([TINY, 1.0], [0.0, ABOVE_ONE]), "dt": ([TINY], [0.0]), "epochs": ([1], [0]),
           "window": ([TINY, 1.0], [0.0, ABOVE_ONE]), "iterations": ([0], [-1]), "steady_rate": ([TINY], [0.0]),
           "steady_decay": ([TINY, 1.0], [0.0, ABOVE_ONE]), "mix": ([0.0, 1.0], [-TINY, ABOVE_ONE]),
           "span": ([TINY], [0.0]), "refresh": ([1], [0])},
    "clones": {"dt": ([TINY], [0.0]), "populations": ([2], [1]), "clones": ([200], [199])},
    "guided-clones": {"populations": ([2], [1]), "clones": ([200], [199]), "every": ([1e-3], [9.99e-4])},
}  # fmt: skip


@pytest.mark.parametrize("name", TRACKERS)
def test_options_of_trackers(name):
    s = 0.0 if name == "l1" else 0.1
    system = build("tfim", (2,)) if name == "l1" else build("fa", (3,))
    observable = "jumps" if name == "l1" else "activity"
    torch.manual_seed(0)
    net = network("matrix-product" if name == "tebd" else "sitewise", system.shape, system.local_dim).double()
    net.restrict(system.pinned, system.support).initialise(system.initial)

    def make(**options):
        problem = Problem(system, [s], observable, Ensemble(net, 1), torch.Generator().manual_seed(1))
        kind, _, picture = name.partition(" ")
        options = {**(FEW if kind == "ritz" else {}), **({"picture": picture} if picture else {}), **options}
        return trackers.make(kind, options).init(problem)

    for option, (taken, refused) in TRACKERS[name].items():
        for value in taken:
            make(**{option: value})
        for value in refused:
            with pytest.raises(InputError):
                make(**{option: value})


ARCHITECTURES = {
    "sitewise": {"units": ([0], [-1])},
    "gru": {"width": ([1], [0])},
    "gru2d": {"width": ([1], [0])},
    "made": {"hidden": ([(1,)], [(0,), ()])},
    "polynomial": {"order": ([0], [-1])},
    "pixelcnn": {"width": ([1], [0]), "radius": ([1], [0]), "layers": ([1], [0])},
    "gated-pixelcnn": {"width": ([1], [0])},
    "graph": {"width": ([1], [0])},
    "circulant": {"units": ([1], [0])},
    "matrix-product": {"bond": ([1], [0])},
    "transformer": {"layers": ([1], [0]), "heads": ([1], [0, 3]), "width": ([8], [0])},
    "mixture": {"strings": ([0, 1, 8], [9, [9], [-1]])},
}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_hyperparameters_of_networks(name):
    for option, (taken, refused) in ARCHITECTURES[name].items():
        for value in taken:
            network(name, (2, 3), **{option: value})
        for value in refused:
            with pytest.raises(InputError):
                network(name, (2, 3), **{option: value})


TRAINING = {
    "batches": ([1], [0]), "epochs": ([1], [0]), "patience": ([1], [0]), "validation": ([TINY, BELOW_ONE], [0.0, 1.0]),
    "learning_rate": ([TINY], [0.0, math.inf]), "weight_decay": ([0.0], [-TINY, math.inf]),
}  # fmt: skip


def test_training_on_data():
    for option, (taken, refused) in TRAINING.items():
        for value in taken:
            Training(**{option: value})
        for value in refused:
            with pytest.raises(InputError):
                Training(**{option: value})
    assert check_configurations(np.array([[0, 2], [1, 1]]), 2, 3).tolist() == [[0, 2], [1, 1]]
    for bad in ([[0, 3], [1, 1]], [[-1, 0], [1, 1]], [[0.5, 0], [1, 1]]):
        with pytest.raises(InputError, match=r"0\.\.2"):
            check_configurations(np.array(bad), 2, 3)
    net = network("bernoulli", (2,)).double()
    mixture.draw(net, 1.0, [1.0], draws=2, groups=2)
    for options in ({"draws": 1, "groups": 2}, {"draws": 2, "groups": 1}):
        with pytest.raises(InputError):
            mixture.draw(net, 1.0, [1.0], **options)


def test_systems():
    free = build("free", (2,))
    common = {"name": "two", "shape": (2,), "terms": free.terms, "params": {}}
    half = np.full((2, 2), 0.5)
    System(**common, local_dim=2, initial=np.eye(2), pinned={0: 0, 1: 1})
    for pinned in ({-1: 1}, {2: 0}, {1: -1}, {0: 2}):
        with pytest.raises(InputError, match="no such site or value"):
            System(**common, local_dim=2, initial=np.eye(2), pinned=pinned)
    for initial in (half + 1e-6, np.array([[0.5, 0.5], [-0.1, 1.1]])):
        with pytest.raises(InputError):
            System(**common, local_dim=2, initial=initial)
    System(**{**common, "terms": ()}, local_dim=2, initial=half)
    with pytest.raises(InputError):
        System(**{**common, "terms": ()}, local_dim=1, initial=np.ones((2, 1)))
    for c in (TINY, BELOW_ONE):
        build("fa", (3,), c=c)
    for c in (0.0, 1.0):
        with pytest.raises(InputError):
            build("fa", (3,), c=c)
    for density in (0, 1):
        build("voter", (3,), initial=f"bernoulli:{density}")
    for start in ("bernoulli:-0.1", "bernoulli:1.1"):
        with pytest.raises(InputError):
            build("voter", (3,), initial=start)
    build("asep", (3,), q=0.0)
    for q in (-TINY, math.inf):
        with pytest.raises(InputError):
            build("asep", (3,), q=q)
    build("free", (1,))
    for shape in ((0,), (1.5,), ()):
        with pytest.raises(InputError):
            build("free", shape)
    Jump((0,), MINUS, 0.0)
    for rate in (-TINY, math.inf):
        with pytest.raises(InputError):
            Jump((0,), MINUS, rate)


def test_memory(monkeypatch):
    """What is there is enough, and what is a byte more is not; both are told in GiB."""
    monkeypatch.setattr(states, "available_memory", lambda: 1 << 31)
    states.require_memory(2.0**31, "a vector")
    with pytest.raises(InputError, match=r"a vector needs about 3 GiB and 2 GiB are available: .* or a method"):
        states.require_memory(3.0 * 2**30, "a vector")
    with pytest.raises(InputError, match="a vector"):
        states.require_memory(2.0**31 + 1, "a vector")
    monkeypatch.setattr(states, "available_memory", lambda: 1 << 20)
    for needy in (
        lambda: Liouvillian(tfim_model((6,))).sparse(),  # it has room itself; 4^6 columns of some entries each have not
        lambda: cloning(
            build("free", (8,)), 0.1, 0.1, clones=20_000, populations=2
        ),  # 10^4 at a time, 10 times 24 B each
    ):
        with pytest.raises(InputError, match="GiB are available"):
            needy()


def test_sampling():
    hidden_states(2, "softmax")
    with pytest.raises(InputError):
        rao_blackwell(None, 15, 1)  # type: ignore[arg-type]
    cloning(build("free", (2,)), 0.1, 0.1, clones=40, populations=2)
    for options in ({"clones": 39, "populations": 2}, {"clones": 40, "populations": 1}):
        with pytest.raises(InputError):
            cloning(build("free", (2,)), 0.1, 0.1, **options)
    assert coarse.coarse_shape((2, 3), 1) == (1, 2)
    assert coarse.coarse_shape((2, 6), 2) == (1, 3)
    for shape, stride in (((1, 3), 1), ((3, 4), 2), ((4, 3), 2), ((4, 4), 3)):
        with pytest.raises(InputError):
            coarse.coarse_shape(shape, stride)
