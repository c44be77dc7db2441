"""Equilibrium as tasks of a suite: run, table, gate and report as of any other, beside exact values summed by hand."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from command_line import run

from vanbench.compare.declare.task import Task, load_suite
from vanbench.compare.run.record import records
from vanbench.exact import InputError, System, Term, build, solve
from vanbench.exact.ising import enumeration, gibbs
from vanbench.exact.ising import solve as by_temperature
from vanbench.exact.ising.lattice import energy
from vanbench.neural import ARCHITECTURES, track

pytestmark = pytest.mark.usefixtures("undrawn")

SUITE = """
version = 1
[defaults]
system = "ising"
observable = "energy"
params = {h = 0.2}
s = [0.4]
times = [1.0]
shapes = [[2, 3]]
quantities = ["ln_Z", "free_energy", "energy", "abs_magnetization", "distribution"]
seeds = 1
[[tasks]]
name = "minimised"
tracker = "free-energy"
tracker_options = {iterations = 60, samples = 50, learning_rate = 0.02, measure = 1000, full_summation = false}
[[tasks]]
name = "learned"
tracker = "likelihood"
tracker_options = {configurations = 500, epochs = 4, batches = 16, learning_rate = 0.02, measure = 1000}
"""
PLAIN = """
import torch, vanbench

class Plain(torch.nn.Module):
    def __init__(self, n_sites):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(n_sites, n_sites))
        self.bias = torch.nn.Parameter(torch.zeros(n_sites))

    def forward(self, x):
        return x @ self.weight.tril(-1).T + self.bias

