"""The open-system study from records of tiny runs: tables, figures, trajectories as references."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from command_line import run as command
from typer.testing import CliRunner

from vanbench.compare.declare.task import load_suite, suites
from vanbench.compare.run.suite import run_suite
from vanbench.compare.studies.luo2022 import command as luo
from vanbench.compare.studies.luo2022.collect import (
    COUNTING,
    SPINS,
    base_name,
    between_networks,
    counting,
    counts,
    losses,
    store,
    stored,
    summary,
    values,
)
from vanbench.exact import InputError, build, solve

SUITE = """
version = 1
[defaults]
s = [0.0]
observable = "jumps"
quantities = ["sigma_x", "sigma_y", "sigma_z", "distribution"]
architectures = [{name = "table"}]
tracker_options = {full_summation = true}
seeds = 1

[[tasks]]
name = "ring"
system = "heisenberg"
params = {initial = "-y", Jx = 2.0}
shapes = [[2]]
times = [0.1, 0.2]
tracker = "tdvp"
tracker_options = {dt = 0.05}

[[tasks]]
name = "ising"
system = "tfim"
shapes = [[2]]
vary = {g = [0.5, 1.0]}
times = [5, 10]
tracker = "l1"
target = "steady"
reference = []

[[tasks]]
name = "jumps"
system = "tfim"
shapes = [[2]]
s = [-0.5, 0.5]
times = [0.5, 1.0]
quantities = ["ln_Z"]
tracker = "tdvp"
tracker_options = {dt = 0.1}

[[tasks]]
name = "objective"
system = "heisenberg"
params = {Jy = 1.8}
shapes = [[2]]
times = [5, 10]
tracker = "l1"
target = "steady"
seeds = 2
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("luo")
    (folder / "mine.toml").write_text(SUITE)
    summary = run_suite(load_suite(str(folder / "mine.toml")), folder / "run", workers=1, device="cpu")
    assert not summary.failures
    stored = [
        {"n_sites": 2, "g": g, **{k: v for s in SPINS for k, v in ((s, 0.1), (f"{s}_stderr", 0.01))}} for g in (0.5, 1)
    ]
    pd.DataFrame(stored).to_csv(folder / "tfim-16-steady.csv", index=False)
    return folder


def test_errors_against_exact_states_and_trajectories(run):
    frame = values([run / "run"], run)
    ring = frame[(frame.task == "ring") & (frame.quantity == "sigma_y")].sort_values("t")
    exact = solve(build("heisenberg", (2,), initial="-y", Jx=2.0), 0.0, [0.1, 0.2], ["sigma_y"]).value
    np.testing.assert_allclose(ring.exact, exact, atol=1e-10)
    np.testing.assert_allclose(ring.error, abs(ring.value.to_numpy() - exact.to_numpy()), atol=1e-10)
    ising = frame[frame.task == "ising"]
    assert set(ising.parameter) == {0.5, 1.0}
    assert (ising.exact == 0.1).all()
    assert (ising.exact_stderr == 0.01).all()
    table = summary(frame).set_index(["task", "parameter"])
    assert table.loc["ring"].sigma_y.iloc[0] == pytest.approx(ring.error.max())
    assert table.loc["objective"].seeds.iloc[0] == 2
    last = frame[(frame.task == "objective") & (frame.t == 10)]
    of_average = abs(last.groupby("quantity").value.mean() - last.groupby("quantity").exact.first()).max()
    assert table.loc["objective"].of_average.iloc[0] == pytest.approx(of_average)
    assert np.isfinite(table.loc["ring"].total_variation.iloc[0])
    assert set(losses([run / "run"]).task) == {"ising", "objective"}


def test_jump_counts_against_exact_ones(run):
    frame = counts([run / "run"])
    exact = solve(build("tfim", (2,)), [-0.5, 0.5], [0.5, 1.0], ["ln_Z"])
    merged = frame.merge(exact, on=["s", "t"])
    assert len(merged) == 4
    np.testing.assert_allclose(merged.exact, merged.value_y, atol=1e-9)
    row = counting(frame).iloc[0]
    assert row.error == pytest.approx(frame.error.max())
    assert row.rate == pytest.approx((frame.error / (2 * frame.t)).max())


def test_pages_and_pictures(run, tmp_path):
    found = CliRunner().invoke(luo.app, ["figures", str(run / "run"), "--out", str(tmp_path), "--references", str(run)])
    assert found.exit_code == 0, found.output
    text = (tmp_path / "README.md").read_text()
    for name in ("ring", "ising", "repeats", "losses", "jumps"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
        assert f"({name}.png)" in text
    assert text.count("Not run yet.") == 3
    assert "g = 0.5" in text
    assert len(pd.read_csv(tmp_path / "errors.csv")) == 4
    pictures = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    for path in (*tmp_path.glob("*.png"), tmp_path / "README.md"):
        path.unlink()
    again = CliRunner().invoke(luo.app, ["figures", "--out", str(tmp_path), "--references", str(run)])
    assert again.exit_code == 0, again.output
    assert (tmp_path / "README.md").read_text() == text
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.png")} == pictures
    assert command("study", "luo2022", "figures", "--out", tmp_path / "none") == 2


def test_what_is_stored_is_what_was_run(run, tmp_path):
    frame = values([run / "run"], run)
    store(frame, tmp_path)
    found = stored(tmp_path)
    for name in ("value", "exact", "t", "parameter", "seed"):
        np.testing.assert_allclose(found[name], frame[name], rtol=1e-6, atol=1e-12)  # seven digits are kept
    assert (found.task == frame.task).all()
    assert (found.network == frame.network).all()


def test_two_networks_without_exact_values_are_compared_with_each_other():
    rows = [
        {"task": "ring-large", "shape": "20", "network": name, "quantity": q, "t": t, "value": value, "exact": np.nan}
        for name, shift in (("a", 0.0), ("b", 0.25))
        for q in SPINS
        for t, value in ((1.0, 0.5), (2.0, 0.5 + shift * (q == "sigma_y")))
    ]
    row = between_networks(pd.DataFrame(rows)).iloc[0]
    assert (row.sigma_x, row.sigma_y, row.sigma_z) == (0.0, 0.25, 0.0)


def test_no_records(tmp_path):
    with pytest.raises(InputError, match="record"):
        values([tmp_path], tmp_path)


def test_every_task_of_the_suites_has_its_place():
    known = {task for _, tasks in luo.PARTS.values() for task in tasks} | set(COUNTING)
    for name in suites():
        if name.startswith("luo2022-") and name != "luo2022-published":
            for task in load_suite(name).tasks:
                assert base_name(task.name)[0] in known
