"""What a run has seen so far: accumulated ``ln Z`` with its covariance, a row for each step, the records asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from .trackers import Step

Row = dict[str, Any]


@dataclass
class RunLog:
    """Plain numbers only, so that it can be stored and read back exactly."""

    s: list[float]
    t: float = 0.0
    steps: int = 0
    default: str = ""
    negative: int = 0
    steepest: float = 0.0
    wall: float = 0.0
    ln_z: dict[str, np.ndarray] = field(default_factory=dict)
    covariance: dict[str, np.ndarray] = field(default_factory=dict)
    summed: np.ndarray | None = None
    rows: list[Row] = field(default_factory=list)
    records: list[Row] = field(default_factory=list)

    def add(self, step: Step, wall: float) -> None:
        """Append a step."""
        self.t, self.steps, self.default = self.t + step.dt, self.steps + 1, step.default
        self.negative, self.steepest = self.negative + step.negative, max(self.steepest, step.steepest)
        self.wall = wall
        for name, increment in step.increments.items():
            value, covariance = (a.double().cpu().numpy() for a in (increment.value, increment.covariance))
            self.ln_z[name] = self.ln_z.get(name, 0.0) + value
            self.covariance[name] = self.covariance.get(name, 0.0) + covariance
        if step.summed is not None:
            self.summed = (0.0 if self.summed is None else self.summed) + step.summed.double().cpu().numpy()
        diagnostics = {name: value.detach().cpu().numpy() for name, value in step.diagnostics.items()}
        for r, s in enumerate(self.s):
            row: Row = {"step": self.steps, "t": self.t, "s": s, "wall": wall, "negative": step.negative}
            for name in step.increments:
                row[f"ln_Z:{name}"] = float(self.ln_z[name][r])
                row[f"stderr:{name}"] = float(np.sqrt(max(0.0, self.covariance[name][r, r])))
            if self.summed is not None:
                row["ln_Z_summed"] = float(self.summed[r])
            row.update({name: float(value[r]) for name, value in diagnostics.items()})
            self.rows.append(row)

    def stderr(self, name: str, weights: np.ndarray) -> float:
        """Of the combination ``weights . ln_Z`` over the counting fields."""
        return float(np.sqrt(max(0.0, weights @ self.covariance[name] @ weights)))

    def frame(self) -> pd.DataFrame:
        """One row for each step and counting field."""
        return pd.DataFrame(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint: lists and numbers only."""
        plain = {k: v for k, v in self.__dict__.items() if k not in ("ln_z", "covariance", "summed")}
        return {
            **plain,
            "ln_z": {k: v.tolist() for k, v in self.ln_z.items()},
            "covariance": {k: v.tolist() for k, v in self.covariance.items()},
            "summed": None if self.summed is None else self.summed.tolist(),
        }

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> RunLog:
        arrays = {
            "ln_z": {k: np.array(v) for k, v in stored["ln_z"].items()},
            "covariance": {k: np.array(v) for k, v in stored["covariance"].items()},
            "summed": None if stored["summed"] is None else np.array(stored["summed"]),
        }
        return RunLog(**{**stored, **arrays})
