"""The published trackers of open systems: with an exact ansatz and full summation nothing but the scheme is left."""

from __future__ import annotations

import math
import warnings

import numpy as np
import pytest
import torch
from torch.func import functional_call, grad, vmap

from vanbench.compare.declare.task import Task
from vanbench.compare.judge.errors import errors
from vanbench.compare.run.references import compute
from vanbench.exact import InputError, StateSpace, build, solve
from vanbench.exact.definitions.quantities import given
from vanbench.exact.definitions.quantity import NETWORKS, QUANTUM, QUTIP
from vanbench.exact.quantum.observables import one_site, two_site
from vanbench.exact.warning import AccuracyWarning
from vanbench.neural import Autoregressive, Ensemble, track
from vanbench.neural import build as network
from vanbench.neural.backend.adam import Moments
from vanbench.neural.quantum import Outcomes
from vanbench.neural.trackers import Problem
from vanbench.neural.trackers.projected.l1 import interpolated, ramped, step_residual
from vanbench.neural.trackers.projected.residual import L1Fit, Residual

SPINS = ["sigma_x", "sigma_y", "sigma_z"]
RING = {"Jx": 2.0, "Jy": 0.0, "Jz": 1.0, "B": 1.0, "initial": "-y"}
# Adam at a learning rate that falls to 3e-5 leaves each logit within about that of the optimum
ADAM = 3e-4


def two_spins():
    return build("heisenberg", (2,), **RING)


def spins(frame):
    return frame[frame.quantity.isin(SPINS)].sort_values(["quantity", "t"]).value.to_numpy()


def follow(tracker: str, times, target="time", **options):
    return track(
        two_spins(), [0.0], times, observable="jumps", quantities=SPINS,
        architecture="table", tracker=tracker, tracker_options={"full_summation": True, **options},
        target=target,
    )  # fmt: skip


def test_trapezoid_with_an_exact_ansatz_is_the_exact_scheme():
    times = [0.1, 0.2]
    found = follow("l1", times, dt=0.1, epochs=300, learning_rate=0.02, decay=1e-3)
    scheme = solve(two_spins(), 0.0, times, SPINS, scheme="trapezoid", dt=0.1)
    continuous = solve(two_spins(), 0.0, times, SPINS)
    error = abs(spins(found.records) - spins(scheme)).max()
    assert error < ADAM
    assert abs(spins(continuous) - spins(scheme)).max() > 5 * error  # so the scheme is told from continuous time
    assert (found.log.loss < 1e-3).all()


