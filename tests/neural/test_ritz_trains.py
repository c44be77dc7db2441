"""Rayleigh-Ritz in the span of matrix products: all times from one span, observables."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from vanbench.exact import InputError, StateSpace, build, solve
from vanbench.exact.sparse.generator import generator
from vanbench.exact.warning import AccuracyWarning
from vanbench.neural import track
from vanbench.neural.trackers.subspace.train_span import Field, TrainSpan

TIMES = [1.0, 10.0, 100.0, 1000.0]


def follow(system, s, times, bond, quantities=("ln_Z",), **options):
    return track(
        system, s, times, observable="activity", quantities=list(quantities), architecture="matrix-product",
        architecture_options={"bond": bond}, tracker="ritz",
        tracker_options={"states": "matrix-products", **options},
    )  # fmt: skip


@pytest.mark.parametrize("name", ["east", "fa"])
@pytest.mark.parametrize("c", [0.5, 0.3])
def test_all_times_are_exact_where_no_bond_is_cut(name, c):
    """FA without its all-down state. Flows stop once new states change less than 2e-4."""
    system = build(name, (2, 3), c=c)
    exact = solve(system, 0.3, TIMES, ["ln_Z"]).value.to_numpy()
    found = follow(system, [0.3], TIMES, 8).records.query("quantity == 'ln_Z'").value.to_numpy()
    assert np.allclose(found, exact, rtol=2e-4)


@pytest.mark.filterwarnings("ignore:.*take a larger bond")
def test_cut_bonds_keep_the_phase_that_comes_late():
    """A bond of 4 where 16 would be exact: by following alone, the transition of South-East 4x4 comes too late."""
    system, times = build("east", (4, 4)), [10.0, 100.0, 1000.0]
    exact = solve(system, 0.15, times, ["ln_Z"]).value.to_numpy()
    rows = follow(system, [0.15], times, 4, growth=2.0, still=5e-3).records.query("quantity == 'ln_Z'")
    off = np.abs(rows.value / exact - 1)
    assert off.max() < 1e-2
    assert (rows.sampling_stderr < 0.1 * np.abs(exact)).all()
    assert (np.abs(rows.value - exact) < 2 * rows.sampling_stderr).all()
    alone = track(
        system, [0.15], [100.0], observable="activity", quantities=["ln_Z"], architecture="matrix-product",
        architecture_options={"bond": 4}, tracker="tebd",
        tracker_options={"picture": "symmetrised", "order": 2, "cutoff": 1e-12},
    )  # fmt: skip
    assert abs(alone.records.value.iloc[-1] / exact[1] - 1) > 3 * off.max()


@pytest.mark.slow  # half a minute
@pytest.mark.filterwarnings("ignore:.*take a larger bond")
def test_the_standard_error_tells_what_a_tilted_flow_adds():
    system = build("east", (3, 3))
    exact = solve(system, 0.3, [100.0], ["ln_Z"]).value.iloc[0]
    one = follow(system, [0.3], [100.0], 2, starts=2.8, first=1.0, growth=4.0, still=5e-3).records.query(
        "quantity == 'ln_Z'"
    )
    more = follow(system, [0.3], [100.0], 2, first=1.0, growth=4.0, still=5e-3).records.query("quantity == 'ln_Z'")
    assert abs(more.value.iloc[0] - exact) < abs(one.value.iloc[0] - exact)
    assert more.sampling_stderr.iloc[0] < one.sampling_stderr.iloc[0]


@pytest.mark.parametrize(
    ("n", "s", "t"), [(40, 0.3, 10.0), pytest.param(60, 0.1, 20.0, marks=pytest.mark.slow), (24, -0.2, 5.0)]
)
def test_long_chains_agree_with_the_flow_alone(n, s, t):
    """In the rare phase the start has a weight far below rounding: 1e-18 and less here, 1e-36 for 120 sites."""
    system = build("fa", (n,))
    found = follow(system, [s], [t / 2, t], 16).records.query("quantity == 'ln_Z'")
    alone = track(
        system, [s], [t / 2, t], observable="activity", quantities=["ln_Z"], architecture="matrix-product",
        architecture_options={"bond": 16}, tracker="tebd", tracker_options={"picture": "symmetrised", "dt": 0.5},
    ).records.query("quantity == 'ln_Z'")  # fmt: skip
    off = np.abs(found.value.to_numpy() - alone.value.to_numpy())
    assert (off <= 1e-4 * np.abs(alone.value.to_numpy())).all()
    assert (off <= 4 * found.sampling_stderr + 1e-5 * np.abs(alone.value.to_numpy())).all()


@pytest.mark.slow
@pytest.mark.parametrize(("n", "t", "right"), [(80, 15.0, -46.97475), (80, 20.0, -55.06088), (100, 20.0, -68.2128)])
def test_the_weight_of_the_rare_phase_of_very_long_chains(n, t, right):
    """tebd(symmetrised) at bond 24, whose values bond 16 gives too, and TEBD at bond 24 for 100 sites; s = 0.1."""
    row = follow(build("fa", (n,)), [0.1], [t], 16).records.query("quantity == 'ln_Z'").iloc[0]
    assert abs(row.value - right) < 1e-3
    assert row.sampling_stderr < 0.05


def test_the_error_of_a_span_is_what_its_parts_change():
    """Squares add up: of shorter bonds, as far as the flow lost what they miss; of the last states; of three tilts, of
    which each stands for the two others."""

    def changed(lost):
        field = Field(flows=4, bond=1, lost=lost, missed=1.0)
        field.__dict__["solved"] = [1.0, 1.4, 0.7, 1.3, 1.0, 0.4]
        return field.changes(lambda one: one)

    whole, changes = changed(lost=0.5)
    assert whole == 1.0
    assert changes == pytest.approx([0.4 * 0.5, -0.3, 0.3 / 3**0.5, 0.0, -0.6 / 3**0.5])
    assert changed(lost=3.0)[1][0] == pytest.approx(0.4)  # no more than the shorter bonds show


COVERED = [
    ("fa", (8,), 0.05, 8), ("fa", (10,), 0.3, 4), ("east", (8,), -0.2, 4), ("east", (3, 3), 0.1, 4),
    ("fa", (2, 4), 0.1, 4), ("east", (3, 3), 0.02, 2),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:.*take a larger bond")
@pytest.mark.parametrize(("name", "shape", "s", "bond"), COVERED)
def test_errors_cover(name, shape, s, bond):
    """Of ``ln Z`` at all times and of the limit, also where bonds are cut; and they are not the value itself."""
    system, times = build(name, shape), [1.0, 10.0, 100.0]
    exact = solve(system, s, times, ["ln_Z", "scgf"])
    run = follow(system, [s], times, bond)
    right = exact[exact.quantity == "ln_Z"].value.to_numpy()
    rows = run.records.query("quantity == 'ln_Z'")
    off = np.abs(rows.value.to_numpy() - right)
    assert (off <= 2 * rows.sampling_stderr + 1e-9).all()
    assert (rows.sampling_stderr < 0.1 * np.abs(right)).all()
    last = run.log.iloc[-1]
    limit = exact[exact.quantity == "scgf"].value.iloc[0]
    assert -1e-10 <= limit - last.scgf <= 2 * last.scgf_stderr + 1e-10


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*take a larger bond")
@pytest.mark.parametrize(("side", "bond"), [(4, 4), (4, 8), (4, 16), (5, 16)])
def test_errors_cover_on_lattices(side, bond):
    system, s = build("east", (side, side)), 0.02
    limit = solve(system, s, 1.0, ["scgf"]).query("quantity == 'scgf'").value.iloc[0]
    last = follow(system, [s], [1000.0], bond).log.iloc[-1]
    assert -1e-10 <= limit - last.scgf <= 2 * last.scgf_stderr


def test_observables_are_those_of_the_middle():
    system, s, t = build("east", (4,), c=0.3), 0.4, 3.0
    run = follow(system, [s], [t], 4, quantities=["density"], measure=20000)
    states = StateSpace(system).configurations()
    pi = np.asarray(system.initial)[np.arange(system.n_sites), states].prod(1)
    h = generator(system, s).toarray() * np.sqrt(pi) / np.sqrt(pi)[:, None]
    values, vectors = np.linalg.eigh(h)
    weights = (vectors @ (np.exp(t / 2 * values) * (vectors.T @ np.sqrt(pi)))) ** 2
    row = run.records[run.records.quantity == "middle_density"].iloc[0]
    assert abs(row.value - weights @ states.mean(1) / weights.sum()) < 5 * row.sampling_stderr
    assert not any(warning.kind == "effective samples" for warning in run.warnings)


@pytest.mark.filterwarnings("ignore:.*take a larger bond")
def test_samples_that_do_not_count_are_told(monkeypatch):
    drawn = TrainSpan.drawn

    def few(self, t, n, generator):
        x, weights = drawn(self, t, n, generator)
        return x, torch.zeros_like(weights).index_fill(1, torch.tensor([0, 1]), 0.5)

    monkeypatch.setattr(TrainSpan, "drawn", few)
    with pytest.warns(AccuracyWarning, match="effective sample size falls to"):
        run = follow(build("east", (3,)), [0.4], [0.5], 4, quantities=["density"], measure=2000)
    (told,) = (warning for warning in run.warnings if warning.kind == "effective samples")
    assert (told.s, told.t) == (0.4, 0.5)


def test_the_log_holds_the_limit():
    system = build("east", (2, 3), c=0.4)
    last = follow(system, [0.5, 0.8], [50.0], 8).log.groupby("s").tail(1)
    theta = [solve(system, s, 1.0, ["scgf"]).value.iloc[0] for s in (0.5, 0.8)]
    assert np.allclose(last.scgf, theta, rtol=1e-5)
    assert (last.scgf <= np.array(theta) + 1e-12).all()  # a Rayleigh quotient


def test_fields_that_stop_at_different_times_are_measured_together():
    """And errors are finite also where the span is complete."""
    system, fields = build("east", (3, 3)), [0.1, 1.0]
    run = follow(system, fields, [20.0], 8, quantities=["ln_Z", "density"], measure=2000)
    assert run.log.networks.nunique() > 1
    exact = solve(system, fields, [20.0], ["ln_Z"]).value.to_numpy()
    assert np.allclose(run.records.query("quantity == 'ln_Z'").value, exact, rtol=2e-4)
    assert np.isfinite(run.records.sampling_stderr).all()
    one = follow(build("free", (1,)), [0.3], [1.0, 10.0], 1).records
    assert (one.sampling_stderr >= 0).all()


def test_slow_systems_are_waited_for():
    system = build("east", (3, 3), c=0.1)
    exact = solve(system, 0.01, [1000.0], ["ln_Z"]).value.iloc[0]
    found = follow(system, [0.01], [1000.0], 8).records.query("quantity == 'ln_Z'").value.iloc[0]
    assert found == pytest.approx(exact, rel=2e-4)  # 2e-3 where the first two quiet states were enough


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"growth": 1.0}, "above 1"),
        ({"first": float("inf")}, "finite number"),
        ({"starts": ("a",)}, "finite numbers"),
        ({"starts": (1.0, 1.0)}, "different numbers"),
        ({"starts": 1e3}, "up to 50"),
    ],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        follow(build("fa", (4,)), [0.1], [0.1], 2, **options)


def test_other_systems_are_refused():
    with pytest.raises(InputError, match="bond of 2"):
        follow(build("fa", (2, 2)), [0.1], [0.1], 1)
    with pytest.raises(InputError, match="detailed balance"):
        follow(build("asep", (4,), p=1.0, q=0.3), [0.1], [0.1], 2)
