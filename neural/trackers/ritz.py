"""Where detailed balance holds: a short symmetric flow supplies trial states, their span supplies ``ln Z``.

`SymmetricTDVP` loses the rare phase that decides the long times, by a factor that it never gets back. Here its networks
are only trial states: at a growing sequence of times they are taken into a `Span`, which solves for the weights of all
of them. A second flow starts from the start tilted towards value 0, inside the other phase. Once new networks change
neither ``ln Z`` ahead nor the largest Ritz value, the flows stop, and any later time follows from the span.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from exact import InputError

from ..ensemble import Parameters
from ..estimators import Increment
from .base import Problem, Step
from .proposal import checked
from .span import BLOCKS, Span
from .tdvp_symmetric import SymmetricTDVP

AGAIN = 2  # times in a row that nothing must change before the flows stop


class Ritz:
    """``ln Z`` from the span of networks on the symmetric flows from the start and from its tilts.

    dt, flow_samples, damping
        of the flows, as ``dt``, ``samples``, ``damping`` of `SymmetricTDVP`.
    samples, second
        configurations of each network of the span, and those of them for the next power of ``H`` (see `span`).
    starts
        tilts towards value 0 that the other flows start from, one flow for each.
    first, growth
        networks are taken at the flow time ``first``, and then at ``growth`` times the last, but at least ``first``
        later.
    still
        relative change of ``ln Z`` ahead and of the largest Ritz value that counts as none.
    """

    def __init__(
        self,
        problem: Problem,
        dt: float = 0.4,
        flow_samples: int = 800,
        damping: float = 1e-3,
        samples: int = 300,
        second: int = 50,
        starts: tuple[float, ...] | float = (0.7, 1.4, 2.8),
        first: float = 0.5,
        growth: float = 1.5,
        still: float = 2e-4,
    ):
        if samples < 10 * BLOCKS:
            raise InputError(f"samples = {samples}: ritz needs at least {10 * BLOCKS} of each network.")
        if not 2 * BLOCKS <= second <= samples:
            raise InputError(f"second = {second}: it must lie from {2 * BLOCKS} to samples.")
        if not (first > 0 and growth > 1 and still > 0):
            raise InputError("first and still must be positive, growth above 1.")
        self.problem, self.first, self.growth, self.still = problem, first, growth, still
        options = {"dt": dt, "samples": flow_samples, "damping": damping}
        self.flows, self.networks = [], []
        beginning = problem.ensemble.frozen()
        for tilt in (0.0, *checked(starts)):
            problem.ensemble.load(_tilted(beginning, tilt))
            # a flow that begins in the rare phase needs no samples that reach it
            own = options if tilt == 0.0 else {**options, "tilts": ()}
            self.flows.append(SymmetricTDVP(problem, **own))
            self.networks.append(problem.ensemble.frozen())
        self.span = Span(problem, self.flows[0], samples - samples % BLOCKS, second - second % BLOCKS)
        for network in self.networks:
            problem.ensemble.load(network)
            self.span.add()
        problem.ensemble.load(beginning)
        self.now, self.flowed, self.quiet = 0.0, 0.0, 0
        self.ahead: Tensor | None = None
        self.warning = ""
        self.ln_z, self.covariance = self._estimate(0.0)

    @property
    def measured(self) -> Tensor:
        """Configurations of the square of ``exp(t H / 2) v``, ``(R, n, n_sites)``, in proportion to their weights."""
        w = self.span.weights(self.now).cumsum(1)
        assert self.span.x is not None
        n = w.shape[1]
        places = ((torch.arange(n, device=w.device) + 0.5) / n).expand(len(w), n).contiguous()
        picked = torch.searchsorted(w.contiguous(), places).clamp_max(n - 1)
        return self.span.x.gather(1, picked[..., None].expand_as(self.span.x))

    @torch.no_grad()
    def step(self, limit: float) -> Step:
        """To ``limit``, or as far as the next network reaches."""
        following = self._next()
        moving = self.quiet < AGAIN
        dt = min(limit, max(following - self.now, self.first)) if moving else limit
        if moving and self.flowed < self.now + dt:
            self._extend(following)
        self.now += dt
        ln_z, covariance = self._estimate(self.now)
        # the log adds covariances up: a step is given the growth of that of the whole
        increment = Increment(ln_z - self.ln_z, covariance - self.covariance)
        self.ln_z, self.covariance = ln_z, covariance
        top, influences = self.span.top()
        told = {
            "ess": self.span.effective(self.now),
            "scgf": top,
            "scgf_stderr": influences.square().sum(1).sqrt(),
            "flowed": torch.full_like(top, self.flowed),
            "networks": torch.full_like(top, len(self.span)),
        }
        return Step(dt, {"ritz": increment}, "ritz", told, warning=self.warning)

    def _extend(self, time: float) -> None:
        """Flow on to ``time``, take the networks into the span, and see whether that changed anything."""
        for i, flow in enumerate(self.flows):
            self.problem.ensemble.load(self.networks[i])
            at = self.flowed
            while at < time * (1 - 1e-12):
                step = flow.step(time - at)
                at, self.warning = at + step.dt, self.warning or step.warning
            self.networks[i] = self.problem.ensemble.frozen()
            self.span.add()
        self.problem.ensemble.load(self.networks[0])
        self.flowed = time
        if self.ahead is not None:
            found = self._rates(time)
            same = bool(((found - self.ahead).abs() <= self.still * found.abs()).all())
            self.quiet = self.quiet + 1 if same else 0
        self.ahead = self._rates(self._next())

    def _rates(self, time: float) -> Tensor:
        """``ln Z / t`` at twice a flow time, and the largest Ritz value: ``(2, R)``."""
        return torch.stack([self.span.ln_z(2 * time)[0] / (2 * time), self.span.top()[0]])

    def _next(self) -> float:
        """The flow time at which the next networks are taken."""
        return max(self.flowed + self.first, self.flowed * self.growth)

    def _estimate(self, t: float) -> tuple[Tensor, Tensor]:
        value, influences = self.span.ln_z(t)
        return value, influences @ influences.T

    def state(self) -> Mapping[str, Any]:
        return {
            "flows": [dict(flow.state()) for flow in self.flows],
            "networks": [dict(network) for network in self.networks],
            "span": dict(self.span.state()),
            "now": self.now,
            "flowed": self.flowed,
            "quiet": self.quiet,
            "ahead": self.ahead,
        }

    def load(self, state: Mapping[str, Any]) -> None:
        for flow, stored in zip(self.flows, state["flows"]):
            flow.load(stored)
        self.span.load(state["span"])
        for name in ("networks", "now", "flowed", "quiet", "ahead"):
            setattr(self, name, state[name])
        self.ln_z, self.covariance = self._estimate(self.now)


def _tilted(parameters: Parameters, h: float) -> dict[str, Tensor]:
    out = {name: value.clone() for name, value in parameters.items()}
    out["site_bias"][..., 0] += h
    return out
