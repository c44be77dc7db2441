"""``RunWarning``: why a number may be wrong, as data, so that it can stand wherever the number does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class AccuracyWarning(UserWarning):
    """How `neural.track` tells a `RunWarning` to who calls it from Python."""


@dataclass(frozen=True)
class RunWarning:
    """``text``, one sentence, and where it applies: everywhere, unless ``quantity``, ``s`` or ``t`` say less.

    kind
        the name of what was checked; a run warns once of a kind for each quantity and ``s``.
    t
        the first time that it applies to: later values are built on it.
    """

    kind: str
    text: str
    quantity: str | None = None
    s: float | None = None
    t: float | None = None

    def applies(self, row: Mapping[str, Any]) -> bool:
        """Whether it is about a row with ``quantity, s, t``; ``t`` is None or NaN for what has no time."""
        from vanbench.exact.definitions.quantities import row_of  # loads NumPy, which help does without

        name = str(row["quantity"])
        made_of_it = self.quantity == "ln_Z" and row_of(name).order is not None
        if not (self.quantity in (None, name) or made_of_it):
            return False
        s, t = row.get("s"), row.get("t")
        if None not in (self.s, s) and abs(float(s) - self.s) > 1e-9 * max(1.0, abs(self.s)):  # type: ignore
            return False
        return None in (self.t, t) or not float(t) < self.t * (1 - 1e-9)  # type: ignore

    @property
    def key(self) -> tuple[str, str | None, float | None]:
        return self.kind, self.quantity, self.s

    @property
    def sentence(self) -> str:
        """With where it applies in front."""
        where = [] if self.s is None else [f"s = {self.s:g}"]
        where += [] if self.t is None else [f"t = {self.t:.4g}"]
        return f"{', '.join(where)}{': ' if where else ''}{self.text}."
