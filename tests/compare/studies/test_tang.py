"""The figures of the published study: that what they show is what exact values say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from command_line import run as command
from matplotlib.figure import Figure

from vanbench.compare.declare.task import load_suite
from vanbench.compare.run.execute import execute
from vanbench.compare.studies.exact_tables.critical import critical as critical_field
from vanbench.compare.studies.exact_tables.library import FOLDER, read
from vanbench.compare.studies.tang2024 import bands, critical, exponents, phases, protocol, transition, voter
from vanbench.compare.studies.tang2024.values import (
    Curves,
    convex,
    derivatives,
    exact_curves,
    merged,
    noise,
    stored,
    table_of,
    trusted,
)
from vanbench.exact import solve
from vanbench.exact.systems import build

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _tables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # the exact tables are found from here


def as_network(exact: Curves, source: str = "network") -> Curves:
    """A source that has only ``ln Z``, as a run does."""
    k, chi = derivatives(exact.s, exact.t, exact.ln_z, exact.n)
    return replace(exact, source=source, k=k, chi=chi, cpu_s=1.0)


def test_the_spline_gives_the_activity_of_the_tables():
    exact = exact_curves("east", (4, 4))
    assert exact is not None
    found = as_network(exact)
    # fields a tenth of a decade apart: 2 % of the largest k across the transition, half a percent before it
    assert np.abs(found.k - exact.k).max() < 0.03 * exact.k.max()
    assert np.abs(found.k - exact.k)[:, exact.t <= 10].max() < 0.005 * exact.k.max()
    row = phases.errors([{"network": found, "exact": exact}]).iloc[0]
    assert row["ln Z, largest"] == 0
    assert row["k, largest"] == pytest.approx(row["of it spline"])


def test_k_stays_where_convexity_allows_it():
    """A transition between two fields: the spline swings above the k of the active phase, which is 1."""
    s, t, n = np.array([0.01, 0.02, 0.03, 0.05, 0.1]), np.array([100.0]), 4
    ln_z = -n * t * np.minimum(s, 0.022)[:, None]
    k = derivatives(s, t, ln_z, n)[0]
    assert k.max() > 1.1
    kept = convex(s, t, ln_z, k, n)
    assert kept.max() == pytest.approx(1.0)
    assert (np.diff(kept[:, 0]) <= 1e-12).all()
    exact = exact_curves("east", (4, 4))  # with its own k, which no bound cuts
    assert exact is not None
    np.testing.assert_allclose(convex(exact.s, exact.t, exact.ln_z, exact.k, exact.n), exact.k, rtol=1e-6)


def test_the_reference_is_the_table_where_it_has_k_and_the_clones_elsewhere():
    small = exact_curves("east", (4, 4))
    assert small is not None
    assert phases.reference({"network": as_network(small), "exact": small}) is small
    clones, without = as_network(small, "clones"), replace(small, k=np.full_like(small.k, np.nan))
    assert phases.reference({"clones": clones, "exact": without}) is clones
    assert isinstance(phases.heat_maps([{"network": as_network(small), "exact": small}]), Figure)


@pytest.mark.slow
def test_the_noise_of_k_is_the_spread_over_repetitions():
    s, t, n = np.array([0.01, 0.03, 0.1, 0.2, 0.5]), np.array([1.0, 4.0]), 9
    stderr = np.outer(s, [0.1, 0.2])
    rng = np.random.default_rng(1)
    spread = np.std([derivatives(s, t, stderr * rng.normal(size=(5, 2)), n)[0] for _ in range(4000)], axis=0)
    np.testing.assert_allclose(noise(s, t, stderr, n), spread, rtol=0.06)  # five standard errors of 4000 repetitions


def test_clones_are_trusted_where_their_errors_leave_k_and_where_k_falls_with_s():
    exact = exact_curves("east", (4, 4))
    assert exact is not None
    clones = replace(as_network(exact, "clones"), stderr=np.full_like(exact.ln_z, 1e-6))
    assert trusted(clones).k == pytest.approx(clones.k)
    rising = clones.k.copy()
    rising[-1, 3] = rising[0, 3]  # against the convexity of ln Z
    assert np.isnan(trusted(replace(clones, k=rising)).k).all(0).nonzero()[0].tolist() == [3]
    blurred = replace(clones, stderr=np.where(exact.s[:, None] > 0.5, 1.0, 1e-6) * np.ones_like(exact.ln_z))
    assert np.isnan(trusted(blurred).k[-1]).any()
    assert not np.isnan(trusted(blurred).k[0]).any()


def test_stored_values_are_read_back_but_for_what_is_run_again(tmp_path):
    exact = exact_curves("east", (3, 3))
    assert exact is not None
    one = replace(as_network(exact), cpu_s=7.0)
    table_of(one).to_csv(tmp_path / "values.csv", index=False)
    (back,) = stored(tmp_path / "values.csv", [])
    assert (back.system, back.shape, back.source, back.cpu_s) == ("east", (3, 3), "network", 7.0)
    for name in ("s", "t", "ln_z", "k", "chi"):
        assert getattr(back, name) == pytest.approx(getattr(one, name))
    assert stored(tmp_path / "values.csv", [one]) == stored(tmp_path / "none.csv", []) == []


def test_runs_over_other_fields_and_times_are_laid_side_by_side(tmp_path):
    exact = exact_curves("east", (3, 3))
    assert exact is not None

    def part(s, t):
        grids = {name: getattr(exact, name)[s][:, t] for name in ("ln_z", "stderr", "k", "chi")}
        return replace(exact, source="network", s=exact.s[s], t=exact.t[t], **grids, scgf=exact.s[s], cpu_s=2.0)

    early, late = part(slice(0, 8), slice(0, 5)), part(slice(2, 12, 3), slice(5, 9))
    other = replace(early, shape=(9,))
    both, alone = merged([early, other, late])
    assert alone is other
    assert both.cpu_s == 4.0
    for one in (early, late):
        i, j = np.isin(both.s, one.s.round(9)), np.isin(both.t, one.t.round(9))
        assert both.ln_z[np.ix_(i, j)] == pytest.approx(one.ln_z)
    assert both.scgf == pytest.approx(both.s)
    assert np.isfinite(both.ln_z).sum() == early.ln_z.size + late.ln_z.size
    table_of(both).to_csv(tmp_path / "values.csv", index=False)
    (back,) = stored(tmp_path / "values.csv", [])
    assert back.k == pytest.approx(both.k, nan_ok=True)
    assert isinstance(phases.heat_maps([{"network": back, "exact": exact}]), Figure)
    row = phases.errors([{"network": back, "exact": exact}]).iloc[0]
    assert row["ln Z, largest"] == pytest.approx(0, abs=1e-9)


def test_the_error_bar_of_a_critical_field_is_its_spread_over_repetitions():
    exact = exact_curves("east", (4, 4))
    assert exact is not None
    late = exact.t >= 100
    part = replace(exact, t=exact.t[late], **{n: getattr(exact, n)[:, late] for n in ("ln_z", "k", "chi", "stderr")})
    clones = replace(as_network(part, "clones"), stderr=np.outer(exact.s, np.full(late.sum(), 0.02)))
    told = critical.peaks(clones)
    rng, found = np.random.default_rng(5), []
    for _ in range(60):
        again = replace(clones, ln_z=clones.ln_z + clones.stderr * rng.standard_normal(clones.ln_z.shape))
        found.append(critical.peaks(replace(as_network(again), source="network")).set_index("t").s_c)
    spread = pd.concat(found, axis=1).std(axis=1)
    # both are estimates: of 200 and of 60 draws, 5 and 9 % of the spread
    assert told.set_index("t").s_c_stderr.loc[100.0] == pytest.approx(spread.loc[100.0], rel=0.4)
    assert critical.peaks(exact).s_c_stderr.isna().all()


def test_the_peak_of_the_table_is_the_peak_of_exact_vectors():
    exact = exact_curves("east", (3, 3))
    assert exact is not None
    peak = critical.peaks(exact)
    at = peak[np.isclose(peak.t, 100)].iloc[0]
    s = at.s_c * np.array([0.85, 1.0, 1.15])
    chi = -solve(build("east", (3, 3)), s=s, times=[100.0], quantities=["susceptibility"]).value.to_numpy()
    # the table's own fields are 26 % apart: the parabola through three of them is 5 % off here
    assert chi[1] > max(chi[0], chi[2])
    assert at.height == pytest.approx(chi[1], rel=0.02)


def test_a_bend_that_only_falls_has_no_peak():
    """Negative throughout, as noise may leave it, and largest at an end: that is no maximum inside."""
    s = np.arange(1.0, 8.0)
    for bend in (-s, s - 9):
        assert critical._peak(s, np.zeros(7), bend) is None
        assert critical._peak(s, np.zeros(7), bend, low=True) is None


def test_a_low_peak_counts_in_exact_tables_alone():
    """Of 2x2x2, -chi at its maximum is 2 % above its value at s = 0.01."""
    exact = exact_curves("east", (2, 2, 2))
    assert exact is not None
    last = critical.peaks(exact).set_index("t").loc[1000]
    s = np.geomspace(0.2, 0.4, 15)
    chi = -solve(build("east", (2, 2, 2)), s, 1000.0, ("susceptibility",), method="dense").value
    assert last.s_c == pytest.approx(s[chi.argmax()], rel=0.05)  # the fields of the table are 26 % apart
    assert critical.peaks(replace(exact, source="network")).empty


def fields(shape: str, long: float, t: list[float], s_c: np.ndarray) -> tuple[pd.DataFrame, pd.DataFrame]:
    head = {"system": "east", "shape": shape, "n_sites": int(shape[0]) ** 2, "source": "exact"}
    return pd.DataFrame({**head, "t": t, "s_c": s_c}), pd.DataFrame([{**head, "s_c": long}])


def test_exponents_of_power_laws_are_recovered():
    """``s_c(N) = N^-1.5`` and ``s_c(N, t) = s_c(N) + 9 / t``, whatever is cut."""
    times = [5.0, 10.0, 20.0, 50.0, 100.0, 1000.0]
    parts = [fields(f"{n}x{n}", n**-3.0, times, n**-3.0 + 9 / np.array(times)) for n in (4, 5)]
    rows, long = (pd.concat(part) for part in zip(*parts))
    fits = exponents.exponents(rows, long)
    alpha, beta = (fits[fits.exponent == name] for name in ("alpha", "beta"))
    assert alpha.value.to_numpy() == pytest.approx(1.5)
    for column in ("value", "low", "high"):  # no scatter
        assert beta[beta.points > 2][column].to_numpy() == pytest.approx(1.0)
    assert beta.cut.str.split(", ").map(len).groupby(beta["from"].str[:3]).sum().to_dict() == {"4x4": 6, "5x5": 6}
    assert isinstance(critical.figure(rows.assign(height=1.0, s_c_stderr=np.nan, share=np.nan), long, fits), Figure)


def test_beta_takes_the_times_whose_field_is_above_the_cut():
    """From the largest field on, each cut to the first time at which the difference falls below it."""
    differences = np.array([0.5, 2.0, 1.0, 0.2, 0.12, 0.04, 0.2])  # relative to s_c(N)
    times = [5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0]
    rows, long = fields("4x4", 0.16, times, 0.16 * (1 + differences))
    beta = exponents.exponents(rows, long).set_index("cut")
    assert dict(beta["from"].str.rsplit(" ", n=1).str[1].astype(float)) == {
        "0.02": 320.0, "0.05, 0.1": 80.0, "0.15": 40.0, "0.3, 0.5": 20.0
    }  # fmt: skip
    assert beta.value["0.3, 0.5"] == pytest.approx(1.0)
    assert beta.low.isna().to_dict() == {"0.02": False, "0.05, 0.1": False, "0.15": False, "0.3, 0.5": True}
    y, x = np.log(differences[1:5]), -np.log(times[1:5])
    want = np.polyfit(x, y, 1, cov="unscaled")
    residuals = y - np.polyval(want[0], x)
    reach = 4.302653 * np.sqrt(want[1][0, 0] * (residuals**2).sum() / 2)  # Student's t of two degrees of freedom
    row = beta.loc["0.05, 0.1"]
    assert [row.value, row.low, row.high] == pytest.approx([want[0][0], want[0][0] - reach, want[0][0] + reach])


def test_a_transition_narrower_than_the_fields_is_where_its_branches_cross():
    """Two phases of given rates that a weight of e^-8 holds apart, fields 26 % apart wherever the grid begins."""
    t, rates = 500.0, (lambda s: -9 * s + 4 * s**2, lambda s: -0.3 - 1.2 * s + s**2)
    fine = np.linspace(0.01, 0.1, 200001)
    crossing = fine[np.argmin(np.abs(t * rates[0](fine) - (t * rates[1](fine) - 8)))]
    for begin in np.linspace(-2.0, -1.9, 11):
        s = 10 ** np.arange(begin, 0, 0.1)
        y = np.logaddexp(t * rates[0](s), t * rates[1](s) - 8)
        place, _ = transition.place(s, y, transition.derivatives(s, y)[1])
        assert place == pytest.approx(crossing, rel=2e-5)  # of the fine grid: the branches are parabolas


def test_a_broad_transition_is_where_it_bends_most():
    s = 10 ** np.arange(-2.0, 0.01, 0.1)
    y = -0.3 * np.log(np.cosh((s - 0.11) / 0.08)) - 2 * s  # slope from one value to another within 0.16
    bend = -(1 - np.tanh((s - 0.11) / 0.08) ** 2) * 0.3 / 0.08**2
    assert transition.place(s, -y, -bend)[0] == pytest.approx(0.11, rel=0.02)


def test_places_of_coarse_fields_are_those_of_the_exact_eigenvalue():
    """Fields 26 % apart, of tables whose critical field is known to five digits."""
    for name, off in (("south-east-4x4", 0.015), ("south-east-5x5", 0.01), ("fa-3x3", 0.03), ("fa-4x4", 0.02)):
        table = read(FOLDER / f"{name}.csv")
        table = table[(table.quantity == "scgf") & (table.s > 0)].sort_values("s")
        s, y = table.s.to_numpy(float), table.value.to_numpy(float)
        place, _ = transition.place(s, y, transition.derivatives(s, y)[1])
        assert place == pytest.approx(critical_field(name).s_c, rel=off), name


def test_the_long_time_fields_are_the_exact_ones_and_the_tables_are_nearly_there():
    every = critical.with_exact([])
    rows, long = critical.table(every), critical.steady(every, FOLDER)
    late = rows[(rows.source == "exact") & np.isclose(rows.t, 1000)].set_index(["system", "shape"]).s_c
    exact = long[long.source == "exact"].set_index(["system", "shape"]).s_c
    for key in (("east", "4x4"), ("east", "5x5"), ("fa", "3x3"), ("fa", "4x4"), ("fa", "16")):
        assert late[key] == pytest.approx(exact[key], rel=0.05), key


def test_a_network_gives_a_long_time_field_by_its_ritz_values():
    """Those of the table of 5x5, told as of another shape."""
    exact = exact_curves("east", (5, 5))
    assert exact is not None
    table = read(FOLDER / "south-east-5x5.csv")
    scgf = table[table.quantity == "scgf"].set_index("s").value.astype(float).reindex(exact.s).to_numpy()
    network = replace(as_network(exact), shape=(25,), scgf=scgf)
    long = critical.steady([network]).set_index("shape")
    assert long.s_c["25"] == pytest.approx(critical_field("south-east-5x5").s_c, rel=0.01)
    assert long.source["25"] == "network"
    assert "25" not in set(critical.steady([as_network(replace(exact, shape=(25,)))])["shape"])  # none known


def test_bands_stand_out_in_south_east_and_not_in_fa():
    depth = {}
    for system in ("east", "fa"):
        rows = bands.exact_profiles(system, (4, 4), [-1.0], [10.0])
        network = rows.assign(source="network")
        found = bands.summary(rows)
        depth[system] = found[found.s == -1.0].contrast.iloc[0]
        assert bands.compared(pd.concat([rows, network])).largest.max() == 0
        both = pd.concat([rows, network])
        assert isinstance(bands.figure(both, 10.0), Figure)
    assert depth["east"] > 4 * depth["fa"]


def test_contrast_is_zero_on_a_slope_and_four_for_stripes():
    i, j = np.indices((5, 5))
    assert bands.contrast(1.0 + (i + j)) == pytest.approx(0)
    assert bands.contrast(0.5 + 0.5 * (-1.0) ** (i + j)) == pytest.approx(4, rel=0.3)


def test_asymmetry_is_one_for_noise_and_more_for_a_slope():
    rng, stderr = np.random.default_rng(1), np.full((30, 30), 0.1)
    noise = rng.normal(scale=0.1, size=(30, 30))
    assert bands.asymmetry(noise, stderr) == pytest.approx(1, abs=0.1)  # 435 pairs: three standard errors
    assert bands.asymmetry(noise + np.linspace(0, 1, 30), stderr) > 2
    assert np.isnan(bands.asymmetry(noise, 0 * stderr))


def test_the_closed_form_of_the_voter_model_is_that_of_exact_vectors():
    params = {"boundary": "open", "initial": "bernoulli:0.3", "pinned": "first"}
    for shape in ((5,), (2, 3)):
        exact = solve(build("voter", shape, **params), times=[0.7], quantities=["density_profile"])
        found = voter.closed_form(shape, 0.7, **params)
        np.testing.assert_allclose(found, exact.sort_values("site").value, atol=1e-9)


def test_a_claim_is_judged_by_the_spread_over_seeds():
    found = pd.DataFrame(
        {
            "task": "ranking-fa-1d",
            "network": ["gru", "made(hidden=4)"],
            "error": [1e-4, 1.1e-4],
            "error_se": [1e-5, 1e-5],
            "loss": [1e-6, 5e-6],
            "loss_se": [1e-7, 1e-7],
        }
    )
    said = protocol.claims(found).set_index("measure")["holds here"]
    assert said["excess loss (nats)"] == "yes"
    assert said["network's error of ln Z"] == "not told apart"
    alone = protocol.claims(found.assign(loss_se=np.nan)).set_index("measure")["holds here"]
    assert alone["excess loss (nats)"] == "too few seeds"


def test_a_folder_without_runs_is_one_sentence(tmp_path, capsys):
    assert command("study", "tang2024", "phases", tmp_path) == 2
    assert "holds no records" in capsys.readouterr().err


def test_figures_from_a_run(tmp_path, capsys):
    """A tiny run through the command line."""
    suite = tmp_path / "small.toml"
    suite.write_text(SUITE)
    for run in load_suite(str(suite)).tasks[0].runs():
        execute(run, tmp_path / "run", device="cpu")
    assert command("study", "tang2024", "phases", tmp_path / "run", "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "phases.png").read_bytes().startswith(b"\x89PNG")
    errors = pd.read_csv(tmp_path / "out" / "phases.csv")
    assert command("study", "tang2024", "phases", "--out", tmp_path / "out") == 0  # from what is stored
    again = pd.read_csv(tmp_path / "out" / "phases.csv")
    pd.testing.assert_frame_equal(again, errors, atol=3e-6)  # ln Z was stored with six digits
    # full summation: the error of the time steps alone
    assert errors["ln Z, largest"].max() < 0.02


SUITE = """
[[tasks]]
name = "small"
system = "south-east"
shapes = [[2, 2, 2]]
s = [0.01, 0.1, 0.1995262315, 0.3981071706, 1.0]
times = [1.0, 2.0]
reference = []
architectures = ["sitewise"]
tracker = "tdvp"
tracker_options = {picture = "symmetrised", control = "ln_Z", full_summation = true, dt = 0.5}
seeds = 1
"""


def test_stored_exact_profiles_come_in_place_of_older_ones(tmp_path):
    row = {"s": -1.0, "t": 10.0, "stderr": 0.0, "system": "east", "shape": "5x5"}
    stored = tmp_path / "bands-exact-5.csv"
    sites = pd.DataFrame({"site": range(25)})
    new = pd.DataFrame([{**row, "value": 0.3, "source": "exact"}, {**row, "s": -0.5, "value": 0.2, "source": "exact"}])
    new.merge(sites, how="cross").to_csv(stored, index=False)
    rows = pd.DataFrame([{**row, "value": 0.4, "source": "network"}, {**row, "value": 0.1, "source": "exact"}])
    found = bands.with_exact(rows, 16, stored)
    assert found[found.source == "exact"].value.tolist() == [0.3] * 25 + [0.2] * 25
    assert found[found.source == "network"].value.tolist() == [0.4]


def test_the_distance_from_exact_critical_fields_is_told():
    row = {"system": "east", "shape": "4x4", "height": 1.0}
    fields = {("exact", 10.0): 0.1, ("network", 10.0): 0.103, ("exact", 20.0): 0.05, ("network", 20.0): 0.048}
    rows = pd.DataFrame([{**row, "source": source, "t": t, "s_c": s_c} for (source, t), s_c in fields.items()])
    alone = rows[rows.source == "network"]
    assert critical.distance(rows) == "2 critical fields of networks are 0.035 (rms) off the exact ones, 0.04 at most."
    assert critical.distance(alone).startswith("no critical field")
