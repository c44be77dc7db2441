"""Networks that follow an open quantum system through its measurement outcomes."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from vanbench.compare.cli import application
from vanbench.exact import InputError, build, solve
from vanbench.neural import track

SPINS = ["sigma_x", "sigma_y", "sigma_z"]


def test_tdvp_with_an_exact_ansatz_follows_the_lindblad_equation():
    """Two spins from -y, all outcomes summed over, fixed steps: what is left is the midpoint rule's error."""
    system = build("heisenberg", (2,), Jx=2.0, Jy=0.0, Jz=1.0, B=1.0, initial="-y")
    times = [0.2, 0.4]
    want = solve(system, 0.0, times, SPINS).sort_values(["quantity", "t"]).value.to_numpy()
    worst = []
    for dt in (0.04, 0.02):
        options = {"full_summation": True, "dt": dt, "damping": 1e-9, "control": "ln_Z"}
        found = track(
            system, [0.0], times, observable="jumps", quantities=SPINS,
            architecture="table", tracker="tdvp", tracker_options=options,
        ).records  # fmt: skip
        got = found[found.quantity.isin(SPINS)].sort_values(["quantity", "t"])
        assert (got.sampling_stderr == 0).all()
        worst.append(abs(got.value.to_numpy() - want).max())
    assert worst[1] < 2e-3  # measured 5e-4
    assert worst[1] < 0.45 * worst[0]  # second order would give a quarter


def test_an_open_system_reports_spins_not_up_spins():
    system = build("tfim", (2,))
    with pytest.raises(InputError, match="sigma_z"):
        track(system, [0.0], [0.1], observable="jumps", quantities=["density"], tracker="tdvp")


def test_spins_are_what_track_reports_by_itself(tmp_path):
    words = "track tfim --shape 2 --s 0 --times 0.1 --tracker tdvp --architecture table --samples 50 -q --format json"
    found = CliRunner().invoke(application(), [*words.split(), "--out", str(tmp_path / "run")])
    assert found.exit_code == 0, found.output
    assert {row["quantity"] for row in json.loads(found.stdout)["records"]} >= {"ln_Z", *SPINS}