@pytest.mark.parametrize(("architecture", "fires"), [("table", False), ("bernoulli", True)])
def test_a_network_that_cannot_follow_is_told(architecture: str, fires: bool):
    """A product of outcomes of each spin loses their correlations, and a quarter of the change of sigma_z with them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AccuracyWarning)
        run = track(
            build("heisenberg", (2,), Jy=1.8), [0.0], [0.25, 0.5], observable="jumps", quantities=["sigma_z"],
            tracker="l1", tracker_options={"dt": 0.1, "epochs": 60}, architecture=architecture,
        )  # fmt: skip
    assert [one.kind for one in run.warnings] == ["projection"] * fires
    exact = solve(build("heisenberg", (2,), Jy=1.8), 0.0, [0.25, 0.5], ["sigma_z"]).value.to_numpy()
    off = np.abs(run.records.query("quantity == 'sigma_z'").value.to_numpy() - exact).max()
    assert bool(off > 0.1) is fires


@pytest.mark.parametrize("mixed", [{}, {"mix": 0.5}, {"mix": 0.5, "between": "residuals"}])
def test_steady_with_an_exact_ansatz_is_the_steady_state(mixed):
    found = follow("l1", [600.0], "steady", iterations=600, steady_rate=0.03, steady_decay=1e-3, **mixed)
    want = solve(two_spins(), quantities=[f"steady_{name}" for name in SPINS]).sort_values("quantity").value
    assert abs(spins(found.records) - want.to_numpy()).max() < 4 * ADAM  # three times the rate above
    loss = found.log.loss.to_numpy()
    assert loss[-1] < 1e-2 * loss[0]


@pytest.mark.parametrize(("mix", "iterations"), [(0.0, 400), (0.5, 800)])  # mixed, it goes there in steps of time
def test_dynamics_after_the_steady_objective_stays_there(mix, iterations):
    found = follow(
        "l1", [0.2], "steady", dynamics=True, dt=0.1, epochs=50, learning_rate=3e-3, decay=1e-2,
        iterations=iterations, steady_rate=0.03, steady_decay=1e-3, mix=mix,
    )  # fmt: skip
    want = solve(two_spins(), quantities=[f"steady_{name}" for name in SPINS]).sort_values("quantity").value
    assert abs(spins(found.records) - want.to_numpy()).max() < 4 * ADAM


@pytest.mark.parametrize("neighbours", [0, 3])
def test_the_sampled_gradient_is_that_of_the_summed_norm(neighbours):
    """Gradients of the L1 norm from many samples, all neighbours or a few, against automatic differentiation."""
    torch.manual_seed(1)
    system = two_spins()
    net = network("made", (2,), 4, hidden=4).double().initialise(system.initial)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn_like(p))
    problem = Problem(system, [0.0], "jumps", Ensemble(net), torch.Generator().manual_seed(2))
    residuals = [Residual(0.7, 2.0, -0.5, -1.9, -0.4), Residual(0.3, 0.0, 1.0, signs=-0.4)]
    before = {name: value + 0.1 for name, value in problem.ensemble.frozen().items()}

    moments = Moments.of(problem.ensemble.parameters.values())

    def gradient(fit: L1Fit, which: str) -> np.ndarray:
        fit.optimiser.zero_grad()
        getattr(fit, which)(residuals, before)
        return torch.cat([p.grad.flatten() for p in problem.ensemble.parameters.values()]).numpy()

    exact = gradient(L1Fit(problem, moments, 10, 0, 1e-2, full_summation=True), "_summed")
    fit = L1Fit(problem, moments, 4000, neighbours, 1e-2, full_summation=False)
    found = np.array([gradient(fit, "_sampled") for _ in range(12)])
    stderr = found.std(0, ddof=1) / np.sqrt(len(found)) + 1e-12
    assert (abs(found.mean(0) - exact) / stderr).max() < 6  # Student's t, 11 degrees of freedom: 1e-4 each
    assert np.linalg.norm(found.mean(0) - exact) < 0.1 * np.linalg.norm(exact)


def test_at_a_numerical_fixed_point_a_step_has_the_gradient_of_signs():
    """The supplement's S24: ``grad C = tau d|L p|_1 - sum_x dp(x) sgn (L p)(x)`` where ``p`` is ``p_0``."""
    torch.manual_seed(1)
    system, tau = two_spins(), 0.03
    net = network("made", (2,), 4, hidden=4).double().initialise(system.initial)
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn_like(p))
    problem = Problem(system, [0.0], "jumps", Ensemble(net), torch.Generator().manual_seed(2))
    fit = L1Fit(problem, Moments.of(problem.ensemble.parameters.values()), 10, 0, 1e-2, full_summation=True)
    gradients = []
    for residuals in ([step_residual(2 * tau)], interpolated(1 / (1 + tau), "signs", 0.1)):
        fit.optimiser.zero_grad()
        fit._summed(residuals, problem.ensemble.frozen())
        gradients.append(torch.cat([p.grad.flatten() for p in problem.ensemble.parameters.values()]).numpy())
    np.testing.assert_allclose(gradients[0], (1 + tau) * gradients[1], atol=1e-12)
    assert np.abs(gradients[0]).max() > 1e-3


def test_a_ramp_ends_in_the_steady_state():
    """S23 from the norm of ``L p`` to that of steps."""
    assert [part.weight for part in ramped(0.1, 0.25)] == [0.25, 0.75]
    assert ramped(0.1, 1.0) == [step_residual(0.1)]
    found = follow(
        "l1", [1.0, 3.0], "steady", dynamics=True, iterations=0, ramp=1.5, dt=0.1, epochs=80, learning_rate=0.01,
        decay=1e-2,
    )  # fmt: skip
    want = solve(two_spins(), quantities=[f"steady_{name}" for name in SPINS]).sort_values("quantity").value.to_numpy()
    assert abs(spins(found.records).reshape(3, 2)[:, 1] - want).max() < 4 * ADAM
    with pytest.raises(InputError, match="dynamics = true"):
        follow("l1", [1.0], "steady", ramp=1.0)


def test_the_interpolations_end_in_both_objectives():
    for between in ("norms", "residuals"):
        assert interpolated(0.0, between, 0.1) == [Residual(1.0, 0.0, 1.0)]
        (step,) = interpolated(1.0, between, 0.1)
        assert (abs(step.own), abs(step.flow), abs(step.old), abs(step.old_flow)) == (10.0, 0.5, 10.0, 0.5)