Net = vanbench.wrap(Plain, output="logit_up")
"""


def boltzmann(beta: float, shape: tuple[int, ...] = (2, 3), **couplings: float) -> tuple[np.ndarray, np.ndarray]:
    """Energies and weights of every configuration, by hand."""
    x = enumeration.configurations(int(np.prod(shape)))
    energies = energy(x, shape, **couplings)
    return energies, np.exp(-beta * energies)


@pytest.mark.parametrize(
    ("shape", "couplings"), [((2, 3), {"h": 0.2}), ((5,), {"J": -0.7}), ((3, 3), {"plaquette": 0.4})]
)
@pytest.mark.parametrize("beta", [0.4, -0.6])
def test_the_system_without_moves_is_the_model(shape, couplings, beta):
    """ln Z_t(s) of the generator's exponential, at s t = beta however it is split, against the sum over configurations,
    and against the solver on the temperature axis where there is one."""
    n = int(np.prod(shape))
    energies, weights = boltzmann(beta, shape, **couplings)
    system = build("ising", shape, **couplings)
    assert system.static
    wanted = {
        "ln_Z": np.log(weights.mean()),
        "energy": weights @ energies / weights.sum() / n,
        "free_energy": -np.log(weights.sum()) / beta / n,
    }
    for s, t in ((beta, 1.0), (beta / 2, 2.0)):
        vectors = solve(system, s, t, ["ln_Z", "energy"], observable="energy").set_index("quantity").value
        known = gibbs.gibbs(system, [s], [t], [*wanted, "density"]).set_index("quantity")
        for name, value in wanted.items():
            assert known.value[name] == pytest.approx(value, abs=1e-9)
            assert known.bound[name] < 1e-8
        assert vectors["ln_Z"] == pytest.approx(wanted["ln_Z"], abs=1e-10)
        assert vectors["energy"] == pytest.approx(wanted["energy"], abs=1e-10)
    if beta > 0:
        other = by_temperature(shape, 1 / beta, **couplings).set_index("quantity").value
        assert known.value["free_energy"] == pytest.approx(other["free_energy"], abs=1e-10)


def test_beyond_enumeration_the_exact_value_is_that_of_kaufman():
    known = gibbs.gibbs(
        build("ising", (16, 16)), [0.44], [1.0], ["ln_Z", "free_energy", "abs_magnetization", "density"]
    )
    held = known.set_index("quantity")
    assert held.source["ln_Z"] == "Kaufman"
    assert held.source["abs_magnetization"] == "Monte Carlo"
    assert "density" not in held.index
    assert held.bound["abs_magnetization"] > 1e-4 > held.bound["free_energy"]
    per_site = (held.value["ln_Z"] + 256 * np.log(2)) / 256
    assert per_site == pytest.approx(-0.44 * held.value["free_energy"], abs=1e-12)
    assert per_site == pytest.approx(0.9291, abs=3e-3)  # of the infinite lattice near its transition, 0.9297


def test_a_suite_runs_to_its_table_its_gate_and_its_report(tmp_path: Path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("mine.toml").write_text(SUITE)
    Path("plain.py").write_text(PLAIN)
    networks = ["--architecture", "plain.py:Net", "--architecture", "made:hidden=8"]
    assert run("run", "mine.toml", "--out", "runs", "-j", "1", "--quiet", *networks) == 0
    energies, weights = boltzmann(0.4, h=0.2)
    p = weights / weights.sum()
    exact = {
        "ln_Z": np.log(weights.mean()),
        "free_energy": -np.log(weights.sum()) / 0.4 / 6,
        "energy": p @ energies / 6,
    }
    held = [record for _, record in records("runs")]
    assert len(held) == 4
    for record in held:
        rows = record.frame("errors").set_index("quantity")
        for name, value in exact.items():
            assert rows.exact[name] == pytest.approx(value, abs=1e-9)
            assert rows.source[name] == "enumeration"
        assert rows.error["free_energy"] < 0.05
        apart = record.frame("distances").iloc[0]
        summed = record.frame("rows").set_index("quantity").value["ln_Z_summed"]
        off = summed - exact["ln_Z"]  # the divergence itself, of the one kind below and of the other above
        wanted = -apart.kl_network_exact if record.task.name == "minimised" else apart.kl_exact_network
        assert off == pytest.approx(wanted, abs=1e-6)
    capsys.readouterr()
    assert run("table", "runs", "--quantity", "free_energy", "--format", "csv") == 0
    assert "free_energy" in capsys.readouterr().out
    assert run("gate", "runs", "--write", "base.json") == 0
    assert run("gate", "runs", "--baseline", "base.json") == 0
    assert run("report", "runs") == 0
    capsys.readouterr()
    assert run("status", "runs") == 0


@pytest.mark.slow
def test_every_built_in_network_minimises_it():
    """Each lies above the exact free energy, by its divergence; those that are no product of sites come close."""
    system = build("ising", (2, 2))
    wanted = by_temperature((2, 2), 2.5, quantities=["free_energy"]).value.item()
    for name in set(ARCHITECTURES) - {"bernoulli"}:
        options = {"iterations": 40, "samples": 30, "learning_rate": 0.03, "measure": 500}
        asked = {"quantities": ["ln_Z", "free_energy"], "observable": "energy", "tracker_options": options}
        ran = track(system, 0.4, architecture=name, **asked)
        rows = ran.records.set_index("quantity")
        assert rows.value["free_energy"] - wanted + 5 * rows.sampling_stderr["free_energy"] > -1e-9, name
        assert rows.value["free_energy"] - wanted < 0.25, name


def test_a_model_of_ones_own_is_a_list_of_potentials():
    """Three-state Potts on a ring: any values, any terms; summed by hand."""
    equal = -np.eye(3).ravel()
    terms = tuple(Term((i, (i + 1) % 4), np.zeros((9, 9)), potentials={"energy": equal}) for i in range(4))
    system = System("potts", (4,), 3, terms, np.full((4, 3), 1 / 3))
    x = np.stack(np.meshgrid(*[range(3)] * 4, indexing="ij"), -1).reshape(-1, 4)
    energies = -(x == np.roll(x, -1, 1)).sum(1)
    ln_z = np.log(np.exp(-0.7 * energies).mean())
    assert gibbs.gibbs(system, [0.7], [1.0], ["ln_Z"]).value.item() == pytest.approx(ln_z, abs=1e-10)
    few = {"free-energy": {"iterations": 150, "learning_rate": 0.02}, "likelihood": {"configurations": 4000}}
    for tracker, options in few.items():
        asked = {"quantities": ["ln_Z", "energy"], "observable": "energy", "tracker_options": options}
        ran = track(system, 0.7, tracker=tracker, **asked)
        assert ran.errors().set_index("quantity").error.abs().max() < 0.08


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"tracker": "ritz"}, "has none: take free-energy"),
        ({"tracker": "guided-clones"}, "has none: take free-energy"),
        ({"s": 0.0}, "infinite temperature"),
        ({"quantities": ["activity"]}, "activity"),
        ({"observable": "activity"}, "observable of ising"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(options, told):
    asked = {"s": 0.4, "observable": "energy", **options}
    with pytest.raises(InputError, match=told):
        track(build("ising", (2, 3)), **asked)


def test_the_stored_suite_is_of_networks_that_exist_and_of_both_kinds():
    suite = load_suite("ising-equilibrium")
    named = {network.name for task in suite.tasks for network in task.architectures}
    assert named == set(ARCHITECTURES) - {"table"}
    assert {task.tracker for task in suite.tasks} == {"free-energy", "likelihood"}
    chosen = Task(name="a", system="ising", shapes=["2x2"], s=[0.4], times=[1.0], observable="energy")
    assert chosen.tracker == "free-energy"
    assert json.loads(chosen.model_dump_json())["tracker"] == "free-energy"
