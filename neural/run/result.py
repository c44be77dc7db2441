"""``Track``: the outcome of a run, as tables, figures and networks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from vanbench.exact import Connections, InputError
from vanbench.exact.definitions.quantities import kind_of, row_of
from vanbench.exact.definitions.quantity import COUNTED, QUANTUM
from vanbench.exact.errors import optional, unknown
from vanbench.exact.tidy import html
from vanbench.exact.trajectories.doob import Doob
from vanbench.exact.warning import RunWarning
from vanbench.neural.autoregressive import Autoregressive
from vanbench.neural.run.fields import Fields
from vanbench.neural.trackers.base import Problem, few_states
from vanbench.neural.trackers.tangent.amplitude import check_balance

ROUNDED = 9  # digits of a time: 0.30000000000000004 and 0.3 are one


@dataclass(repr=False)
class Track:
    """The outcome of a run: tidy ``records``, a ``log`` with a row for each step and ``s``, ``warnings`` of values that
    may be wrong, and the networks at the final time. ``ended``: why a callback ended the run early, else None."""

    records: pd.DataFrame
    log: pd.DataFrame
    estimator: str
    diagnostics: dict[str, Any]
    problem: Problem
    fields: Fields
    warnings: list[RunWarning]
    ended: str | None = None
    begun: bool = False  # in a network's distribution, not the system's
    path: str = ""  # what the networks hold: P, or the square of psi; empty for neither

    def __repr__(self) -> str:
        times = self.records["t"] if len(self.records) else pd.Series([0.0])
        told = [f"{self.problem.system!r}", f"s = {_numbers(self.fields.asked)}", f"t = {_numbers(times.unique())}"]
        told += [f"{len(self.records)} records of {', '.join(self.quantities)}"]
        told += [f"{len(self.warnings)} warnings"] if self.warnings else []
        told += ["ended early"] if self.ended else []
        return f"Track({'; '.join(told)})"

    def _repr_html_(self) -> str:
        """Of a notebook: what `repr` says, and the first of the records."""
        shown = self.records[~self.records["quantity"].str.contains(":")] if len(self.records) else self.records
        return html(self, shown.dropna(axis=1, how="all"), ".records")

    @property
    def quantities(self) -> list[str]:
        """The quantities in the records, without the estimators of ``ln_Z`` other than the default one."""
        names = self.records["quantity"].unique() if len(self.records) else []
        return [name for name in names if ":" not in name]

    def network(self, index: int = 0) -> Autoregressive:
        """The network at the final time, for the counting field ``fields.asked[index]``."""
        n = len(self.fields.asked)
        if not isinstance(index, int) or not -n <= index < n:
            raise InputError(f"network({index!r}): give the number of a counting field, from 0 to {n - 1}.")
        return self.problem.ensemble.copy_of(self.fields.trained_index(index))

    def distribution(self, index: int = 0) -> np.ndarray | None:
        """The network's probabilities in ``StateSpace`` order, ``(n_states,)``; None beyond 2^16 states or without a
        network."""
        if not self.diagnostics["n_parameters"] or not few_states(self.problem.system):
            return None
        log_prob = self.problem.log_prob(self.problem.all_states())
        return log_prob[self.fields.trained_index(index)].double().exp().cpu().numpy()

    def doob(self, index: int = 0) -> Doob:
        """The dynamics under which the s-ensemble's trajectories are typical (Doob's transform), for the counting field
        ``fields.asked[index]``. Its left vector is ``p / pi`` of the network at the final time, which approaches the
        leading left eigenvector as the run gets longer.

        Raises ``InputError`` if the run did not start from the equilibrium of a system with detailed balance, and for a
        tracker whose networks represent neither ``P`` nor ``psi``.
        """
        if not self.path or self.begun:
            raise InputError(
                "doob() takes networks of kl, natural-gradient, log-ratio or tdvp that started in equilibrium."
            )
        check_balance(self.problem)
        network, s = self.network(index), self.fields.asked[index]
        log_pi = np.log(np.maximum(self.problem.system.initial, np.finfo(float).tiny))
        device, share = self.problem.ensemble.device, 0.5 if self.path == "psi" else 1.0  # psi = sqrt(pi) l

        def log_left(x: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                log_p = network.log_prob(torch.as_tensor(x, device=device)).double().cpu().numpy()
            return share * (log_p - log_pi[np.arange(x.shape[1]), x].sum(1))

        return Doob(Connections(self.problem.system, s, self.problem.observable), log_left)

    def errors(self, exact: pd.DataFrame | None = None) -> pd.DataFrame:
        """The records that also occur in ``exact``, with columns ``exact``, ``error`` and ``relative_error``.

        ``exact``: a table of `exact.solve`; by default it is computed here. ``error = value - exact``;
        ``relative_error`` is ``|error|`` divided by the scale of the quantity (``|exact|`` or 1,
        `exact.definitions.quantities`), and NaN where the exact value passes zero. The parts of an error (steps,
        network, sampling) are in the records of a suite (`compare.judge.errors`). Raises ``InputError`` if no record
        can be compared.
        """
        exact = self._solved() if exact is None else exact
        _require_table("errors", exact)
        known = {_key(row): float(row["value"]) for row in exact.to_dict("records")}
        rows = [row for row in self.records.to_dict("records") if _key(row) in known]
        if not rows:
            raise InputError(f"the exact table has none of {', '.join(self.quantities)} at these s and times.")
        out = pd.DataFrame(rows)
        out["exact"] = [known[_key(row)] for row in rows]
        out["error"] = out["value"] - out["exact"]
        scale = [row_of(row["quantity"]).scale(known[_key(row)]) for row in rows]
        out["relative_error"] = out["error"].abs() / np.array(scale)
        errors = ["sampling_stderr", "error_estimate", "exact", "error", "relative_error"]
        wanted = ["quantity", "s", "t", *COUNTED, "value", *errors]
        return out[[name for name in wanted if name in out and out[name].notna().any()]]

    def _solved(self) -> pd.DataFrame:
        from vanbench.exact import solve
        from vanbench.exact.definitions.quantities import asked
        from vanbench.exact.definitions.quantity import LINDBLAD, VECTORS

        system = self.problem.system
        if self.begun:
            raise InputError("this run began in a network's distribution: give the exact table of that start.")
        by = LINDBLAD if kind_of(system) == QUANTUM else VECTORS
        names = [name for name in self.quantities if by in row_of(name).by]
        asked(names, (by,), kind_of(system))
        times = sorted(set(self.records["t"]))
        return solve(system, self.fields.asked, times, names or None, observable=self.problem.observable)

    def pivot(self, quantity: str = "ln_Z", value: str = "value") -> pd.DataFrame:
        """One quantity as a table with a row for each time and a column for each ``s`` (and site, or distance).
        ``value``: the column of the records to show, like ``sampling_stderr``."""
        rows = self._of(quantity)
        if value not in rows:
            raise unknown("column of the records", value, list(self.records.columns))
        axes = ["s", *(name for name in COUNTED if name in rows and rows[name].notna().any())]
        return rows.pivot(index="t", columns=axes if len(axes) > 1 else "s", values=value)

    def plot(self, quantity: str = "ln_Z", exact: pd.DataFrame | None = None, ax: Any = None) -> Any:
        """Plot one quantity over time: points with standard errors, lines for the table ``exact`` if given, and a
        colour for each ``s``. Returns the Matplotlib axes."""
        import matplotlib.pyplot as plt

        rows = self._of(quantity)
        if exact is not None:
            _require_table("plot", exact)
        if any(name in rows and rows[name].notna().any() for name in COUNTED):
            raise InputError(f"{quantity} has several values at a time: take pivot({quantity!r}).")
        ax = plt.subplots(figsize=(5, 3.5), layout="constrained")[1] if ax is None else ax
        for number, (s, own) in enumerate(rows.groupby("s")):
            colour = f"C{number % 10}"
            ax.errorbar(own.t, own.value, own.sampling_stderr, fmt="o", ms=4, color=colour, label=f"s = {s:g}")
            if exact is not None:
                line = exact[(exact.quantity == quantity) & np.isclose(exact.s, float(str(s)))].sort_values("t")
                ax.plot(line.t, line.value, color=colour, lw=1)
        lines = "" if exact is None else " (lines: exact)"
        ax.set(xlabel="t", ylabel=row_of(quantity).heading, title=f"{self.problem.system.name}{lines}")
        ax.legend(frameon=False)
        return ax

    def to_xarray(self) -> Any:
        """An ``xarray.Dataset``: each quantity, and ``<quantity>_stderr``, over ``s``, ``t`` and, for profiles,
        ``site`` or ``distance``. Raises ``InputError`` if the package xarray is missing."""
        xarray = optional("xarray", "to_xarray()")
        held = {}
        for name in self.quantities:
            rows = self._of(name)
            axes = ["s", "t", *(axis for axis in COUNTED if axis in rows and rows[axis].notna().any())]
            table = rows.astype(dict.fromkeys(axes[2:], int)).set_index(axes)
            for column, label in (("value", name), ("sampling_stderr", f"{name}_stderr")):
                held[label] = xarray.DataArray.from_series(table[column])
        system = self.problem.system
        return xarray.Dataset(held, attrs={"system": system.name, "shape": system.shape, "estimator": self.estimator})

    def _of(self, quantity: str) -> pd.DataFrame:
        names = self.records["quantity"].unique() if len(self.records) else []
        if quantity not in names:
            raise unknown("quantity of these records", quantity, list(names))
        return self.records[self.records["quantity"] == quantity]


def _require_table(method: str, given: Any) -> None:
    """Raise ``InputError`` for what is not a table of `exact.solve`."""
    if not isinstance(given, pd.DataFrame):
        raise InputError(f"{method} takes a table of vanbench.solve, no {type(given).__name__}.")
    if lacks := [name for name in ("quantity", "s", "t", "value") if name not in given]:
        raise InputError(f"{method} takes a table of vanbench.solve, and this one has no column {lacks[0]}.")


def _key(row: dict[Any, Any]) -> tuple:
    counted = tuple(-1 if row.get(name) is None or np.isnan(row[name]) else int(row[name]) for name in COUNTED)
    return row["quantity"], float(row["s"]), float(f"{row['t']:.{ROUNDED}g}"), *counted


def _numbers(values: Iterable[float]) -> str:
    told = [f"{value:g}" for value in values]
    return ", ".join(told if len(told) < 5 else [*told[:2], "...", told[-1]])