def test_what_the_objectives_cannot_do_is_refused():
    for target, s, times, options, message in [
        ("time", 0.1, [0.1], {}, "tdvp"),
        ("steady", 0.0, [0.5], {}, "whole numbers"),
        ("steady", 0.0, [1.0], {"between": "lines"}, "norms"),
        ("time", 0.0, [0.1], {"neighbours": -1}, "neighbours"),
    ]:
        with pytest.raises(InputError, match=message):
            track(
                two_spins(), [s], times, observable="jumps", quantities=SPINS, tracker="l1", tracker_options=options,
                target=target,
            )  # fmt: skip


def test_steady_trackers_are_compared_with_the_steady_state():
    declared = {
        "name": "x", "system": "tfim", "shapes": [(2,)], "s": [0.0], "times": [5.0, 10.0],
        "observable": "jumps", "quantities": SPINS, "tracker": "l1", "target": "steady",
    }  # fmt: skip
    found = compute(Task(**declared), (2,)).continuous
    want = solve(build("tfim", (2,)), quantities=["steady_sigma_z"]).value.item()
    assert found[found.quantity == "sigma_z"].value.tolist() == [want, want]
    assert sorted(set(found.t)) == [5.0, 10.0]


def test_regressed_dynamics_end_in_the_steady_state():
    found = track(
        two_spins(), [0.0], [16.0], observable="jumps", quantities=SPINS, architecture="table", tracker="tdvp",
        target="steady",
        tracker_options={"dt": 0.2, "order": 4, "damping": 1e-8, "full_summation": True},
    )  # fmt: skip
    want = solve(two_spins(), quantities=[f"steady_{name}" for name in SPINS]).sort_values("quantity").value
    assert abs(spins(found.records) - want.to_numpy()).max() < 2e-3  # exp(-t/2) at t = 16 is 3e-4


# -- what is reported about the spins ------------------------------------------------------------------------------


def table_of(p: np.ndarray, shape: tuple[int, ...]) -> Autoregressive:
    """The table network that is the distribution ``p`` ``(4**N,)``."""
    net = network("table", shape, 4).double()
    n = math.prod(shape)
    with torch.no_grad():
        net.site_bias.zero_()
        for k in range(n):
            marginal = p.reshape(4 ** (k + 1), -1).sum(1)  # prefixes, the first site most significant
            for code, value in enumerate(marginal):
                *prefix, last = (code // 4**j % 4 for j in range(k, -1, -1))
                row = int(net._offsets[k]) + sum(v * 4**j for j, v in enumerate(prefix))
                net.output.weight[row, last] = np.log(max(value, 1e-300))
    return net


def test_spins_correlations_and_eigenvalues_are_those_of_the_state():
    """A table that holds an entangled state exactly: by summation to rounding, from samples within the noise."""
    system = build("heisenberg", (3,), Jx=0.9, Jy=1.8, boundary="open")
    names = [name for name in given(NETWORKS, QUANTUM) if name in given(QUTIP, QUANTUM)]
    exact = solve(system, 0.0, [0.4], [*names, "distribution"])
    p = exact[exact.quantity == "distribution"].sort_values("state").value.to_numpy()
    rho = system.quantum.povm.density_matrix(p)
    net = table_of(p, (3,))
    states = torch.as_tensor(StateSpace(system).configurations())
    assert abs(net.log_prob(states).exp().detach().numpy() - p).max() < 1e-14
    two = min(np.linalg.eigvalsh(two_site(rho, i, j))[0] for i, j in ((0, 1), (0, 2), (1, 2)))
    want = {
        "smallest_eigenvalue_one_site": np.linalg.eigvalsh(one_site(rho))[:, 0].min(),
        "smallest_eigenvalue_two_sites": two,
        "smallest_eigenvalue": np.linalg.eigvalsh(rho)[0],
    }
    for row in exact[exact.quantity.isin(names)].to_dict("records"):
        want[row["quantity"], row.get("site"), row.get("distance")] = row["value"]
    weights = torch.as_tensor(p.copy())
    generator = torch.Generator().manual_seed(1)
    for outcomes in (Outcomes(system, net, states, weights), Outcomes(system, net, net.sample(4000, generator))):
        found = list(outcomes.rows(names, whole=True))
        assert len(found) == 3 + 9 + 6 + 1 + 3
        for row in found:
            value = want.get(row["quantity"])
            if value is None:
                site, distance = row.get("site", np.nan), row.get("distance", np.nan)
                value = next(
                    v for k, v in want.items()
                    if k[0] == row["quantity"] and np.array_equal([k[1], k[2]], [site, distance], equal_nan=True)
                )  # fmt: skip
            assert abs(row["value"] - value) < 5 * row["sampling_stderr"] + 1e-12, row


def test_expected_outcomes_have_less_noise_than_outcomes():
    system = build("tfim", (4,), initial="+x")
    net = network("made", (4,), 4).double().initialise(system.initial)
    x = net.sample(1000, torch.Generator().manual_seed(1))
    (row,) = [row for row in Outcomes(system, net, x).rows(["sigma_x"], False) if row["quantity"] == "sigma_x"]
    assert row["value"] == pytest.approx(1, abs=1e-12)  # a product state: the conditionals do not scatter at all


def test_every_record_of_an_open_system_says_how_physical_it_is():
    found = follow("l1", [0.1, 0.2], dt=0.1, epochs=2).records
    assert (found.quantity == "smallest_eigenvalue_two_sites").sum() == 2
    assert found[found.quantity == "smallest_eigenvalue"].t.tolist() == [0.2]  # the whole state: at the end


def test_runge_kutta_follows_at_fourth_order():
    system, times = two_spins(), [0.2, 0.4]
    want = spins(solve(system, 0.0, times, SPINS))
    worst = [abs(spins(follow("tdvp", times, dt=dt, order=4, damping=1e-12, tilts=()).records) - want).max()
             for dt in (0.05, 0.025)]  # fmt: skip
    assert worst[1] < worst[0] / 5  # measured 6.1; a factor of 4 at second order, of 16 at fourth in the limit
    assert worst[1] < 1e-5


# -- the network for weakly correlated outcomes --------------------------------------------------------------------


@pytest.mark.parametrize(("name", "option"), [("matrix-product", {"bond": 6}), ("polynomial", {"order": 2})])
def test_scores_are_gradients(name, option):
    torch.manual_seed(1)
    net = network(name, (5,), 4, **option).double()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.2 * torch.randn_like(p))
    x = net.sample(6)
    each = vmap(grad(lambda p, y: functional_call(net, p, (y[None],))[0]), in_dims=(None, 0))
    expected = torch.cat([g.flatten(1) for g in each(dict(net.named_parameters()), x).values()], 1)
    torch.testing.assert_close(net.scores(x), expected, atol=1e-12, rtol=1e-12)


