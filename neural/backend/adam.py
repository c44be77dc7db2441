"""Adam (Kingma and Ba, ICLR 2015), in torch's own arithmetic: the class around it loads a compiler, which takes seconds
at the start of every run, and nothing here compiles."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam


class Adam:
    """Moments of ``parameters``, which have gradients at each `step`; with the rate ``rate``, as it stands then."""

    def __init__(self, parameters: Iterable[Tensor], rate: float, betas: tuple[float, float] = (0.9, 0.999)):
        self.parameters, self.rate, self.betas = list(parameters), rate, betas
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.steps = [torch.zeros(()) for _ in self.parameters]

    def zero_grad(self) -> None:
        for p in self.parameters:
            p.grad = None

    @torch.no_grad()
    def step(self) -> None:
        """Parameters without a gradient stay as they are."""
        rows = zip(self.parameters, self.first, self.second, self.steps)
        moving = [(p, p.grad, *moments) for p, *moments in rows if p.grad is not None]
        if not moving:
            return
        values, gradients, first, second, steps = (list(part) for part in zip(*moving))
        beta1, beta2 = self.betas
        adam(
            values, gradients, first, second, [], steps,
            amsgrad=False, beta1=beta1, beta2=beta2, lr=self.rate, weight_decay=0.0, eps=1e-8, maximize=False,
        )  # fmt: skip

    def state(self) -> Mapping[str, Any]:
        return {"first": self.first, "second": self.second, "steps": self.steps}

    def load(self, state: Mapping[str, Any]) -> None:
        self.first, self.second = (
            [moment.to(p) for moment, p in zip(state[name], self.parameters)] for name in ("first", "second")
        )
        self.steps = [count.cpu() for count in state["steps"]]
