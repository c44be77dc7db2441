"""The variational trackers against continuous time, and the samples they fit on."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

from vanbench.exact import Excluding, FixedSum, InputError, StateSpace, build, solve
from vanbench.neural import Ensemble, track
from vanbench.neural import build as network
from vanbench.neural.trackers import Diverged, Problem, proposal
from vanbench.neural.trackers.tangent.regression import scores

torch.set_num_threads(1)
# the table can follow exactly: what is left is the midpoint rule, of second order in dt
SUMMED = {"full_summation": True, "damping": 1e-12, "tolerance": 1e9}
SYMMETRISED = {"picture": "symmetrised"}
SAMPLED = {"samples": 600, "dt": 0.1, "full_summation": False}
NETWORKS = [("made", {"hidden": 16}), ("sitewise", {"units": 2})]


def ln_z(system, s, t, **options):
    tracker, settings = options.pop("tracker", "tdvp"), options.pop("options")
    records = track(system, [s], [t], tracker=tracker, tracker_options=settings, **options).records
    return records[records.quantity == "ln_Z"].iloc[-1]


SYSTEMS = [
    (build("fa", (4,), c=0.3), 0.2),
    (build("fa", (2, 2)), 0.5),
    (build("east", (2, 3), c=0.2), -0.3),
    (build("asep", (4,), p=1.0, q=0.3), 0.2),
    (build("ssep", (4,), boundary="periodic"), 0.3),
    (build("tfim", (2,), V=1.0, g=0.7, gamma=1.0, initial="+x"), 0.3),
]


@pytest.mark.parametrize(("system", "s"), SYSTEMS, ids=lambda v: getattr(v, "name", v))
def test_table_with_full_summation_converges_to_continuous_time_at_second_order(system, s):
    observable = "jumps" if system.name == "tfim" else "activity"
    settings = {"observable": observable, "architecture": "table", "quantities": ("ln_Z", "density")}
    if system.name == "tfim":
        settings["quantities"] = ("ln_Z",)
    exact = solve(system, s, 0.8, ["ln_Z"], observable=observable).value.iloc[0]
    errors = [ln_z(system, s, 0.8, options={**SUMMED, "dt": dt}, **settings).value - exact for dt in (0.1, 0.05)]
    assert abs(errors[1]) < 3e-4 * abs(exact)
    assert abs(errors[1]) < abs(errors[0]) / 2.5  # a factor of four at second order, two at first


@pytest.mark.parametrize("system", [build("fa", (5,), c=0.3), build("fa", (2, 2)), build("east", (2, 3))])
def test_the_symmetric_flow_meets_continuous_time(system):
    exact = solve(system, 0.4, 2.0, ["ln_Z"]).value.iloc[0]
    found = ln_z(system, 0.4, 2.0, architecture="table", options={**SUMMED, **SYMMETRISED, "dt": 0.05})
    assert found.value == pytest.approx(exact, rel=2e-4)


@pytest.mark.parametrize("picture", ["forward", "symmetrised"])
def test_sampled_runs_meet_continuous_time_within_a_permille(picture):
    system = build("east", (6,), c=0.4)
    exact = solve(system, 0.3, 2.0, ["ln_Z"]).value.iloc[0]
    found = ln_z(system, 0.3, 2.0, architecture="made", options={**SAMPLED, "picture": picture})
    assert abs(found.value - exact) < 1e-3 * abs(exact) + 4 * found.sampling_stderr  # measured 2e-4
    assert 0 < found.sampling_stderr < 2e-3 * abs(exact)


def test_the_symmetric_flow_refuses_what_it_cannot_do():
    long = [build("asep", (50,), p=1.0, q=0.3), build("free", (60,), initial="bernoulli:0.4")]  # tiny probabilities
    for system in (build("asep", (4,), p=1.0, q=0.3), build("east", (4,), initial="bernoulli:0.3"), *long):
        with pytest.raises(InputError, match="detailed balance"):
            track(system, [0.2], [0.2], tracker="tdvp", tracker_options={**SAMPLED, **SYMMETRISED})


@pytest.mark.parametrize(
    ("options", "message"),
    [({"dt": 0.0}, "positive"), ({"samples": 3}, "lies from 10"), ({"share": 1.5}, "above 0 and below 1")],
)
def test_bad_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        track(build("fa", (4,)), [0.1], [0.1], tracker="tdvp", tracker_options=options)


RESTRICTIONS = {
    "first site": ({0: 1}, None),
    "another site": ({3: 0}, None),
    "excluded": ({}, Excluding(np.zeros((1, 6), dtype=np.int8))),
    "sum": ({}, FixedSum(3)),
}


@pytest.mark.parametrize("restriction", RESTRICTIONS)
@pytest.mark.parametrize("name", ["table", "made", "gru", "sitewise", "polynomial", "matrix-product"])
def test_scores_are_the_gradients_of_the_log_probability(name, restriction):
    torch.manual_seed(0)
    net = network(name, (2, 3)).double().restrict(*RESTRICTIONS[restriction])
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.3 * torch.randn_like(p))
    ensemble = Ensemble(net, 2)
    x = ensemble.sample(4)
    found = torch.cat(list(scores(ensemble, x)))
    for r in range(2):
        copy = ensemble.copy_of(r).requires_grad_()
        for b in range(4):
            grads = torch.autograd.grad(
                copy.log_prob(x[r, b : b + 1]).sum(), list(copy.parameters()), allow_unused=True
            )
            flat = torch.cat(
                [(torch.zeros_like(p) if g is None else g).flatten() for g, p in zip(grads, copy.parameters())]
            )
            assert torch.allclose(found[r, b], flat, atol=1e-12)


def test_averages_over_the_tilted_mixture_are_averages_over_the_network():
    torch.manual_seed(0)
    system = build("east", (2, 3), c=0.7)
    net = network("sitewise", (2, 3)).double().restrict(system.pinned, system.support)
    problem = Problem(system, [0.1], "activity", Ensemble(net, 1), torch.Generator().manual_seed(1))
    batch = proposal.draw(problem, 40000, (1.0, 3.0), 0.5)
    states = torch.as_tensor(StateSpace(system).configurations())[None]
    exact = float((problem.log_prob(states).exp() * states.sum(-1)).sum())
    mean = float((batch.mean * batch.x.sum(-1)).sum())
    assert mean == pytest.approx(exact, abs=0.05)  # 4 standard errors of 40000 correlated weights, std about 1
    plain = float(batch.x[:, batch.plain :].double().sum(-1).mean())
    assert plain < exact - 0.5  # the tilted part alone sits far lower


@pytest.mark.parametrize("tracker", ["tdvp", "log-ratio"])
def test_steps_stay_below_the_stability_bound(tracker):
    """The all-up state of four sites leaves at rate 4: explicit steps of second order go wrong above dt = 0.5, with
    steps of 0.6 by a tenth of ln Z and more."""
    system, exact = build("fa", (4,)), solve(build("fa", (4,)), 0.2, 12.0, ["ln_Z"]).value.iloc[0]
    options = {**SUMMED, "dt": 0.6}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        run = track(system, [0.2], [12.0], architecture="table", tracker=tracker, tracker_options=options)
    assert run.log.stiffness.max() < 2
    assert run.log.dt.max() > 0.4
    value = run.records.query("quantity == 'ln_Z'").value.iloc[0]
    assert value == pytest.approx(exact, rel={"tdvp": 1e-4, "log-ratio": 1e-2}[tracker])  # measured: 2e-6 and 4e-3


def test_the_symmetric_flow_bears_twice_the_step():
    table = {"architecture": "table", "tracker_options": {**SUMMED, **SYMMETRISED, "dt": 0.8}, "tracker": "tdvp"}
    log = track(build("fa", (4,)), [0.2], [4.0], **table).log
    assert log.stiffness.max() == pytest.approx(0.8 * 4 / 2)
    open_system = {"observable": "jumps", "quantities": ["ln_Z"], "tracker": "tdvp"}
    assert track(build("tfim", (2,)), [0.0], [0.2], **open_system).log.stiffness.max() == 0  # no bound is claimed


def test_a_fit_that_follows_the_noise_of_its_samples_is_damped():
    """South-East 4x4: 1328 parameters on 500 samples explain the noise of those, and put ln Z off by a hundredth."""
    system, options = build("east", (4, 4)), {"samples": 500, "dt": 0.36, "control": "ln_Z", **SYMMETRISED}
    (wide, sizes), settings = NETWORKS[0], {"tracker": "tdvp", "quantities": ("ln_Z",), "project": False}
    run = track(
        system, [0.1], [6.0], architecture=wide, architecture_options=sizes, tracker_options=options, **settings
    )
    exact = solve(system, 0.1, 6.0, ["ln_Z"]).value.iloc[0]
    assert run.records.query("quantity == 'ln_Z'").value.iloc[-1] == pytest.approx(exact, rel=1e-2)
    assert run.log.unseen.max() <= 8


def test_a_stationary_start_has_nothing_to_miss():
    """At s = 0 the local quantity is rounding: no part of it is noise that a fit could follow."""
    few = {"samples": 100, "full_summation": False}
    run = track(build("east", (6,), c=0.05), [0.0], [1.0], tracker="tdvp", tracker_options=few)
    assert run.log.unseen.max() == 0


def test_a_network_that_loses_configurations_is_followed_in_shorter_steps():
    """FA chain of 6 at s = -0.2: without a look at ``<(W_s^T 1)(x)>`` the first ended at ln Z = 0.93."""
    system = build("fa", (6,))
    exact = solve(system, -0.2, 2.0, ["ln_Z"]).value.iloc[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the fit follows the noise of 500 samples is told too
        found = ln_z(system, -0.2, 2.0, architecture="sitewise", options={"samples": 500, "full_summation": False})
    assert found.value == pytest.approx(exact, rel=1e-2)  # measured 5e-4


def test_steps_that_carry_the_growth_are_taken_as_they_are():
    settings = {"architecture": "sitewise", "tracker": "tdvp", "quantities": ("ln_Z",), "project": False}
    options = {"samples": 300, "control": "ln_Z", "full_summation": False}
    for system, s in ((build("east", (6,), c=0.3), [-0.1, 0.3]), (build("ssep", (6,), boundary="periodic"), [0.3])):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            log = track(system, s, [1.0], tracker_options=options, **settings).log
        assert log.dt[log.s == s[0]].iloc[:-2].is_monotonic_increasing  # none was halved; the last two meet the time


@pytest.mark.parametrize("tracker", ["tdvp", "log-ratio"])
def test_fields_regressed_one_after_another_have_the_same_velocities(tracker, monkeypatch):
    def values():
        options = {"samples": 60, "dt": 0.2, "full_summation": False}
        found = track(build("east", (5,)), [0.1, 0.2, 0.4], [0.4], tracker=tracker, tracker_options=options)
        return found.records.value.tolist()

    together = values()
    monkeypatch.setattr("vanbench.neural.trackers.tangent.regression.KEPT", 1)
    assert values() == pytest.approx(together, rel=1e-9)  # products of several matrices add up in another order


def test_the_step_is_controlled_where_ln_z_stays_zero():
    """A GRU on an open ring from -y, s = 0: steps of 0.2 diverge; the error of a step, in the Fisher norm, keeps each
    spin average within 5e-3 at any order (measured: 2.3e-3 and 1.0e-3), with fewer steps of the higher one."""
    system, times = build("heisenberg", (3,), Jx=2.0, Jy=0.0, Jz=1.0, B=1.0, initial="-y"), [0.5, 1.0]
    spins = ["sigma_x", "sigma_y", "sigma_z"]
    exact = solve(system, s=0.0, times=times, quantities=spins).set_index(["quantity", "t"]).value
    settings = {
        "architecture": "gru", "architecture_options": {"width": 6}, "tracker": "tdvp", "observable": "jumps",
        "quantities": spins, "project": False,
    }  # fmt: skip
    steps = {}
    for order in (2, 4):
        found = track(system, [0.0], times, tracker_options={"full_summation": True, "order": order}, **settings)
        rows = found.records[found.records.quantity.isin(spins)].set_index(["quantity", "t"]).value
        assert (rows - exact).abs().max() < 5e-3
        steps[order] = len(found.log)
    assert steps[4] < steps[2]
    with pytest.raises(Diverged):
        track(system, [0.0], [2.0], tracker_options={"full_summation": True, "control": "ln_Z"}, **settings)
