"""What is checked in every run: pure functions of its numbers, each a sentence where something is wrong, else empty."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from torch import Tensor

from vanbench.exact.warning import RunWarning
from vanbench.neural.run.estimators import ONE_SIDED
from vanbench.neural.run.log import RunLog
from vanbench.neural.trackers import Step

SIGMAS = 5.0  # standard errors: beyond it one normal number in 2 million, so that whole runs stay below 1 in 1000
# Weights that are log-normal with this effective part have a fourth moment 1e4 times the square of the second: from a
# thousand samples neither their mean nor its standard error is known.
FEW = 0.1
TENTH = 0.1  # of ln Z, by which the published estimator may lie below it
UNSURE = 0.05  # of ln Z, or of a weight: an error estimate beyond it belongs beside every use of the number
LEFT = 0.01  # nats that each step may leave: measured 1e-4 to 3e-3 with Adam, where ln Z is right
# Measured on FA, East and TFIM, t up to 10: networks that can follow lose 0.002 to 0.02 of the path, 0.15 with the
# noise of Adam; product networks 0.06 where ln Z still is right to 1e-4, and 0.3 to 0.9 where it is not.
LOST = 0.3
SLOW = 0.1  # of the fastest change: what is left there moves no average by a digit that shows
SHORT = 1e-3  # a path along which no average moves by more than a thousandth of its spread is none


def against_sum(value: float, stderr: float, summed: float, eps: float) -> str:
    """``ln Z`` from samples against the same steps of the same networks summed over all configurations.

    Each step's estimate is unbiased given the networks before it, so the errors of steps add up as squares, which is
    how ``stderr`` was made; ``eps`` is the rounding of one number.
    """
    if not abs(value - summed) > SIGMAS * stderr + rounding(eps, value, summed):
        return ""
    return (
        f"ln Z = {value:.6g} ± {stderr:.2g} from samples, but {summed:.6g} where the same steps are summed over all "
        "configurations: the samples miss what dominates ln Z; trust neither it nor its standard error"
    )


def estimators(one: tuple[str, float, float], other: tuple[str, float, float], eps: float) -> str:
    """Two estimators (name, value, standard error) of the same steps, both exact on average.

    Both are of the normaliser of the same time step, of any order in ``dt``: only noise and rounding part them.
    """
    (a, x, dx), (b, y, dy) = one, other
    joint = float(np.hypot(dx, dy))
    if not abs(x - y) > SIGMAS * joint + rounding(eps, x, y):
        return ""
    return f"the estimators of ln Z disagree: {x:.6g} ± {dx:.2g} by {a}, {y:.6g} ± {dy:.2g} by {b}"


def few_effective(ess: float) -> str:
    """``ess``: the effective part of the samples, from 0 to 1."""
    if not ess < FEW:
        return ""
    return (
        f"the effective sample size falls to {ess:.2g} of the samples: a few of them make the average, and standard "
        "errors cannot be trusted; take more samples, smaller steps or another network"
    )


def loose(value: float, loss: float, joint: float, steps: int) -> str:
    """``-loss``, which lies below ``ln Z`` by the Kullback-Leibler divergence that each step leaves, against it.

    ``joint``: their joint standard error. What healthy fits leave too is allowed for.
    """
    if not abs(value - loss) > SIGMAS * joint + max(TENTH * abs(value), LEFT * steps):
        return ""
    return f"the estimators of ln Z disagree: {value:.6g}, but {loss:.6g} by -loss: the fits of the steps are poor"


def eaten(followed: float, lost: float, fastest: float, left: float) -> str:
    """What a network could not follow: ``lost`` of the length ``followed`` of the exact path, in the Fisher metric.

    Also ``left``, what it leaves now, against the ``fastest`` that the system asked for, both a unit of time: near a
    steady state any network leaves all of next to nothing, for as long as the run goes on.
    """
    if not (followed > SHORT and lost > LOST * followed and left > SLOW * fastest):
        return ""
    return (
        f"the network follows only {max(0.0, 1 - lost / followed):.0%} of the change that the dynamics requires: the "
        "projection loses the signal; take a network that can represent more, or train it longer"
    )


def uncertain(value: float, estimate: float) -> str:
    """``ln Z`` against its error estimate."""
    if not estimate > max(UNSURE * abs(value), UNSURE):
        return ""
    return (
        f"ln Z = {value:.6g} may be off by {estimate:.2g}, its error estimate: take a network that can represent more, "
        "a larger bond, smaller steps, or more samples or clones"
    )


def rounding(eps: float, *values: float) -> float:
    """What sums of logarithms may be off by: ``sqrt(eps)``, far above what ``1 / sqrt(eps)`` steps add up."""
    return float(np.sqrt(eps)) * max(1.0, *map(abs, values))


def of_step(step: Step, before: RunLog, owners: Sequence[float]) -> Iterator[RunWarning]:
    """What a step tells by itself; ``owners``: the ``s`` that was asked for, of each field."""
    end = before.t + step.dt
    for told in step.warnings:
        yield RunWarning(told.kind, told.text, told.quantity, told.s, end)
    if step.negative:
        text = step.negative_targets(before.t) + "; they were clamped as published"
        yield RunWarning("negative targets", text, None, None, end)
    yield from of_samples(step.diagnostics.get("ess"), owners, end)


def of_samples(effective: Tensor | None, owners: Sequence[float], t: float) -> Iterator[RunWarning]:
    """``effective``: the part of the samples that counts, of each field."""
    for ess, s in zip([] if effective is None else effective.tolist(), owners):
        if text := few_effective(ess):
            yield RunWarning("effective samples", text, None, s, t)


def of_report(log: RunLog, owners: Sequence[float], eps: float) -> Iterator[RunWarning]:
    """What the accumulated numbers tell at a report time."""
    for r, s in enumerate(owners):
        for kind, text in _about_ln_z(log, r, eps):
            if text:
                yield RunWarning(kind, text, "ln_Z", s, log.t)
        if log.followed is not None:
            lengths = (log.followed, log.lost, log.fastest, log.left)
            if text := eaten(*(float(length[r]) for length in lengths if length is not None)):
                yield RunWarning("projection", text, None, s, log.t)


def _about_ln_z(log: RunLog, r: int, eps: float) -> Iterator[tuple[str, str]]:
    values = {name: float(value[r]) for name, value in log.ln_z.items()}
    errors = {name: float(np.sqrt(max(0.0, log.covariance[name][r, r]))) for name in values}
    value, stderr = values[log.default], errors[log.default]
    if log.summed is not None:
        yield "ln_Z_summed", against_sum(value, stderr, float(log.summed[r]), eps)
    for name in (name for name in values if name != log.default and not ONE_SIDED & {name, log.default}):
        if name == "loss":
            yield "estimators", loose(value, values[name], float(np.hypot(stderr, errors[name])), log.steps)
        else:
            yield "estimators", estimators((log.default, value, stderr), (name, values[name], errors[name]), eps)
