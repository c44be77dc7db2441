"""What a run has seen so far: accumulated ``ln Z`` with its covariance, a row for each step, the records asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from vanbench.exact.warning import RunWarning
from vanbench.neural.trackers import Step

Row = dict[str, Any]
ARRAYS = ("off", "summed", "followed", "lost", "fastest", "left")


@dataclass
class RunLog:
    """Plain numbers only, so that it can be stored and read back exactly."""

    s: list[float]
    t: float = 0.0
    opened: np.ndarray | float = 0.0  # ln Z before the first step (`opening`)
    steps: int = 0
    default: str = ""
    negative: int = 0
    steepest: float = 0.0
    wall: float = 0.0
    ln_z: dict[str, np.ndarray] = field(default_factory=dict)
    covariance: dict[str, np.ndarray] = field(default_factory=dict)
    summed: np.ndarray | None = None
    followed: np.ndarray | None = None  # length of the exact path so far, in the Fisher metric, by field
    lost: np.ndarray | None = None  # what of it the networks did not follow
    fastest: np.ndarray | None = None  # the largest length a unit of time
    left: np.ndarray | None = None  # of the last step, what was not followed a unit of time
    off: np.ndarray | None = None  # how far ln Z is off so far, beside its standard error
    warnings: list[RunWarning] = field(default_factory=list)
    rows: list[Row] = field(default_factory=list)
    records: list[Row] = field(default_factory=list)

    def add(self, step: Step, wall: float) -> None:
        """Append a step."""
        self.t, self.steps, self.default = self.t + step.dt, self.steps + 1, step.default
        self.negative, self.steepest = self.negative + step.negative, max(self.steepest, step.steepest)
        self.wall = wall
        for name, increment in step.increments.items():
            value, covariance = (a.double().cpu().numpy() for a in (increment.value, increment.covariance))
            self.ln_z[name] = self.ln_z.get(name, self.opened) + value
            self.covariance[name] = self.covariance.get(name, 0.0) + covariance
        if step.summed is not None:
            self.summed = (self.opened if self.summed is None else self.summed) + step.summed.double().cpu().numpy()
        if step.off is not None:
            self.off = step.off.double().cpu().numpy()
        diagnostics = {name: value.detach().cpu().numpy() for name, value in step.diagnostics.items()}
        if "path" in diagnostics:
            path = diagnostics["path"].astype(float)
            lost = path * diagnostics["residual"]
            self.followed = path + (0.0 if self.followed is None else self.followed)
            self.lost = lost + (0.0 if self.lost is None else self.lost)
            self.fastest = np.maximum(path / step.dt, 0.0 if self.fastest is None else self.fastest)
            self.left = lost / step.dt
        for r, s in enumerate(self.s):
            row: Row = {"step": self.steps, "t": self.t, "s": s, "wall": wall, "negative": step.negative}
            for name in step.increments:
                row[f"ln_Z:{name}"] = float(self.ln_z[name][r])
                row[f"stderr:{name}"] = float(np.sqrt(max(0.0, self.covariance[name][r, r])))
            if self.summed is not None:
                row["ln_Z_summed"] = float(self.summed[r])
            row.update({name: float(value[r]) for name, value in diagnostics.items()})
            self.rows.append(row)

    def warn(self, warning: RunWarning) -> bool:
        """Keep ``warning``, unless the run has warned of the same before."""
        if warning.key in {known.key for known in self.warnings}:
            return False
        self.warnings.append(warning)
        return True

    def stderr(self, name: str, weights: np.ndarray) -> float:
        """Of the combination ``weights . ln_Z`` over the counting fields."""
        return float(np.sqrt(max(0.0, weights @ self.covariance[name] @ weights)))

    def frame(self) -> pd.DataFrame:
        """One row for each step and counting field."""
        return pd.DataFrame(self.rows)

    def to_dict(self) -> dict[str, Any]:
        """For a checkpoint: lists and numbers only."""
        apart = ("ln_z", "covariance", "warnings", "opened", *ARRAYS)
        plain = {k: v for k, v in self.__dict__.items() if k not in apart}
        arrays = {k: getattr(self, k) for k in ARRAYS}
        return {
            **plain,
            **{k: None if v is None else v.tolist() for k, v in arrays.items()},
            "warnings": [asdict(warning) for warning in self.warnings],
            "opened": np.asarray(self.opened).tolist(),
            "ln_z": {k: v.tolist() for k, v in self.ln_z.items()},
            "covariance": {k: v.tolist() for k, v in self.covariance.items()},
        }

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> RunLog:
        """Of `to_dict`; raises ``KeyError``, ``TypeError`` or ``ValueError`` for anything else."""
        if not all(isinstance(stored[k], int | float) for k in ("t", "steps", "negative", "steepest", "wall")):
            raise TypeError("a time, a number of steps or a rate is no number")
        if not (isinstance(stored["default"], str) and all(isinstance(s, int | float) for s in stored["s"])):
            raise TypeError("the name of an estimator is no text, or a counting field no number")
        if not all(isinstance(row, dict) and "t" in row for row in [*stored["rows"], *stored["records"]]):
            raise TypeError("a row is none")
        arrays = {
            "opened": np.array(stored.get("opened", 0.0), dtype=float),
            "ln_z": {k: np.array(v, dtype=float) for k, v in stored["ln_z"].items()},
            "covariance": {k: np.array(v, dtype=float) for k, v in stored["covariance"].items()},
            **{k: None if stored.get(k) is None else np.array(stored[k], dtype=float) for k in ARRAYS},
            "warnings": [RunWarning(**warning) for warning in stored.get("warnings", [])],
        }
        return RunLog(**{**stored, **arrays})
