"""The free energy by networks: exact where a network holds the distribution, above it by T KL / N elsewhere."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from command_line import run

from vanbench.exact import build as system_of
from vanbench.exact.ising import enumeration
from vanbench.exact.ising import solve as exact
from vanbench.exact.ising.lattice import energy
from vanbench.neural import track

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


def trained(architecture, shape=SHAPE, quantities=("ln_Z", "free_energy", "energy"), **options):
    """At the temperature ``T``, by samples; nothing is summed but where ``project`` does."""
    options = {"full_summation": False, **options}
    system = system_of("ising", shape)
    asked = {"observable": "energy", "quantities": quantities, "tracker": "free-energy", "tracker_options": options}
    return track(system, 1 / T, architecture=architecture, **asked)


def held(run, quantity):
    row = run.records[run.records.quantity == quantity].iloc[0]
    return row.value, row.sampling_stderr


def test_the_table_network_reaches_the_exact_free_energy():
    """It holds any distribution; what is left is its training, and the excess is the divergence."""
    run = trained("table", iterations=400, samples=300, learning_rate=0.03, measure=20_000)
    wanted = exact(SHAPE, T, quantities=["free_energy"]).value.item()
    x = enumeration.configurations(6)
    q = run.network().log_prob(torch.as_tensor(x)).exp().detach().numpy()
    boltzmann = np.exp(-energy(x, SHAPE) / T)
    p = boltzmann / boltzmann.sum()
    divergence = (q * np.log(q / p)).sum()
    assert 0 <= divergence < 0.02
    value, stderr = held(run, "free_energy")
    assert value - wanted == pytest.approx(T * divergence / 6, abs=5 * stderr)
    ln_z = np.log(boltzmann.mean())
    reweighted, error = held(run, "ln_Z:reweighted")
    assert reweighted == pytest.approx(ln_z, abs=5 * error)
    assert held(run, "ln_Z_summed")[0] == pytest.approx(ln_z - divergence, abs=1e-9)
    assert run.log.ess.iloc[-1] > 0.9
    assert not run.warnings


def test_without_training_the_excess_is_that_of_the_uniform_distribution():
    """T KL(uniform | p) = <E> - T N ln 2 - F, summed by hand; no network is as good as that by luck."""
    run = trained("made", iterations=2, samples=2, learning_rate=1e-12, measure=50_000)
    value, stderr = held(run, "free_energy")
    energies = energy(enumeration.configurations(6), SHAPE)
    assert value == pytest.approx(energies.mean() / 6 - T * np.log(2), abs=5 * stderr)


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
    assert (tmp_path / "t.csv").read_text().startswith("network,T,quantity,value")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--shape 2x3 --temperatures 0", "temperatures must be positive"),
        ("--shape 2x3x2 --temperatures 1", "one or two positive lengths"),
        ("--shape 2x3 --temperatures 1 -p g=1", "unknown coupling 'g'"),
        ("--shape 2x3 --temperatures 1 --architecture mad", "did you mean 'made'"),
        ("--shape 2x3 --temperatures 1 --steps 0", "lies from 1"),
        ("--shape 2x3 --temperatures 1 --out x", "a .csv file"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, words, told):
    assert run("equilibrium", *words.split()) == 2
    assert told in capsys.readouterr().err.replace("\n", " ")


def test_a_collapsed_network_is_told_of(capsys):
    """Hardly trained at a low temperature: its samples miss what carries the weight."""

    def answer(temperature: str) -> tuple[dict, str]:
        few = ["--steps", "2", "--samples", "10", "-q", "--format", "json"]
        assert run("equilibrium", "--shape", "3x3", "--temperatures", temperature, *few) == 0
        captured = capsys.readouterr()
        return json.loads(captured.out), captured.err

    cold, told = answer("1")
    assert [warning["kind"] for warning in cold["warnings"]] == ["effective samples"]
    assert all(row["effective"] < 0.1 and row["warning"].startswith("effective samples: ") for row in cold["records"])
    assert "effective sample size" in told
    hot, told = answer("1e3")
    assert hot["warnings"] == []
    assert "warning" not in hot["records"][0]
    assert not told
