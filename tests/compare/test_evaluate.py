"""`vanbench evaluate`: networks of known probabilities against the exact distribution; files that are no state."""

from __future__ import annotations

import json
from importlib.util import find_spec

import numpy as np
import pytest
import torch
from command_line import run
from scipy.linalg import expm
from torch import nn

import vanbench
from vanbench.compare import evaluate
from vanbench.exact import InputError, StateSpace, build, generator, solve
from vanbench.neural import build as network
from vanbench.neural.backend import weights
from vanbench.neural.outside.loaded import networks

S, T = 0.3, 1.0


def trained(system, seed: int = 0):
    """A network with random parameters, and its probabilities by enumeration."""
    torch.manual_seed(seed)
    net = network("made", system.shape, hidden=4).double().restrict(system.pinned, system.support)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.3)
    x = torch.from_numpy(StateSpace(system).configurations())
    return net, net.log_prob(x).exp().detach().numpy()


@pytest.mark.parametrize("name", ["east", "fa", "ssep"])
def test_distances_averages_and_what_ln_z_is_put_off_by(name):
    system = build(name, 4)
    net, q = trained(system)
    w = generator(system, S).toarray()
    evolved = expm(T * w) @ StateSpace(system).initial()
    p = evolved / evolved.sum()
    held = evaluate(system, net, [S], [T]).set_index("quantity")
    assert held.value["kl_exact_network"] == pytest.approx((p * np.log(p / q)).sum())
    assert held.value["kl_network_exact"] == pytest.approx((q * np.log(q / p)).sum())
    assert held.value["total_variation"] == pytest.approx(np.abs(p - q).sum() / 2)
    x = StateSpace(system).configurations()
    assert held.value["density"] == pytest.approx(q @ x.mean(1))
    assert held.exact["density"] == pytest.approx(p @ x.mean(1))
    assert held.value["ln_Z_rate"] == pytest.approx((w @ q).sum())
    assert held.exact["ln_Z_rate"] == pytest.approx((w @ p).sum())
    late = expm(300 * w)
    assert held.value["ln_Z_later"] == pytest.approx(np.log((late @ q).sum() / (late @ p).sum()), abs=1e-6)


def test_nothing_is_wrong_with_the_exact_distribution_itself():
    system = build("east", 3)
    p = solve(system, S, T, "distribution").value.to_numpy()
    net = network("table", (3,)).double()
    with torch.no_grad():
        net.initialise(system.initial)
        x = torch.from_numpy(StateSpace(system).configurations())
    before = evaluate(system, net, [S], [T]).set_index("quantity").value
    assert before["total_variation"] > 1e-3
    fitted = torch.optim.LBFGS(net.parameters(), max_iter=500, tolerance_grad=1e-12, tolerance_change=1e-16)

    def loss() -> torch.Tensor:
        fitted.zero_grad()
        value = -(torch.tensor(p) * net.log_prob(x)).sum()
        value.backward()
        return value

    fitted.step(loss)
    after = evaluate(system, net, [S], [T]).set_index("quantity")
    assert after.value["total_variation"] < 1e-5
    assert abs(after.value["ln_Z_later"]) < 1e-5


def test_an_open_quantum_system_gives_its_spins():
    system = build("tfim", 2)
    torch.manual_seed(0)
    net = network("made", (2,), 4, hidden=4).double()
    held = evaluate(system, net, [0.0], [T]).set_index("quantity")
    exact = solve(system, 0.0, T, "sigma_z").value.item()
    assert held.exact["sigma_z"] == pytest.approx(exact, abs=1e-8)
    assert held.error["sigma_z"] == pytest.approx(abs(held.value["sigma_z"] - exact))


MODULE = """
import torch, vanbench

class Plain(torch.nn.Module):
    def __init__(self, n_sites, scale=1.0):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(n_sites, n_sites))
        self.bias = torch.nn.Parameter(torch.randn(n_sites))

    def forward(self, x):
        return x @ self.weight.tril(-1).T + self.bias

Net = vanbench.wrap(Plain, output="logit_up")
"""


