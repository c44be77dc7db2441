"""Maximum likelihood: make a network's distribution that of the configurations one has measured.

The loss is the mean of -ln p(x) over configurations, the KL divergence from the data up to the data's
entropy. A part of the configurations is held out; training stops when their likelihood has not improved for
`patience` epochs, and the best epoch's parameters are kept.
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vanbench.exact.errors import InputError
from vanbench.neural.autoregressive import Autoregressive

CHUNK = 4096  # configurations evaluated at once: 16 x 16 with 180 units stays below 100 MB
SYMMETRIES = ("translations", "flip")


@dataclass(frozen=True)
class Training:
    """How to train.

    `batches` a pass over the configurations is cut into; `epochs` at most; `learning_rate` at its peak (one
    cosine cycle); `validation` fraction held out; `patience` in epochs; `symmetries` among "translations"
    (all of a periodic lattice) and "flip" (value v -> d-1-v of every site): each batch is moved by a random
    element, which assumes that the physics has that symmetry.
    """

    batches: int = 128
    epochs: int = 60
    learning_rate: float = 2e-3
    weight_decay: float = 0.0
    validation: float = 0.1
    patience: int = 10
    symmetries: tuple[str, ...] = ()
    seed: int = 1

    def __post_init__(self) -> None:
        if self.batches < 1 or self.epochs < 1 or self.patience < 1:
            raise InputError("batches, epochs and patience must be at least 1")
        if not 0 < self.validation < 1:
            raise InputError("validation is the fraction held out: give a number between 0 and 1, e.g. 0.1")
        if not (math.isfinite(self.learning_rate) and self.learning_rate > 0):
            raise InputError("the learning rate must be a positive number, e.g. 0.002")
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise InputError("weight decay must be zero or a positive number")
        for name in self.symmetries:
            if name not in SYMMETRIES:
                raise InputError(f"unknown symmetry {name!r}: use {' and '.join(SYMMETRIES)}")


@dataclass
class Fit:
    """What training found. `history`: one row an epoch; `nll` per configuration on the held-out part, with
    its error.
    """

    history: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    nll: float = float("inf")
    nll_error: float = float("nan")


def check_configurations(x: NDArray, n_sites: int, local_dim: int) -> NDArray[np.int8]:
    """Configurations (n, n_sites) as int8 in 0..local_dim-1, or InputError with what is wrong.

    Refuses: not real numbers, a single number, NaN, empty, wrong number of sites, values outside the
    alphabet, fewer than two different rows.
    """
    x = np.asarray(x)
    if x.dtype.kind not in "biuf" or x.ndim == 0:
        raise InputError(
            "configurations must be one array of numbers (n, n_sites): not text, complex numbers, a single number or "
            "rows that differ in length"
        )
    if x.size == 0:
        raise InputError("there are no configurations in the data: give at least two different ones")
    x = x.reshape(len(x), -1)
    if x.shape[1] != n_sites:
        raise InputError(
            f"each configuration has {x.shape[1]} values, but the lattice has {n_sites} sites: check --shape"
        )
    if not np.all(np.isfinite(x)):
        raise InputError("the configurations contain NaN or infinite values: remove these rows")
    if np.any((x < 0) | (x > local_dim - 1) | (x != np.round(x))):
        raise InputError(f"configurations must hold integers 0..{local_dim - 1}, found values outside of them")
    if not np.any(x != x[0]):
        raise InputError("all configurations are the same: a distribution cannot be learned from a single one")
    return x.astype(np.int8)


def split(n: int, training: Training) -> tuple[NDArray, NDArray]:
    """Indices (training, held out) of n configurations, the same for the same seed; at least one on either
    side.
    """
    order = np.random.default_rng(training.seed).permutation(n)
    held = min(max(1, round(training.validation * n)), n - 1)
    return np.sort(order[held:]), np.sort(order[:held])


@torch.no_grad()
def log_prob(net: Autoregressive, x: NDArray | Tensor) -> NDArray[np.float64]:
    """ln p of many configurations (n, n_sites), in chunks; (n,) float64."""
    device = net.site_bias.device
    parts = [net.log_prob(torch.as_tensor(part, device=device)).double().cpu() for part in _chunks(x)]
    return torch.cat(parts).numpy()


def _chunks(x: NDArray | Tensor):
    return (x[k : k + CHUNK] for k in range(0, len(x), CHUNK))


def moved(
    x: Tensor, shape: tuple[int, ...], local_dim: int, symmetries: tuple[str, ...], rng: torch.Generator
) -> Tensor:
    """A batch (n, n_sites) with one random symmetry element applied to all of it."""
    if "translations" in symmetries:
        shifts = [int(torch.randint(length, (), generator=rng)) for length in shape]
        axes = tuple(range(1, 1 + len(shape)))
        x = torch.roll(x.reshape(len(x), *shape), shifts, axes).reshape(len(x), -1)
    if "flip" in symmetries and torch.rand((), generator=rng) < 0.5:
        x = local_dim - 1 - x
    return x


class _Run:
    """Everything that training changes, so that it can be stopped and resumed at an epoch's end."""

    def __init__(self, net: Autoregressive, training: Training, steps: int):
        self.net, self.fit = net, Fit()
        self.best = copy.deepcopy(net.state_dict())
        self.optimiser = torch.optim.AdamW(
            net.parameters(), lr=training.learning_rate, weight_decay=training.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimiser, training.learning_rate, total_steps=steps, pct_start=0.1
        )
        self.rng = torch.Generator().manual_seed(training.seed)

    def state(self) -> dict:
        """A dictionary of tensors and numbers that `load` takes back (safe for torch.load with
        weights_only).
        """
        return {
            "net": self.net.state_dict(),
            "best": self.best,
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "rng": self.rng.get_state(),
            "fit": vars(self.fit),
        }

    def load(self, state: dict) -> None:
        self.net.load_state_dict(state["net"])
        self.best = state["best"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.schedule.load_state_dict(state["schedule"])
        self.rng.set_state(state["rng"])
        self.fit = Fit(**state["fit"])


def _epoch(run: _Run, x: Tensor, size: int, training: Training) -> float:
    """One pass over the training configurations; returns the mean loss over its batches."""
    net, losses = run.net, []
    order = torch.randperm(len(x), generator=run.rng)
    for k in range(len(x) // size):
        batch = x[order[k * size : (k + 1) * size]]
        batch = moved(batch, net.shape, net.local_dim, training.symmetries, run.rng)
        loss = -net.log_prob(batch).mean()
        run.optimiser.zero_grad()
        loss.backward()
        run.optimiser.step()
        run.schedule.step()
        losses.append(loss.item())
    return float(np.mean(losses))


def fit(
    net: Autoregressive,
    x: NDArray,
    training: Training = Training(),
    *,
    state: dict | None = None,
    on_epoch: Callable[[Fit, Callable[[], dict]], None] | None = None,
) -> Fit:
    """Train `net` in place on configurations x (n, n_sites) and leave it at its best held-out epoch.

    `on_epoch(fit, state)` is called after each epoch; `state()` gives a checkpoint that a later call takes
    as `state` and continues with the same numbers. Raises InputError for bad configurations or if the loss
    stops being finite.
    """
    x = check_configurations(x, net.n_sites, net.local_dim)
    device = net.site_bias.device
    ours, held = split(len(x), training)
    data, held_out = torch.as_tensor(x[ours], device=device), torch.as_tensor(x[held], device=device)
    size = max(1, len(ours) // training.batches)
    run = _Run(net, training, training.epochs * (len(ours) // size))
    if state is not None:
        run.load(state)
    for epoch in range(len(run.fit.history) + 1, training.epochs + 1):
        if epoch > run.fit.best_epoch + training.patience and run.fit.history:
            break
        begun, worked = time.perf_counter(), time.process_time()
        loss = _epoch(run, data, size, training)
        likelihood = -log_prob(net, held_out)
        nll = float(likelihood.mean())
        if not (math.isfinite(loss) and math.isfinite(nll)):
            raise InputError(f"the likelihood stopped being finite in epoch {epoch}: lower the learning rate")
        spent = {"seconds": time.perf_counter() - begun, "cpu_seconds": time.process_time() - worked}
        run.fit.history.append({"epoch": epoch, "train_nll": loss, "validation_nll": nll, **spent})
        if nll < run.fit.nll:
            error = float(likelihood.std(ddof=1) / math.sqrt(len(likelihood))) if len(likelihood) > 1 else 0.0
            run.fit.best_epoch, run.fit.nll, run.fit.nll_error = epoch, nll, error
            run.best = copy.deepcopy(net.state_dict())
        if on_epoch is not None:
            on_epoch(run.fit, run.state)
    net.load_state_dict(run.best)
    return run.fit
