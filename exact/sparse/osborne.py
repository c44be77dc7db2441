"""Osborne's iteration, J. ACM 7, 338 (1960), on the off-diagonal elements of a sparse matrix by rows and by columns."""

from __future__ import annotations

import numpy as np

from vanbench.exact.compiled import compiled

STILL = 1e-2  # change of a logarithm in a sweep at which no more is gained


@compiled()
def osborne(row_ptr, row_index, row_data, col_ptr, col_index, col_data, logs, sweeps):  # type: ignore[no-untyped-def]
    """Cycles over the states: each in turn gets equal sums in its row and its column."""
    for _ in range(sweeps):
        largest = 0.0
        for i in range(logs.size):
            row = col = 0.0
            for k in range(row_ptr[i], row_ptr[i + 1]):
                row += row_data[k] * np.exp(logs[row_index[k]] - logs[i])
            for k in range(col_ptr[i], col_ptr[i + 1]):
                col += col_data[k] * np.exp(logs[i] - logs[col_index[k]])
            if row > 0.0 and col > 0.0:
                step = 0.5 * np.log(row / col)
                logs[i] += step
                largest = max(largest, abs(step))
        if largest < STILL:
            break