def test_the_state_of_a_plain_module_fits_what_wraps_it(tmp_path, monkeypatch, capsys):
    """And a training script's file around it; the numbers are those of the module itself."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain.py").write_text(MODULE)
    scope: dict = {"__name__": "plain"}
    exec(MODULE, scope)
    torch.manual_seed(3)
    plain = scope["Plain"](3).double()
    torch.save({"state_dict": plain.state_dict(), "epoch": 3}, "net.pt")
    asked = ("--architecture", "plain.py:Net", "--state", "net.pt", "--s", S, "--times", T, "--format", "json")
    assert run("evaluate", "east", "--shape", "3", *asked) == 0
    records = {row["quantity"]: row for row in json.loads(capsys.readouterr().out)["records"]}
    x = torch.from_numpy(StateSpace(build("east", 3)).configurations()).double()
    up = torch.sigmoid(plain(2 * x - 1))
    q = torch.where(x == 1, up, 1 - up).prod(1)
    assert records["density"]["value"] == pytest.approx(float((q @ x.mean(1)).detach()))


def test_a_checkpoint_gives_the_networks_of_each_field(tmp_path):
    system = build("ssep", 4)
    asked = {"s": [0.1, S], "times": 0.3, "tracker": "tdvp", "architecture_options": {"hidden": 4}}
    result = vanbench.track(system, **asked, out=tmp_path)
    held = networks(system, "made", tmp_path / "checkpoint.pt", {"hidden": 4})
    for k, s in enumerate(asked["s"]):
        x = torch.from_numpy(StateSpace(system).configurations())
        np.testing.assert_allclose(held(s).log_prob(x).exp().detach(), result.distribution(k), rtol=1e-12)
    with pytest.raises(InputError, match=r"no networks for s = 0.2: it has 0.1, 0.3"):
        held(0.2)


def test_a_checkpoint_of_the_symmetrised_picture_is_not_the_end(tmp_path):
    system = build("east", 3)
    options = {"tracker": "tdvp", "tracker_options": {"picture": "symmetrised"}, "times": 0.2}
    vanbench.track(system, **options, out=tmp_path)
    with pytest.raises(InputError, match="not the distribution at the last time"):
        networks(system, "made", tmp_path / "checkpoint.pt")


def _without(state):
    return {name: value for name, value in state.items() if name != "output.weight"}


WRONG = {
    "another size": (lambda state: network("made", (3,), hidden=5).state_dict(), "has shape"),
    "missing": (_without, "lacks"),
    "without the bias": (lambda state: {k: v for k, v in state.items() if k != weights.BIAS}, "lacks site_bias"),
    "left over": (lambda state: {**state, "head.weight": torch.ones(2)}, "has head.weight besides"),
    "not finite": (lambda state: {**state, "site_bias": torch.full((3, 2), torch.nan)}, "not finite"),
    "no tensors": (lambda state: [1, 2], "holds no tensors"),
    "empty": (lambda state: {}, "holds no tensors"),
    "code": (lambda state: nn.Linear(2, 2), "weights_only=True"),
}


@pytest.mark.parametrize(("change", "told"), WRONG.values(), ids=WRONG)
def test_a_state_that_does_not_fit_is_named(tmp_path, change, told):
    net = network("made", (3,), hidden=4)
    names = list(net.state_dict())
    state = dict(net.state_dict())
    if change is _without:
        state.pop(next(name for name in names if name != weights.BIAS))
    else:
        state = change(state)
    torch.save(state, tmp_path / "net.pt")
    with pytest.raises(InputError, match=told):
        networks(build("east", 3), "made", tmp_path / "net.pt", {"hidden": 4})(S)


def test_files_that_are_none(tmp_path):
    (tmp_path / "net.pt").write_bytes(b"nonsense")
    with pytest.raises(InputError, match="weights_only=True"):
        weights.read(tmp_path / "net.pt")
    with pytest.raises(InputError, match="is no file"):
        weights.read(tmp_path / "none.pt")
    (tmp_path / "net.safetensors").write_bytes(b"nonsense")
    told = "pip install 'vanbench[weights]'" if find_spec("safetensors") is None else "no readable safetensors"
    with pytest.raises(InputError, match=told):
        weights.read(tmp_path / "net.safetensors")


def _checkpoint(**changes):
    config = {"s": [0.1], "tracker": "tdvp", "tracker_options": {}, "target": "time"}
    held = {"version": 1, "config": config, "parameters": {"w": torch.zeros(1, 2)}}
    for name, value in changes.items():
        (held if name in held else config)[name] = value
    return held


ODD_STATES = {
    "other names": {3: torch.zeros(1)},
    "no names": [torch.zeros(1)],
    "complex numbers": {"w": torch.zeros(1, dtype=torch.complex64)},
    "no numbers at all": {"w": torch.zeros(1, device="meta")},
    "a sparse tensor": {"w": torch.eye(2).to_sparse()},
    "eight bits": {"w": torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)},
    "a checkpoint without config": _checkpoint(config=None),
    "of another kind of config": _checkpoint(config=[1]),
    "without a tracker": _checkpoint(config={"s": [0.1]}),
    "of a tracker that is none": _checkpoint(tracker=7),
    "of options that are none": _checkpoint(tracker_options=3),
    "of a target that is none": _checkpoint(target=[]),
    "of no fields": _checkpoint(s=[]),
    "of one field": _checkpoint(s=0.1),
    "of fields in words": _checkpoint(s=["a"]),
    "of more fields than networks": _checkpoint(s=[0.1, 0.2]),
    "without parameters": _checkpoint(parameters=3),
    "of parameters that are numbers": _checkpoint(parameters={"w": 1.0}),
    "of parameters of no field": _checkpoint(parameters={"w": torch.zeros(())}),
    "parameters with the name of a checkpoint's": {"parameters": torch.zeros(1), "s": torch.zeros(1)},
}


@pytest.mark.parametrize("what", ODD_STATES)
def test_what_is_no_state_of_a_network_is_a_sentence(tmp_path, monkeypatch, capsys, what):
    monkeypatch.chdir(tmp_path)
    torch.save(ODD_STATES[what], "state.pt")
    capsys.readouterr()
    words = ["evaluate", "east", "--shape", "3", "--s", "0.1", "--times", "1", "--state", "state.pt"]
    assert run(*words) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_a_checkpoint_loads_no_code_that_it_names(tmp_path, monkeypatch, capsys):
    """A file of Python beside it is not run, neither by `evaluate` nor by `track --start-from`."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "theirs.py").write_text("open('ran', 'w').close()\nX = 1\n")
    torch.save(_checkpoint(tracker="theirs.py:X"), "state.pt")
    place = ["east", "--shape", "3", "--s", "0.1", "--times", "1"]
    assert run("evaluate", *place, "--state", "state.pt") == 2
    assert run("track", *place, "--start-from", "state.pt", "--out", "out") == 2
    assert capsys.readouterr().err.count("is not allowed to load") == 2
    assert not (tmp_path / "ran").exists()