def test_a_polynomial_of_the_highest_order_follows_exactly_and_one_of_pairs_does_not():
    system, times = build("heisenberg", (3,), **RING), [0.5]
    want = spins(solve(system, 0.0, times, SPINS))
    pairs, triples = (
        track(
            system, [0.0], times, observable="jumps", quantities=SPINS,
            architecture="polynomial", architecture_options={"order": order}, tracker="tdvp",
            tracker_options={"dt": 0.05, "order": 4, "damping": 1e-9, "full_summation": True},
        )
        for order in (1, 2)
    )  # fmt: skip
    assert abs(spins(triples.records) - want).max() < 1e-3  # Runge-Kutta steps in parameters, from starts near zero
    assert abs(spins(pairs.records) - want).max() > 1e-2


def test_a_polynomial_of_too_many_products_is_refused():
    with pytest.raises(InputError, match="products"):
        network("polynomial", (100,), 4, order=3)


def test_fitted_steps_of_a_matrix_product_follow_the_lindblad_equation():
    """A bond of 4 is complete for three spins: what is left is the time step and the damping of the fit."""
    system, times = build("heisenberg", (3,), Jx=0.9, Jy=1.8), [0.2, 0.4]
    want = spins(solve(system, 0.0, times, SPINS))
    found = track(
        system, [0.0], times, observable="jumps", quantities=SPINS,
        architecture="matrix-product", architecture_options={"bond": 4}, tracker="log-ratio",
        tracker_options={"dt": 0.02, "iterations": 3, "damping": 1e-5, "full_summation": True},
    )  # fmt: skip
    assert abs(spins(found.records) - want).max() < 2e-3  # measured 6e-4; the spins change by 0.4


def test_each_distance_of_a_correlation_meets_its_own_reference():
    declared = {
        "name": "x", "system": "tfim", "shapes": [(4,)], "s": [0.0], "times": [0.1], "params": {"initial": "+x"},
        "observable": "jumps", "quantities": ["correlation_zz"], "tracker": "tdvp",
    }  # fmt: skip
    exact = compute(Task(**declared), (4,)).continuous
    rows = exact[exact.quantity == "correlation_zz"].assign(sampling_stderr=0.0)
    assert sorted(rows.distance) == [1, 2]
    assert rows.value.nunique() == 2
    assert (errors(rows, exact, None, 4).error == 0).all()
