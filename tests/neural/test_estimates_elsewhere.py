"""Error estimates of trackers whose steps leave no defects: clones, spans of trial states, matrix products."""

import warnings

import numpy as np
import pytest
import torch

from vanbench.exact import build, solve
from vanbench.neural import track
from vanbench.neural.run.fields import Fields
from vanbench.neural.trackers.walkers.clones import beside, doubt

torch.set_num_threads(1)


def estimates(tracker, system, s, times, network="bernoulli", options=None, seed=1, quantities=("ln_Z",), **more):
    """Distances and error estimates, a row a value."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        run = track(
            system, s, times, architecture=network, tracker=tracker, tracker_options=options, seed=seed,
            quantities=quantities, **more,
        )  # fmt: skip
    known = [name for name in quantities if name != "middle_density"]
    exact = solve(system, s, times, known).set_index(["quantity", "t"]).value
    rows = run.records[run.records.quantity.isin(known)]
    off = [abs(row.value - exact[row.quantity, row.t]) for row in rows.itertuples()]
    return rows.assign(off=off)


def test_few_populations_doubt_their_scatter_and_their_logarithm():
    assert doubt(10) == pytest.approx(2.262 / 1.96, abs=1e-3)  # Student's table
    assert doubt(1000) == pytest.approx(1, abs=2e-3)
    even = torch.tensor([[0.1, -0.1] * 5], dtype=torch.float64)
    mean = even.exp().mean().log()
    variance = (even - mean).exp().var() / 10
    assert float(beside(even)) == pytest.approx(((doubt(10) ** 2 - 1) * variance + (mean - even.mean()) ** 2) ** 0.5)
    one = torch.tensor([[0.0] * 9 + [40.0]], dtype=torch.float64)  # one population carries Z
    assert float(beside(one)) > 30


@pytest.mark.parametrize(
    ("name", "shape", "params", "s"),
    [("fa", (6,), {"c": 0.3}, 0.3), ("asep", (6,), {}, -0.5), ("fa", (6,), {"c": 0.1}, -1.0)],
)
def test_clones_that_are_few_lie_within_their_estimates(name, shape, params, s):
    system, inside, size = build(name, shape, **params), [], []
    for seed in range(10):
        rows = estimates("clones", system, [s], [1.0, 10.0], options={"clones": 400}, seed=seed)
        inside += list(rows.off <= 2 * rows.error_estimate)
        size.append((rows.off**2 / rows.error_estimate**2).mean())
    assert np.mean(inside) >= 0.85  # of 20; the goal is 95 %, and three misses of 20 have a chance of 8 %
    assert np.sqrt(np.mean(size)) > 0.2  # nor are they far too large


def test_clones_have_the_estimate_of_a_density():
    rows = estimates("clones", build("asep", 5), [0.3], [1.0], options={"clones": 2000}, quantities=("ln_Z", "density"))
    density = rows.set_index("quantity").loc["density"]
    assert density.error_estimate == pytest.approx(doubt(10) * density.sampling_stderr)
    assert density.off <= 3 * density.error_estimate


@pytest.mark.slow
def test_guided_clones_have_estimates():
    options = {"clones": 2000, "samples": 200}
    rows = estimates("guided-clones", build("fa", 4), [0.3], [1.0], "sitewise", options, quantities=("ln_Z", "density"))
    assert (rows.error_estimate > rows.sampling_stderr).all()
    assert (rows.off <= 3 * rows.error_estimate).all()


@pytest.mark.parametrize(("name", "s"), [("fa", 0.3), ("east", -0.2)])
def test_a_span_of_networks_shows_what_it_lacks(name, s):
    """Measured on five settings, t = 1 to 20: 0.7 to 52 times the distance. At the first report, here, all but the
    starts is left out to see it."""
    rows = estimates("ritz", build(name, 4), [s], [0.5, 4.0], "sitewise", {"starts": (0.7,)})
    assert (rows.off <= 2 * rows.error_estimate + 1e-7).all()
    assert (rows.error_estimate <= 50 * rows.off + 2e-3).all()


def test_a_span_of_matrix_products_shows_what_it_lacks():
    options = {"states": "matrix-products"}
    for bond in (2, 4):
        more = {"architecture_options": {"bond": bond}}
        rows = estimates("ritz", build("east", 6), [0.2], [1.0, 20.0], "matrix-product", options, **more)
        assert (rows.off <= 2 * rows.error_estimate).all()


SYSTEMS = [("fa", (6,), {"c": 0.5}, -0.5), ("south-east", (3, 3), {}, 0.5), ("voter", (6,), {}, 0.3)]
SETTINGS = [(2, 4, 0.0), (4, 4, 0.0), (32, 4, 0.8), (32, 2, 0.1)]  # bond, order, dt


@pytest.mark.slow
@pytest.mark.parametrize("picture", ["forward", "symmetrised"])
def test_matrix_products_show_what_bonds_and_steps_cut(picture):
    """Of 180 values of six other systems 97 % lay within 2 estimates, and 52 % within a factor of 5."""
    inside, ratio = [], []
    for name, shape, params, s in SYSTEMS[: 3 if picture == "forward" else 2]:
        for bond, order, dt in SETTINGS:
            options = {"picture": picture, "order": order, "dt": dt}
            more = {"architecture_options": {"bond": bond}}
            system = build(name, shape, **params)
            rows = estimates("tebd", system, [s], [1.0, 5.0], "matrix-product", options, **more)
            inside += list(rows.off <= 2 * rows.error_estimate)
            ratio += list(rows.error_estimate / np.maximum(rows.off, 1e-10))
    assert np.mean(inside) >= 0.9
    assert np.median(ratio) < 100  # they are upper ends


def test_matrix_products_have_estimates_of_means():
    for system, s, quantities in ((build("fa", 5), 0.3, ("density",)), (build("tfim", 3), 0.0, ("sigma_x", "sigma_z"))):
        rows = estimates("tebd", system, [s], [0.5], "matrix-product", quantities=quantities)
        assert (rows.error_estimate >= rows.sampling_stderr).all()
        assert (rows.off <= 4 * rows.error_estimate).all()  # normal numbers


@pytest.mark.slow
@pytest.mark.parametrize(("order", "quantity", "share"), [(1, "activity", 0.95), (2, "susceptibility", 0.8)])
def test_differences_over_s_know_what_their_spacing_leaves_out(order, quantity, share):
    inside = []
    for name, shape in (("fa", (6,)), ("asep", (5,)), ("voter", (5,))):
        system, asked = build(name, shape), [-0.5, 0.0, 0.1, 0.6]
        for t in (1.0, 20.0):
            volume = system.n_sites * t
            fields = Fields.of(asked, (quantity,), volume, False)
            every = sorted(set(fields.trained))
            ln_z = solve(system, every, [t], ["ln_Z"]).set_index("s").value.loc[fields.trained].to_numpy()
            exact = solve(system, asked, [t], [quantity]).set_index("s").value
            for (s, weights), off in zip(fields.derivative(order), fields.truncation(order, ln_z, volume)):
                distance = abs(-float(weights @ ln_z) / volume - exact[s])
                inside.append(distance <= 2 * off / volume)
                assert off / volume <= 100 * distance + 1e-2
    assert np.mean(inside) >= share


def test_an_activity_from_differences_is_covered():
    rows = estimates("tdvp", build("fa", 4), [0.3], [2.0], "table", quantities=("activity",))
    assert (rows.off <= 2 * rows.error_estimate).all()


def test_a_direction_that_a_part_of_the_samples_lacks_is_no_pole():
    """Without one block of the jackknife a residual fell to nothing, and ln Z was -1e9."""
    few = {"flow_samples": 100, "samples": 100, "second": 20, "starts": (2.0, 3.0, 4.0, 5.0), "still": 2e-2}
    rows = estimates("ritz", build("fa", (6,)), [0.1], [0.5], "sitewise", few, project=False)
    assert rows.off.max() < 2 * rows.error_estimate.max() < 0.02
