"""Densities without conditionals: what runs with them gives the numbers of the exact solution, the rest says so."""

from __future__ import annotations

import warnings
from typing import Any

import brought_densities as brought
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import vanbench
from vanbench.compare.conform.contract import conform
from vanbench.compare.learn.ising.equilibrium import compare
from vanbench.exact import InputError, build, solve
from vanbench.neural import Autoregressive, Ensemble, track, wrap
from vanbench.neural.outside.probe import perturb
from vanbench.neural.tables import configurations

# the smallest numbers with which every step is gone through; s = 0 for l1
QUICK: dict[str, dict[str, Any]] = {
    "kl": {"dt": 0.05, "full_summation": True, "epochs": 60, "first_epochs": 60},
    "natural-gradient": {"dt": 0.05, "full_summation": True},
    "log-ratio": {"dt": 0.05, "full_summation": True},
    "tdvp": {"dt": 0.05, "full_summation": True},
    "l1": {"dt": 0.1, "samples": 20, "epochs": 2},
    "ritz": {"flow_samples": 20, "samples": 100, "second": 20},
    "guided-clones": {"clones": 40, "populations": 2, "samples": 20, "dt": 0.1},
}
NOISY = ("ritz", "guided-clones")  # estimated from tens of samples
each = pytest.mark.parametrize("cls", brought.DENSITIES, ids=lambda cls: cls.__name__)


def made(cls: type[Autoregressive], shape: tuple[int, ...] = (4,)) -> Autoregressive:
    torch.manual_seed(1)
    net = cls(shape).double()
    perturb(net, torch.Generator().manual_seed(2))
    return net


@pytest.mark.parametrize("cls", [*brought.DENSITIES, brought.Unstarted], ids=lambda cls: cls.__name__)
def test_it_keeps_the_contract_that_applies(cls: type[Autoregressive]) -> None:
    results = conform(cls, (4,)).results
    assert not [r for r in results if r.status == "failed"]
    passed = {r.check for r in results if r.status == "passed"}
    assert {"normalisation", "samples and density", "gradients", "pinned sites and support", "copies"} <= passed
    assert ("product start" in passed) == (cls is not brought.Unstarted)


@each
@pytest.mark.parametrize(
    "tracker", [pytest.param(name, marks=pytest.mark.slow if name in NOISY else ()) for name in QUICK]
)
def test_every_tracker_that_needs_no_other_network_moves_it(cls: type[Autoregressive], tracker: str) -> None:
    if cls is brought.Flowing and tracker == "ritz":
        return  # it begins with tilted starts too: refused below
    system, s = build("fa", (4,)), 0.0 if tracker == "l1" else 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        told = track(system, s, 0.1, architecture=cls, tracker=tracker, tracker_options=QUICK[tracker])
    value = told.records.query("quantity == 'ln_Z'")["value"].iloc[-1]
    exact = solve(system, s, 0.1, "ln_Z")["value"].item()
    # the rate of the start, which all of them have, gives it to 1e-5
    assert value == pytest.approx(exact, abs=5e-3 if tracker in NOISY else 1e-4)


def test_a_mixture_follows_the_exact_distribution() -> None:
    system = build("fa", (4,))
    told = track(system, 0.2, 1.0, architecture=brought.Blended, tracker="tdvp", tracker_options={"dt": 0.1})
    error = told.errors(solve(system, 0.2, 1.0, ["ln_Z", "density"]))
    assert error["error"].abs().max() < 2e-3


def test_excluded_configurations_are_rejected() -> None:
    system = build("fa", (2, 2))
    net = made(brought.Blended, (2, 2)).restrict(system.pinned, system.support)
    x = configurations(4, 2, "cpu")
    assert net.log_prob(x).exp().sum().item() == pytest.approx(1, abs=1e-12)
    assert net.log_prob(x)[0] == -np.inf
    assert net.sample(500, torch.Generator().manual_seed(1)).any(1).all()


def test_samples_follow_the_numbers_they_are_given() -> None:
    """Of a density with ``sample(n)`` alone too, whose generator the uniform numbers seed."""
    ensemble = Ensemble(made(brought.Flowing), 2)
    before = torch.get_rng_state()
    first, again, other = (ensemble.sample(50, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("system", "cls", "options", "says"),
    [
        (("fa", (4,), {"pinned": "first"}), brought.Blended, {}, "neither pinned sites nor a fixed sum"),
        (("ssep", (4,), {"boundary": "periodic"}), brought.Blended, {}, "neither pinned sites nor a fixed sum"),
        (("fa", (4,), {"c": 0.3}), brought.Flowing, {}, "cannot become the start of this system: .*uniform one alone"),
        (("fa", (4,), {}), brought.Flowing, {"tracker": "ritz"}, "uniform one alone"),
        (("east", (4,), {}), brought.Unstarted, {}, r"has no initialise\(product\)"),
        (("east", (4,), {}), brought.Blended, {"tracker": "tebd"}, "needs the architecture matrix-product"),
        (("east", (4,), {}), brought.Blended, {"tracker_options": {"tilts": (1.0,)}}, "tilts need site biases"),
    ],
)
def test_what_cannot_run_says_so_before_it_begins(system: Any, cls: Any, options: dict[str, Any], says: str) -> None:
    name, shape, params = system
    built = build(name, shape, **params)
    with pytest.raises(InputError, match=says):
        track(built, 0.0, 0.1, architecture=cls, **options)


def test_no_start_is_needed_for_energies_and_evaluation() -> None:
    from vanbench.compare.declare.task import Architecture

    networks = [Architecture(name=f"brought_densities:{name}") for name in ("Unstarted", "Symmetric")]
    options = {"iterations": 150, "samples": 200, "learning_rate": 2e-2, "measure": 2000, "full_summation": False}
    table, _ = compare((2, 2), [3.0], networks, options=options)
    bound = table[table["quantity"] == "free_energy"].set_index("network")
    assert (bound["error"] > -5 * bound["stderr"]).all(), "it bounds the exact free energy from above"
    assert bound["error"].iloc[1] < 0.1
    judged = vanbench.evaluate(build("fa", (4,)), made(brought.Unstarted), 0.1, 1.0)
    assert np.isfinite(judged["value"]).all()


class Wrong(nn.Module):
    def __init__(self, n_sites: int):
        super().__init__()
        self.base = nn.Parameter(torch.zeros(n_sites))

    def log_prob(self, x: Tensor) -> Tensor:
        return nn.functional.logsigmoid(x * self.base)

    def sample(self, n: int) -> Tensor:
        return (torch.rand(n, len(self.base)) < 0.5).double()


def test_what_is_no_density_is_refused_where_it_is_made() -> None:
    with pytest.raises(InputError, match=r"log_prob gives \(64, 4\) for a batch of 64, not \(64,\)"):
        wrap(Wrong, input="bits", output="log_prob")((4,))
    with pytest.raises(InputError, match="samples are not spins"):
        wrap(Wrong, output="log_prob")((4,))
    with pytest.raises(InputError, match=r"has no log_prob\(x\) and no draw\(uniforms\) or sample\(n\)"):
        wrap(nn.Linear(4, 4), output="log_prob")((4,))
    with pytest.raises(InputError, match="no order and no shift"):
        wrap(Wrong, output="log_prob", shift=True)
