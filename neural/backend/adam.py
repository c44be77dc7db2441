"""Adam (Kingma and Ba, ICLR 2015), in torch's own arithmetic: the class around it loads a compiler, which takes seconds
at the start of every run, and nothing here compiles."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.optim.adam import adam


@dataclass
class Moments:
    """What `Adam` has averaged so far, a tensor for each parameter; a checkpoint keeps it."""

    first: list[Tensor]
    second: list[Tensor]
    steps: list[Tensor]

    @staticmethod
    def of(parameters: Iterable[Tensor]) -> Moments:
        parameters = list(parameters)
        first, second = ([torch.zeros_like(p, requires_grad=False) for p in parameters] for _ in range(2))
        return Moments(first, second, [torch.zeros(()) for _ in parameters])

    def forget(self) -> None:
        """Begin anew."""
        for value in (*self.first, *self.second, *self.steps):
            value.zero_()


class Adam:
    """At each `step` the ``parameters``, which then have gradients, move at the rate ``rate``; ``moments`` change."""

    def __init__(
        self,
        parameters: Iterable[Tensor],
        rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        moments: Moments | None = None,
    ):
        self.parameters, self.rate, self.betas = list(parameters), rate, betas
        self.moments = moments or Moments.of(self.parameters)
        self.moments.steps = [count.cpu() for count in self.moments.steps]  # also where a GPU's checkpoint is read

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Parameters without a gradient stay as they are."""
        rows = zip(self.parameters, self.moments.first, self.moments.second, self.moments.steps)
        moving = [(p, p.grad, *moments) for p, *moments in rows if p.grad is not None]
        if not moving:
            return
        values, gradients, first, second, steps = (list(part) for part in zip(*moving))
        beta1, beta2 = self.betas
        adam(
            values, gradients, first, second, [], steps,
            amsgrad=False, beta1=beta1, beta2=beta2, lr=self.rate, weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip
