"""The free energy by networks: exact where a network holds the distribution, above it by T KL / N elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from command_line import run

from vanbench.exact.ising import enumeration
from vanbench.exact.ising import solve as exact
from vanbench.exact.ising.lattice import energy
from vanbench.neural import build
from vanbench.neural.learning.free_energy import Minimum, Schedule, minimise

SHAPE, T = (2, 3), 2.5
MODULE = """
import torch, vanbench

class Plain(torch.nn.Module):
    def __init__(self, n_sites):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(n_sites, n_sites))

    def forward(self, x):
        return x @ self.weight.tril(-1).T

Net = vanbench.wrap(Plain, output="logit_up")
"""


def test_the_table_network_reaches_the_exact_free_energy():
    """It holds any distribution; what is left is its training, and the excess is the divergence."""
    torch.manual_seed(0)
    net = build("table", SHAPE).double()
    found = minimise(net, lambda x: energy(x, SHAPE), T, Schedule(400, 300, 0.03))
    wanted = exact(SHAPE, T, quantities=["free_energy"]).value.item() * 6
    value, stderr = found.free_energy()
    x = enumeration.configurations(6)
    q = net.log_prob(torch.as_tensor(x)).exp().detach().numpy()
    boltzmann = np.exp(-energy(x, SHAPE) / T)
    p = boltzmann / boltzmann.sum()
    divergence = (q * np.log(q / p)).sum()
    assert 0 <= divergence < 0.02
    assert value - wanted == pytest.approx(T * divergence, abs=5 * stderr)
    reweighted, error = found.reweighted()
    assert reweighted == pytest.approx(wanted, abs=5 * error)
    assert found.effective > 0.9


def test_without_training_the_excess_is_that_of_the_uniform_distribution():
    """T KL(uniform | p) = <E> - T N ln 2 - F, summed by hand; no network is as good as that by luck."""
    torch.manual_seed(0)
    found = minimise(build("made", SHAPE).double(), lambda x: energy(x, SHAPE), T, Schedule(2, 2, 1e-12, 50_000))
    energies = energy(enumeration.configurations(6), SHAPE)
    value, stderr = found.free_energy()
    assert value == pytest.approx(energies.mean() - T * 6 * np.log(2), abs=5 * stderr)


def test_weights_that_are_equal_give_no_error():
    found = Minimum(np.zeros((4, 2)), np.full(4, -3.0), 2.0)
    assert found.free_energy() == (-6.0, 0.0)
    assert found.reweighted() == (-6.0, 0.0)
    assert found.effective == 1.0


def test_the_command_compares_every_network_and_a_wrapped_one(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.py").write_text(MODULE)
    networks = ("--architecture", "made:hidden=8", "--architecture", "plain.py:Net", "--architecture", "bernoulli")
    words = "equilibrium --shape 2x3 --temperatures 2.5 --steps 150 --samples 100 --learning-rate 0.02 --out t.csv -q"
    assert run(*words.split(), *networks, "--format", "json") == 0
    rows = json.loads(capsys.readouterr().out)["records"]
    assert {row["network"] for row in rows} == {"made(hidden=8)", "plain.py:Net", "bernoulli"}
    values = exact(SHAPE, T).set_index("quantity").value
    for row in rows:
        assert row["exact"] == pytest.approx(values[row["quantity"].removesuffix("_reweighted")])
    bounds = {row["network"]: row["error"] for row in rows if row["quantity"] == "free_energy"}
    assert all(error > -1e-2 for error in bounds.values())
    assert bounds["bernoulli"] > 0.05  # a product of sites cannot
    assert bounds["made(hidden=8)"] < 0.04
    assert (tmp_path / "t.csv").read_text().startswith("network,T,seed,quantity,value")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--shape 2x3 --temperatures 0", "temperatures must be positive"),
        ("--shape 2x3x2 --temperatures 1", "one or two positive lengths"),
        ("--shape 2x3 --temperatures 1 -p g=1", "unknown coupling 'g'"),
        ("--shape 2x3 --temperatures 1 --architecture mad", "did you mean 'made'"),
        ("--shape 2x3 --temperatures 1 --steps 0", "at least 2"),
        ("--shape 2x3 --temperatures 1 --out x", "a .csv file"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, words, told):
    assert run("equilibrium", *words.split()) == 2
    assert told in capsys.readouterr().err.replace("\n", " ")


def test_a_collapsed_network_is_told_of():
    """Hardly trained at a low temperature: its samples miss what carries the weight."""
    few = ["equilibrium", "--shape", "3x3", "--temperatures", "1", "--steps", "2", "--samples", "10", "-q"]
    answer = run(*few, "--format", "json")
    content = json.loads(answer.stdout)
    assert [warning["kind"] for warning in content["warnings"]] == ["ess"]
    assert all(row["effective"] < 0.1 and row["warning"].startswith("ess: ") for row in content["records"])
    assert "effective sample size" in answer.stderr
    hot = json.loads(run(*few[:4], "1e3", *few[5:], "--format", "json").stdout)
    assert hot["warnings"] == [] and "warning" not in hot["records"][0]
