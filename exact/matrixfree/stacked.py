"""A generator and its derivatives in the counting field, as one operator on the stacked vector."""

from __future__ import annotations

from collections.abc import Sequence
from math import comb

import numpy as np

from vanbench.exact.matrixfree.kernel import Operator


class Stacked:
    """``d/dt (p, p', p'') = [[W, 0, 0], [W', W, 0], [W'', 2 W', W]] (p, p', p'')`` without a matrix (Leibniz)."""

    def __init__(self, operators: Sequence[Operator]):
        self.operators, self.size = operators, operators[0].size

    def apply(self, v: np.ndarray, out: np.ndarray, a: float = 1.0, b: float = 0.0) -> None:
        """Writes ``a * A v + b * out`` to ``out``."""
        parts, into = (x.reshape(len(self.operators), self.size) for x in (v, out))
        for i, target in enumerate(into):
            self.operators[0].apply(parts[i], target, a, b)
            for j in range(i):
                self.operators[i - j].apply(parts[j], target, a * comb(i, j), 1.0)

    def __matmul__(self, v: np.ndarray) -> np.ndarray:
        out = np.zeros_like(v)
        self.apply(v, out)
        return out