def test_options_of_a_network_are_checked_before_it_is_made(tmp_path, monkeypatch, capsys):
    """Wherever a network is asked for by name."""
    monkeypatch.chdir(tmp_path)
    torch.save({"w": torch.zeros(1)}, "state.pt")
    for wrong in ("made:hidden=x", "made:hidden=nan", "made:hidden=1.5", "made:skip=5", "gru:width=a"):
        for command in (
            ["evaluate", "east", "--shape", "3", "--s", "0.1", "--times", "1", "--state", "state.pt", "--architecture"],
            ["equilibrium", "--shape", "3x3", "--temperatures", "2", "--architecture"],
            ["conform"],
        ):
            assert run(*command, wrong) == 2
            assert wrong.split(":")[1].split("=")[0] in capsys.readouterr().err


def test_safetensors(tmp_path):
    library = pytest.importorskip("safetensors.torch")
    net, _ = trained(build("east", 3))
    library.save_file(net.state_dict(), tmp_path / "net.safetensors")
    held = weights.put(network("made", (3,), hidden=4).double(), weights.read(tmp_path / "net.safetensors").parameters)
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in held.state_dict().items())


def test_too_many_configurations_and_other_shapes():
    with pytest.raises(InputError, match="at most 65536"):
        evaluate(build("east", 20), network("made", (20,)))
    with pytest.raises(InputError, match="for shape"):
        evaluate(build("east", 4), network("made", (3,)))
    with pytest.raises(InputError, match="unknown quantity"):
        evaluate(build("east", 3), network("made", (3,)), quantities=["scgf"])
