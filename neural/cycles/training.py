"""Training the two-kernel generative chain, many independent models in one batched program.

As published (Baiesi and Rosso 2025): the gradient of the last two steps (:mod:`exact.cycles.gradient`), a persistent
chain advanced by T = 48 double steps before each update, the gradient averaged over all of them (Eq. 18), a minibatch
growing linearly from 16 to 160, RMSprop with rate 0.1, 30 updates an epoch, 120 epochs, inputs of B centred by the
data mean; w starts at the clipped log-odds of random 10 % subsets of the data, wbar = abar = 0. Choices made here: the
hidden state of each step is summed over, not drawn; RMSprop's other constants as in torch (0.99, 1e-8); log-odds of
frequencies clipped to [0.01, 0.99]. Sums over paths are taken on logarithms, so that the published rescaling of Q
(which avoids underflow of products of D probabilities) is not needed. The option ``average = "ensemble"`` takes as many
chains as there are images in the minibatch, and the last step of each.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
import torch

from vanbench.exact.cycles.chain import CycleParams, Reading, check_hidden
from vanbench.exact.cycles.gradient import two_step_gradient
from vanbench.exact.errors import InputError, unknown
from vanbench.neural.cycles.chain import PersistentChains

Average = Literal["path", "ensemble"]


@dataclass(frozen=True)
class Schedule:
    """How training goes. Defaults as published."""

    epochs: int = 120
    updates: int = 30  # per epoch
    double_steps: int = 48  # of every persistent chain before each update
    batch_first: int = 16
    batch_last: int = 160
    rate: float = 0.1
    average: Average = "path"  # all double steps of one persistent chain; ensemble: the last ones of many chains

    def batch(self, epoch: int) -> int:
        """Minibatch size in ``epoch`` (from 0), linear from first to last."""
        fraction = epoch / max(1, self.epochs - 1)
        return round(self.batch_first + fraction * (self.batch_last - self.batch_first))


def check_average(average: str) -> None:
    """Raise InputError unless it names a way to average the gradient."""
    if average not in get_args(Average):
        raise unknown("average of the gradient", average, list(get_args(Average)))


def check_data(data: np.ndarray) -> None:
    """Raise InputError unless ``data`` is a non-empty (N, D) array of zeros and ones with N >= 10."""
    if data.ndim != 2 or data.shape[0] < 10 or data.shape[1] < 1:
        raise InputError(f"Training needs at least 10 configurations as rows (N, D), got shape {tuple(data.shape)}.")
    if not np.isin(data, (0, 1)).all():
        raise InputError("The data are not binary: pass --threshold VALUE to binarise them.")


def initial_params(data: np.ndarray, n_hidden: int, runs: int, reading: Reading, seed: int) -> CycleParams:
    """Initial parameters of ``runs`` models, leading axis ``runs``, float64.

    Each column of w is the log-odds of the mean of its own random tenth of the data, frequencies clipped to
    [0.01, 0.99]. Binary units add up, so there the visible bias takes the log-odds of all the data and each column
    the excess of its subset.
    """
    check_hidden(n_hidden, reading)
    check_data(data)
    if runs < 1:
        raise InputError(f"At least one model is needed, got {runs} runs.")
    rng = np.random.default_rng(seed)
    size = max(1, len(data) // 10)
    subset = np.stack([rng.permutation(len(data))[:size] for _ in range(runs * n_hidden)])
    w = _log_odds(data[subset].mean(axis=1)).reshape(runs, n_hidden, -1).transpose(0, 2, 1)
    b = np.zeros((runs, data.shape[1]))
    if reading == "binary":
        b = np.tile(_log_odds(data.mean(axis=0)), (runs, 1))
        w = w - b[:, :, None]
    return CycleParams(
        w=torch.tensor(w.copy(), dtype=torch.float64),
        b=torch.tensor(b, dtype=torch.float64),
        wbar=torch.zeros(runs, n_hidden, data.shape[1], dtype=torch.float64),
        abar=torch.zeros(runs, n_hidden, dtype=torch.float64),
        centre=torch.tensor(data.mean(axis=0), dtype=torch.float64),
        reading=reading,
    )


def _log_odds(frequency: np.ndarray) -> np.ndarray:
    clipped = np.clip(frequency, 0.01, 0.99)
    return np.log(clipped / (1 - clipped))


class Decks:
    """Minibatches of every model from its own shuffled deck; reshuffled when fewer cards than asked are left."""

    def __init__(self, data: np.ndarray, runs: int, seed: int):
        self._data = torch.as_tensor(data, dtype=torch.float64)
        self._runs = runs
        self._generator = torch.Generator().manual_seed(seed)
        self._next = len(data)

    def draw(self, size: int) -> torch.Tensor:
        """(runs, size, D); at most all the data."""
        n = len(self._data)
        size = min(size, n)
        if self._next + size > n:
            self._order = torch.rand(self._runs, n, generator=self._generator).argsort(dim=1)
            self._next = 0
        picked = self._order[:, self._next : self._next + size]
        self._next += size
        return self._data[picked]


GradientOf = Callable[[CycleParams, torch.Tensor, torch.Tensor], dict[str, torch.Tensor]]


def train(
    data: np.ndarray,
    params: CycleParams,
    schedule: Schedule,
    seed: int,
    gradient: GradientOf | None = None,
    tie: Callable[[CycleParams], CycleParams] | None = None,
) -> Iterator[tuple[int, CycleParams]]:
    """Train all models of ``params`` at once on ``data`` (N, D); yields ``(epoch, parameters)`` after each epoch.

    Epoch 0 is the initial state. ``gradient(params, minibatch, chain states)`` returns ascent directions by name and
    defaults to the two-step one; ``tie`` recomputes dependent parameters after an update (the equilibrium baseline).
    The yielded parameters are copies. Raises InputError on bad data or schedule.
    """
    check_data(data)
    if min(schedule.epochs, schedule.updates, schedule.double_steps, schedule.batch_first) < 1:
        raise InputError("Epochs, updates, chain steps and minibatches of the schedule must be at least 1.")
    gradient = gradient or (lambda p, batch, x: two_step_gradient(p, batch, x)[0])
    runs = params.w.shape[0]
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(2)]
    decks = Decks(data, runs, seeds[1])
    params = copy_params(params)
    optimiser = torch.optim.RMSprop(list(params.trainable.values()), lr=schedule.rate, maximize=True)
    path = schedule.average == "path"
    n_chains = 1 if path else max(schedule.batch(0), schedule.batch(schedule.epochs - 1))
    chains = PersistentChains(params, n_chains, seeds[0])
    yield 0, copy_params(params)
    with single_threaded_torch():
        for epoch in range(schedule.epochs):
            size = schedule.batch(epoch)
            for _ in range(schedule.updates):
                walk = (1, schedule.double_steps, schedule.double_steps) if path else (size, schedule.double_steps)
                x = chains.advance(params, *walk)
                ascent = gradient(params, decks.draw(size), x.to(params.w.dtype))
                for name, tensor in params.trainable.items():
                    tensor.grad = ascent[name]
                optimiser.step()
                params = tie(params) if tie else params
            yield epoch + 1, copy_params(params)


@contextmanager
def single_threaded_torch() -> Iterator[None]:
    """One thread per tensor operation: the tensors are small, and barriers between threads cost more than they save."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def copy_params(params: CycleParams) -> CycleParams:
    """Parameters that later updates do not touch."""
    named = {k: getattr(params, k).detach().clone() for k in ("w", "b", "wbar", "abar")}
    return replace(params, **named)


def one_model(params: CycleParams, run: int) -> CycleParams:
    """Model ``run`` of a batch as NumPy float64, the form that :mod:`exact` solves."""
    arrays = {k: getattr(params, k)[run].double().cpu().numpy().copy() for k in ("w", "b", "wbar", "abar")}
    return CycleParams(**arrays, centre=params.centre.double().cpu().numpy().copy(), reading=params.reading)
