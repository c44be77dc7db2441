"""A run that begins in a trained network's distribution goes where the exact vector goes from there."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from command_line import run

from vanbench.exact import InputError, StateSpace, build, solve
from vanbench.neural import build as network
from vanbench.neural import track

OPTIONS = {"hidden": 6}


@pytest.fixture
def state(tmp_path):
    """A file, and the network in it."""
    torch.manual_seed(2)
    net = network("made", (3,), **OPTIONS).double()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.normal_(0, 0.4)
    torch.save(net.state_dict(), tmp_path / "net.pt")
    return tmp_path / "net.pt", net


@pytest.mark.parametrize("tracker", ["tdvp", "log-ratio"])
def test_ln_z_and_the_density_are_those_from_that_start(state, tracker):
    path, net = state
    system = build("voter", 3)
    p = net.log_prob(torch.from_numpy(StateSpace(system).configurations())).exp().detach().numpy()
    exact = solve(dataclasses.replace(system, initial=p), 0.2, [0.2, 0.5], ["ln_Z", "density"])
    asked = {"s": 0.2, "times": [0.2, 0.5], "architecture_options": OPTIONS, "tracker": tracker}
    begun = track(system, **asked, start_from=str(path))
    assert begun.errors(exact).error.abs().max() < 2e-3
    assert track(system, **asked).errors(exact).error.abs().max() > 2e-2
    with pytest.raises(InputError, match="began in a network's distribution"):
        begun.errors()


def test_a_checkpoint_goes_on_where_it_ended(tmp_path):
    """To t = 0.3 and 0.3 further is t = 0.6, with another tracker too."""
    system = build("east", 3)
    asked = {"s": [0.1, 0.3], "times": 0.3, "architecture_options": OPTIONS, "tracker": "tdvp"}
    first = track(system, **asked, out=tmp_path)
    second = track(system, **asked | {"tracker": "log-ratio"}, start_from=tmp_path / "checkpoint.pt")
    exact = solve(system, [0.1, 0.3], 0.6, "ln_Z").value.to_numpy()
    together = first.pivot().loc[0.3] + second.pivot().loc[0.3]
    np.testing.assert_allclose(together, exact, atol=1e-3)
    with pytest.raises(InputError, match=r"no networks for s = 0.2"):
        track(system, **asked | {"s": 0.2}, start_from=tmp_path / "checkpoint.pt")


def test_the_symmetrised_picture_has_a_start_of_its_own(state):
    with pytest.raises(InputError, match="only from the system's own distribution"):
        track(
            build("east", 3),
            tracker="tdvp",
            tracker_options={"picture": "symmetrised"},
            architecture_options=OPTIONS,
            start_from=state[0],
        )


def test_the_command_says_which_file_it_was(state, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = "track voter --shape 3 --s 0.2 --times 0.2 --arch-option hidden=6 --tracker tdvp --out out -q"
    assert run(*words.split(), "--start-from", "net.pt") == 0
    assert run(*words.split()) == 2  # another run: it is not taken for the same
    assert "holds the checkpoint of another run" in capsys.readouterr().err
    net = network("made", (3,), **OPTIONS)
    torch.save(net.state_dict(), "net.pt")
    assert run(*words.split(), "--start-from", "net.pt") == 2
    assert "another version of net.pt" in capsys.readouterr().err
