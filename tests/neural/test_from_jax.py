"""Networks in JAX: those of plain functions, Flax, Equinox and NetKet keep the contract and follow exact dynamics.

`make test-jax` installs what they need (490 MB, 13 CPU seconds to import), and runs them.
"""

from __future__ import annotations

import sys
import warnings
from typing import Any

import pytest
import torch

from vanbench.exact import InputError, build, solve
from vanbench.neural import Ensemble, track, wrap
from vanbench.neural.outside.probe import perturb
from vanbench.neural.tables import configurations

NETWORKS = ["Function", "Recurrent", "Nnx", "Equinox", "Dense"]
TRACKERS: dict[str, dict[str, Any]] = {
    "kl": {"dt": 0.05, "epochs": 60, "first_epochs": 60},
    "natural-gradient": {"dt": 0.05},
    "tdvp": {"dt": 0.05},
    "log-ratio": {"dt": 0.05},
}
each = pytest.mark.parametrize("name", NETWORKS)


def network(name: str) -> Any:
    import brought_jax

    return getattr(brought_jax, name)


def test_a_missing_package_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jax", None)
    with pytest.raises(InputError, match=r"a JAX network needs jax: python -m pip install 'vanbench\[jax\]'"):
        wrap(lambda shape: (lambda parameters, x: x, {}))((4,))


@pytest.mark.jax
@each
def test_it_keeps_the_contract(name: str) -> None:
    from vanbench.compare.conform.contract import conform

    results = conform(network(name), (4,)).results
    assert not [r for r in results if r.status == "failed"]
    assert {"causality", "gradients", "copies", "product start", "seeds"} <= {
        r.check for r in results if r.status == "passed"
    }


@pytest.mark.jax
@each
@pytest.mark.parametrize("tracker", TRACKERS)
def test_it_follows_the_exact_solution(name: str, tracker: str) -> None:
    system, cls = build("fa", (4,)), network(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = TRACKERS[tracker]
        told = track(system, 0.1, 0.3, architecture=cls, tracker=tracker, tracker_options=options, dtype=cls.dtypes[0])
    value = told.records.query("quantity == 'ln_Z'")["value"].iloc[-1]
    exact = solve(system, 0.1, 0.3, "ln_Z")["value"].item()  # -0.0711
    assert value == pytest.approx(exact, abs=1e-5)  # steps of 0.05, summed over all 16 configurations


@pytest.mark.jax
def test_copies_and_their_gradients_are_batched() -> None:
    """``vmap`` over copies and over configurations, against backward passes one at a time."""
    ensemble = Ensemble(network("Function")((4,)).double(), 3)
    assert ensemble.batched
    assert ensemble.scores_together
    x = ensemble.sample(5, torch.Generator().manual_seed(1))
    together = ensemble.gradients({name: p[1] for name, p in ensemble.parameters.items()}, x[1])
    net = ensemble.copy_of(1).requires_grad_()
    for k, row in enumerate(x[1]):
        net.zero_grad()
        net.log_prob(row[None]).sum().backward()
        for name, parameter in net.named_parameters():
            torch.testing.assert_close(together[name][k], parameter.grad)


@pytest.mark.jax
def test_conditionals_of_netket_are_those_of_netket() -> None:
    import jax
    import numpy as np

    net = network("Dense")((4,)).double()
    perturb(net.net, torch.Generator().manual_seed(2))
    x = configurations(4, 2, "cpu")
    with torch.no_grad():
        net.site_bias.zero_()
    hilbert_model = network("Dense").make((4,), 2)
    layers: dict[str, dict[str, Any]] = {}
    for name, value in net.net.weights.items():
        _, layer, kind = name.rsplit("_", 2)
        layers.setdefault(f"_layers_{layer}", {})[kind] = jax.numpy.asarray(value.detach().numpy())
    log_psi = hilbert_model.apply({"params": layers}, jax.numpy.asarray(2.0 * x.numpy() - 1))
    np.testing.assert_allclose(net.log_prob(x).detach().numpy(), 2 * np.asarray(log_psi).real, atol=1e-12)


@pytest.mark.jax
@pytest.mark.parametrize(
    ("made", "says"),
    [
        (lambda jnp: (lambda p, x: x, {}), "it has no parameters"),
        (lambda jnp: (lambda p, x: (p["a"] * x).real, {"a": jnp.ones(4, complex)}), "its parameters are complex"),
        (lambda jnp: (lambda p, x: p["a"] @ x, {"a": jnp.ones(3)}), "TypeError"),
        (lambda jnp: (lambda p, x: p["a"] * x, {"a": jnp.ones(4)}), "site 0 sees itself"),
    ],
)
def test_what_is_no_network_is_named(made: Any, says: str) -> None:
    import jax.numpy as jnp

    with pytest.raises(InputError, match=says):
        wrap(lambda shape: made(jnp), output="logit_up")((4,))
