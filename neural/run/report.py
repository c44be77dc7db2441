"""The records of a report time: values of the quantities asked for, with what is known of their errors."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from vanbench.exact.definitions.quantities import FREE_ENERGY, evolved, middle
from vanbench.exact.definitions.quantity import Quantity
from vanbench.exact.warning import RunWarning
from vanbench.neural import quantum, trackers
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.run import checks
from vanbench.neural.run.defect import Carried, Defects, of_ln_z, of_mean
from vanbench.neural.run.fields import Fields
from vanbench.neural.run.log import Row, RunLog
from vanbench.neural.trackers.base import Problem


@dataclass
class Asked:
    """The ``quantities``; whether observables are of the ``middle`` of the trajectory; the last report time."""

    quantities: tuple[str, ...]
    middle: bool
    end: float


@dataclass
class Report:
    """Of the networks as they are at ``t``; ``warnings`` of what is wrong with it."""

    problem: Problem
    runner: trackers.Tracker
    state: Any  # of the runner
    log: RunLog
    fields: Fields
    asked: Asked
    defects: Defects | None
    t: float
    warnings: list[RunWarning] = field(default_factory=list)

    def rows(self) -> list[Row]:
        ln_z = self._ln_z_rows()
        for row in ln_z:
            if text := checks.uncertain(float(row["value"]), float(row.get("error_estimate") or 0.0)):
                self.warnings.append(RunWarning("error estimate", text, "ln_Z", row["s"], self.t))
        return [*ln_z, *self._difference_rows(), *self._free_energy_rows(), *self._observable_rows()]

    @cached_property
    def carried(self) -> list[list[Carried]]:
        """Of each trained field, what the defects so far do; empty where they cannot be weighed."""
        if self.defects is None:
            return []
        return [self.defects.carried(self.problem, r, self.t) for r in range(len(self.fields.trained))]

    def _noisy(self) -> bool:
        return self.defects is not None and self.defects.error is None

    def _estimate(self, weights: np.ndarray, stderr: float) -> float | None:
        """Of the combination ``weights . ln_Z``: its distance from continuous time."""
        if self.log.off is not None:
            return float(np.hypot(weights @ self.log.off, stderr))
        if not any(self.carried):
            return None
        return float(np.hypot(of_ln_z(self.carried, weights, self._noisy()), stderr))

    def _ln_z_rows(self) -> list[Row]:
        rows: list[Row] = []
        n = self.problem.system.n_sites
        for r, s in self.fields.reported:
            if not self.log.ln_z:  # t = 0
                start = {"value": 0.0, "sampling_stderr": 0.0, "error_estimate": 0.0}
                rows.append({"quantity": "ln_Z", "s": s, "t": self.t, **start})
            own = np.eye(len(self.fields.trained))[r]
            for name, value in self.log.ln_z.items():
                stderr = float(np.sqrt(max(0.0, self.log.covariance[name][r, r])))
                row = {"s": s, "t": self.t, "value": float(value[r]), "sampling_stderr": stderr, "estimator": name}
                rows.append({"quantity": f"ln_Z:{name}", **row})
                if name == self.log.default:
                    row["error_estimate"] = self._estimate(own, stderr)
                    if s == 0:  # a generator conserves probability: ln Z is 0
                        row["error_estimate"] = abs(float(value[r]))
                    if self.defects is not None:
                        row["score"] = self.defects.score(r, self.t, n)
                    rows.append({"quantity": "ln_Z", **row})
            if self.log.summed is not None:
                exact = {"value": float(self.log.summed[r]), "sampling_stderr": 0.0}
                rows.append({"quantity": "ln_Z_summed", "s": s, "t": self.t, **exact})
        return rows

    def _difference_rows(self) -> list[Row]:
        rows: list[Row] = []
        n = self.problem.system.n_sites
        for quantity in evolved(self.asked.quantities):
            if not quantity.order or self.t == 0:
                continue
            ln_z, volume = self.log.ln_z[self.log.default], n * self.t
            cut = self.fields.truncation(quantity.order, ln_z, volume)
            for (s, weights), off in zip(self.fields.derivative(quantity.order), cut):
                value = -float(weights @ ln_z) / volume
                stderr = self.log.stderr(self.log.default, weights) / volume
                estimate = self._estimate(weights / volume, float(np.hypot(stderr, off / volume)))
                row = {"s": s, "t": self.t, "value": value, "sampling_stderr": stderr, "error_estimate": estimate}
                rows.append({"quantity": quantity.name, **row})
        return rows

    def _free_energy_rows(self) -> list[Row]:
        """Of equilibrium, from ``ln Z``."""
        if FREE_ENERGY not in self.asked.quantities or self.t == 0:
            return []
        from vanbench.exact.ising.gibbs import free_energy

        rows: list[Row] = []
        for r, s in self.fields.reported:
            own = np.eye(len(self.fields.trained))[r]
            ln_z = float(self.log.ln_z[self.log.default][r])
            stderr = self.log.stderr(self.log.default, own) / abs(self.problem.system.n_sites * s * self.t)
            value = free_energy(self.problem.system, ln_z, s, self.t)
            rows.append({"quantity": FREE_ENERGY, "s": s, "t": self.t, "value": value, "sampling_stderr": stderr})
        return rows

    def _observable_rows(self) -> list[Row]:
        if self.problem.system.quantum is not None:
            return self._quantum_rows()
        observed = [row for row in evolved(self.asked.quantities) if row.observe]
        if not observed:
            return []
        seen = self.runner.observe(self.problem, self.state)
        self.warnings += checks.of_samples(seen.effective, self.fields.owners, self.t)
        x, weights = seen.x, seen.weights
        rows: list[Row] = []
        for r, s in self.fields.reported:
            w = weights[r] if weights is not None else None
            for quantity in sorted(observed, key=lambda row: len(row.axes)):  # profiles last
                values = torch.from_numpy(quantity.values(self.problem.system, x[r].cpu().numpy(), s)).to(x.device)
                head = {"quantity": middle(quantity.name) if self.asked.middle else quantity.name, "s": s, "t": self.t}
                if values.ndim == 1:
                    own = [{**head, **_mean(values, w)}]
                else:
                    own = [{**head, **_mean(values[:, i], w), "site": i} for i in range(values.shape[1])]
                self._estimate_means(own, quantity, r, s, seen.certain[r] if seen.certain else None)
                rows += own
        return rows

    def _estimate_means(self, rows: list[Row], quantity: Quantity, r: int, s: float, certain: float | None) -> None:
        """The distances of an observable of the end, a row each; ``certain``: in its standard errors."""
        if certain is not None:
            for row in rows:
                row["error_estimate"] = certain * row["sampling_stderr"]
            return
        if not any(self.carried) or (self.asked.middle and self._noisy()):  # walkers are at the end
            return
        ends = [quantity.values(self.problem.system, one.x, s) for one in self.carried[r]]
        for row, off in zip(rows, of_mean(self.carried[r], ends, self._noisy())):
            row["error_estimate"] = float(np.hypot(off, row["sampling_stderr"]))

    def _quantum_rows(self) -> list[Row]:
        seen = self.runner.observe(self.problem, self.state)
        x, weights = seen.x, seen.weights
        rows: list[Row] = []
        for r, s in self.fields.reported:
            net, w = self.problem.ensemble.copy_of(r), None if weights is None else weights[r]
            outcomes, known = quantum.Outcomes(self.problem.system, net, x[r], w), self._quantum_distances(net, r, s)
            for row in outcomes.rows(self.asked.quantities, self.t >= self.asked.end, s):
                spread = row.pop("spread", None)
                off = known.get(_place(row))
                if off is None and spread is not None and self.defects is not None:
                    off = self.defects.bound(r, float(spread))
                if off is not None:
                    row["error_estimate"] = float(np.hypot(off, row["sampling_stderr"]))
                elif seen.certain is not None and spread is not None:
                    row["error_estimate"] = seen.certain[r] * row["sampling_stderr"]
                rows.append({"s": s, "t": self.t, **row})
        return rows

    def _quantum_distances(self, net: Autoregressive, r: int, s: float) -> dict[tuple, float]:
        """Of averages over the outcomes, where all of them were summed over."""
        out: dict[tuple, float] = {}
        for part in self.carried[r] if self.carried else []:
            device = self.problem.ensemble.device
            every, p = torch.from_numpy(part.x).to(device), torch.from_numpy(part.weight).to(device)
            outcomes = quantum.Outcomes(self.problem.system, net, every, p, part.shift)
            for row in outcomes.rows(self.asked.quantities, False, s):
                if (off := row.get("error_estimate")) is not None:
                    out[_place(row)] = float(np.hypot(out.get(_place(row), 0.0), off))
        return out


def _place(row: Row) -> tuple:
    return row["quantity"], row.get("site"), row.get("distance")


def _mean(values: Tensor, weights: Tensor | None) -> Row:
    if weights is not None:
        return {"value": float(weights @ values), "sampling_stderr": 0.0}
    return {"value": float(values.mean()), "sampling_stderr": float(values.std() / np.sqrt(len(values)))}
