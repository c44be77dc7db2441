"""The study of nonequilibrium latent cycles: train many models, judge them exactly where that is possible.

Up to 16 visible units every number is exact and the sampled estimates stand beside it; beyond, the numbers are
Rao-Blackwell estimates with standard errors, beside the published counting estimates.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from vanbench.compare.learn.cycles.stats import (
    against_machine,
    claims,
    class_divergence,
    class_posterior,
    unit_classes,
    unit_divergence,
)
from vanbench.compare.learn.datasets import Dataset
from vanbench.exact.cycles.chain import (
    MAX_BINARY_HIDDEN,
    CycleParams,
    Reading,
    check_hidden,
    hidden_states,
    log_visible,
    logsumexp,
)
from vanbench.exact.cycles.enumeration import MAX_VISIBLE, ExactChain, enumerate_chain
from vanbench.exact.cycles.estimates import (
    SampledChain,
    chain_log_likelihood,
    counted_entropy_production,
    counted_stderr,
    occupancy_log_likelihood,
    rao_blackwell,
    simulate,
    transition_counts,
)
from vanbench.exact.cycles.gradient import cosine, norm, two_step_gradient
from vanbench.exact.cycles.mixture import bernoulli_mixture
from vanbench.exact.cycles.thermodynamics import Thermo
from vanbench.exact.errors import InputError
from vanbench.exact.seeds import stream
from vanbench.neural.cycles import rbm
from vanbench.neural.cycles.training import (
    Average,
    Schedule,
    check_average,
    check_data,
    initial_params,
    one_model,
    train,
)

Progress = Callable[[str, int, int], None]  # (stage, done, total)
LONG_CHAIN_STRIDE = 4  # the long-chain estimator takes every fourth double step: its cost is steps times images
GRADIENT_RUNS = 12  # models whose gradients are compared along training: each needs sums over 2^D configurations


@dataclass(frozen=True)
class Config:
    """The options of a study."""

    hidden: int = 6
    runs: int = 36
    epochs: int = 120
    reading: Reading = "softmax"
    average: Average = "path"
    seed: int = 1
    samples: int = 4096  # visible states per hidden state in the final estimate of M
    trace_samples: int = 4096  # the same along training: with few, a rare transition unseen in one direction biases
    machine_rate: float = 0.01  # of RMSprop, for the equilibrium machine: 0.1 and 0.003 serve it worse on the digits
    chain_steps: int = 400  # double steps counted, in each of
    chains: int = 64  # independent chains


@dataclass
class Study:
    """Results. ``runs``, ``rbm``, ``trace``, ``gradients``, ``claims`` are tables, one model or one epoch a row."""

    dataset: Dataset
    config: Config
    runs: pd.DataFrame
    rbm: pd.DataFrame
    trace: pd.DataFrame
    gradients: pd.DataFrame
    claims: pd.DataFrame
    machine: pd.DataFrame  # the comparison with the equilibrium machine
    models: list[CycleParams]
    chains: list[ExactChain | SampledChain]
    classes: list[np.ndarray] = field(default_factory=list)
    wall_s: dict[str, float] = field(default_factory=dict)  # training alone, judging with the trace, baseline
    training_cpu_s: float = 0.0  # of all its threads

    @property
    def exact(self) -> bool:
        return self.dataset.x.shape[1] <= MAX_VISIBLE


def check(dataset: Dataset, config: Config) -> None:
    """Raise InputError for options that exclude each other or are out of range, before any work."""
    check_hidden(config.hidden, config.reading)
    check_average(config.average)
    if config.runs < 1 or config.epochs < 1:
        raise InputError("At least one run and one epoch are needed: pass --runs and --epochs of 1 or more.")
    if config.seed < 0:
        raise InputError(f"A seed is a non-negative integer, got {config.seed}.")
    if config.hidden > MAX_BINARY_HIDDEN:
        raise InputError(
            f"The equilibrium machine's 2^L hidden states are summed: at most {MAX_BINARY_HIDDEN} hidden units, "
            f"got {config.hidden}."
        )
    if not 0 < config.machine_rate < 1e3:
        raise InputError(f"--machine-rate {config.machine_rate:g}: a rate is a positive number.")
    check_data(dataset.x)


def study(dataset: Dataset, config: Config, progress: Progress = lambda *_: None) -> Study:
    """Run everything. Raises InputError on bad options before any training starts."""
    check(dataset, config)
    schedule = Schedule(epochs=config.epochs, average=config.average)
    start = initial_params(dataset.x, config.hidden, config.runs, config.reading, config.seed)
    trace: list[dict] = []
    gradients: list[dict] = []
    begun = clock = time.perf_counter()
    cpu, training_s, training_cpu_s = time.process_time(), 0.0, 0.0
    for epoch, params in train(dataset.x, start, schedule, config.seed):
        training_s += time.perf_counter() - clock
        training_cpu_s += time.process_time() - cpu
        if epoch in trace_epochs(config.epochs):
            models = [one_model(params, r) for r in range(config.runs)]
            trace += [_trace_row(epoch, r, m, dataset.x, config) for r, m in enumerate(models)]
        if dataset.x.shape[1] <= MAX_VISIBLE and epoch in gradient_epochs(config.epochs):
            gradients += [_gradient_row(epoch, r, m, dataset.x) for r, m in enumerate(models[:GRADIENT_RUNS])]
        progress("training", epoch, config.epochs)
        clock, cpu = time.perf_counter(), time.process_time()
    runs, chains, classes = [], [], []
    for r, model in enumerate(models):
        row, chain, states = judge(model, dataset, config, r)
        if config.reading != "binary":
            row["mixture_ceiling"] = bernoulli_mixture(dataset.x, model.w, chain.pi)[2]
        runs.append({"run": r} | row)
        chains.append(chain)
        classes.append(states)
        progress("judging", r + 1, config.runs)
    judged = time.perf_counter()
    baseline = _baseline(dataset, config, schedule, progress)
    wall_s = {"training": training_s, "judging": judged - begun - training_s, "baseline": time.perf_counter() - judged}
    frame = pd.DataFrame(runs)
    n_states = len(hidden_states(config.hidden, config.reading))
    return Study(
        dataset=dataset,
        config=config,
        runs=frame,
        rbm=baseline,
        trace=pd.DataFrame(trace),
        gradients=pd.DataFrame(gradients),
        claims=claims(frame, n_states, config.seed),
        machine=against_machine(frame, baseline, config.seed),
        models=models,
        chains=chains,
        classes=classes,
        wall_s=wall_s,
        training_cpu_s=training_cpu_s,
    )


def trace_epochs(last: int) -> set[int]:
    """Epochs at which likelihood and entropy production are recorded."""
    return {0, 1, 2, 5, 10, last} | set(range(20, last + 1, 20))


def gradient_epochs(last: int) -> set[int]:
    """Epochs at which the two gradients are compared."""
    return {e for e in (0, 1, 2, 5, 10, 20, 40, 80) if e <= last} | {last}


def _seed(config: Config, stage: int, run: int) -> np.random.SeedSequence:
    return stream(config.seed, stage, run)


def _trace_row(epoch: int, run: int, model: CycleParams, x: np.ndarray, config: Config) -> dict:
    chain: ExactChain | SampledChain
    if model.n_visible <= MAX_VISIBLE:
        chain, error = enumerate_chain(model), 0.0
    else:
        chain = rao_blackwell(model, config.trace_samples, _seed(config, 1 + epoch, run))
        error = chain.stderr(lambda t: t.entropy_production)
    value = occupancy_log_likelihood(model, x, chain.pi).mean()
    production = chain.thermo.entropy_production
    return {
        "epoch": epoch,
        "run": run,
        "log_likelihood": value,
        "entropy_production": production,
        "entropy_production_stderr": error,
    }


def _gradient_row(epoch: int, run: int, model: CycleParams, x: np.ndarray) -> dict:
    """Approximate against exact gradient of one model, all the data as minibatch."""
    chain = enumerate_chain(model)
    right, two_step = chain.gradient(x), chain.approximate_gradient(x)
    rng = np.random.default_rng([epoch, run])
    p = np.exp(chain.log_p)
    previous = chain.x[rng.choice(len(p), size=Schedule().batch_last, p=p / p.sum())]
    sampled = two_step_gradient(model, x, previous)[0]
    return {
        "epoch": epoch,
        "run": run,
        "exact_norm": norm(right),
        "two_step_norm": norm(two_step),
        "gap_norm": norm({k: right[k] - two_step[k] for k in right}),
        "cosine": cosine(right, two_step),
        "cosine_sampled": cosine(right, sampled),
    }


def judge(
    model: CycleParams, dataset: Dataset, config: Config, run: int
) -> tuple[dict, ExactChain | SampledChain, np.ndarray]:
    """All numbers of one trained model: ``(row, chain, class of each hidden state)``; times in double steps."""
    sampled = rao_blackwell(model, config.samples, _seed(config, 10_001, run))
    path = simulate(model, config.chain_steps, config.chains, _seed(config, 10_002, run))
    n_states = len(sampled.pi)
    occupancy = np.bincount(path.ravel(), minlength=n_states) / path.size
    estimate = {
        "log_likelihood": occupancy_log_likelihood(model, dataset.x, sampled.pi).mean(),
        "entropy_production": sampled.thermo.entropy_production,
        "full_entropy_production": sampled.full_entropy_production,
    }
    errors = _errors(sampled, log_visible(model, dataset.x)) | {
        "full_entropy_production_stderr": sampled.full_entropy_production_stderr
    }
    chain: ExactChain | SampledChain = sampled
    row = dict(estimate)
    if model.n_visible <= MAX_VISIBLE:
        chain = enumerate_chain(model)
        row["log_likelihood"] = chain.log_likelihood(dataset.x).mean()
        row["entropy_production"] = chain.thermo.entropy_production
        row["full_entropy_production"] = chain.full_entropy_production()
        row |= {f"sampled_{k}": v for k, v in estimate.items()} | {f"sampled_{k}": v for k, v in errors.items()}
        errors = dict.fromkeys(errors, 0.0)
    row |= (
        errors
        | _thermo_columns(chain.thermo)
        | {
            "counted_log_likelihood": occupancy_log_likelihood(model, dataset.x, _seen(occupancy, path.size)).mean(),
            "long_chain_log_likelihood": chain_log_likelihood(model, dataset.x, path[::LONG_CHAIN_STRIDE]).mean(),
            "counted_entropy_production": counted_entropy_production(transition_counts(path, n_states)),
            "counted_entropy_production_stderr": counted_stderr(path, n_states),
        }
    )
    if dataset.labels is None:
        return row, chain, np.zeros(n_states, dtype=int)
    frequency = dataset.class_frequency
    assert frequency is not None
    share = class_posterior(model, chain.pi, dataset.x, dataset.labels, len(frequency))
    states = unit_classes(model, dataset.x, dataset.labels, len(frequency))
    divergences = {
        "class_kl": unit_divergence(frequency, states, chain.pi),
        "posterior_class_kl": class_divergence(frequency, share @ chain.pi),
        "classes_without_unit": int(np.setdiff1d(np.flatnonzero(frequency), states).size),
    }
    return row | divergences, chain, states


def _seen(occupancy: np.ndarray, visits: int) -> np.ndarray:
    """Occupancies from visits; an unvisited state counts half a visit, so that no image has probability zero."""
    filled = np.where(occupancy > 0, occupancy, 0.5 / visits)
    return filled / filled.sum()


def _thermo_columns(thermo: Thermo) -> dict:
    return {
        "decorrelation_time": thermo.decorrelation_time,
        "self_transition": thermo.self_transition,
        "max_self_transition": thermo.max_self_transition,
        "max_current": thermo.max_current,
        "max_affinity": thermo.max_affinity,
    }


def _errors(chain: SampledChain, log_a: np.ndarray) -> dict:
    return {
        "log_likelihood_stderr": chain.stderr(lambda t: float(logsumexp(log_a + np.log(t.pi), axis=-1).mean())),
        "entropy_production_stderr": chain.stderr(lambda t: t.entropy_production),
        "decorrelation_time_stderr": chain.stderr(lambda t: t.decorrelation_time),
        "self_transition_stderr": chain.stderr(lambda t: t.self_transition),
        "max_self_transition_stderr": chain.stderr(lambda t: t.max_self_transition),
    }


def _baseline(dataset: Dataset, config: Config, schedule: Schedule, progress: Progress) -> pd.DataFrame:
    """The restricted Boltzmann machines: exact likelihood, and the likelihood by the estimator of the chains."""
    params = None
    schedule = replace(schedule, rate=config.machine_rate, average="ensemble")  # its gradient holds moments of chains
    for epoch, latest in rbm.train_rbm(dataset.x, config.hidden, config.runs, schedule, config.seed):
        params = latest
        progress("baseline", epoch, schedule.epochs)
    assert params is not None
    rows = []
    for r in range(config.runs):
        model = one_model(params, r)
        path = simulate(model, config.chain_steps, config.chains, _seed(config, 10_003, r))
        occupancy = np.bincount(path.ravel(), minlength=2**config.hidden) / path.size
        rows.append(
            {
                "run": r,
                "log_likelihood": rbm.log_likelihood(model, dataset.x).mean(),
                "counted_log_likelihood": occupancy_log_likelihood(
                    model, dataset.x, _seen(occupancy, path.size)
                ).mean(),
            }
        )
    return pd.DataFrame(rows)
