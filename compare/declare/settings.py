"""What tasks are made of: networks with hyperparameters, budgets, goals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

from pydantic import Field, Strict

from vanbench.compare.declare import parse
from vanbench.compare.declare.labels import plain
from vanbench.compare.declare.model import Model

Number = Annotated[float, Strict()]  # neither true nor "0.1"
Whole = Annotated[int, Strict()]  # nor 3.0


class Architecture(Model):
    """A network and its hyperparameters."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def of(cls, text: str, more: Sequence[str] = ()) -> Architecture:
        """As on the command line: ``gru``, ``gru:width=12``, and ``more`` like ``layers=2``."""
        name, options = parse.architecture(text, more)
        return cls(name=name, options=options)

    @property
    def label(self) -> str:
        """``made``, ``made(hidden=64)``: how tables call it."""
        inside = ", ".join(f"{key}={plain(value)}" for key, value in sorted(self.options.items()))
        return f"{self.name}({inside})" if inside else self.name


class Budget(Model):
    """What one run may spend; a run that spends more is stopped, and kept apart from the finished ones."""

    seconds: Number | None = Field(default=None, gt=0)
    cpu_seconds: Number | None = Field(default=None, gt=0)  # of its process: the same on a busy machine


class Goal(Model):
    """What a task is to reach: the largest error of ``quantities`` over time, and CPU seconds (`judge.goals`)."""

    quantities: list[str] = Field(default=["ln_Z"], min_length=1)
    error: Number = Field(gt=0)
    seconds: Number = Field(gt=0)
