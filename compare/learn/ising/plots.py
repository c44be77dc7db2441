"""Figures of the learned-Hamiltonian family."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from vanbench.compare.learn.ising.learning import Spec
from vanbench.compare.show import canvas
from vanbench.exact.definitions.quantities import QUANTITIES

TRANSITION = (2.2, 2.6)
TARGETS = {"energy": 0.03, "abs_magnetization": 0.05}  # largest difference outside the transition region


def _new(panels: int, height: float = 3.6):
    figure, axes = canvas.new(panels, width=4.6, height=height, dpi=105)
    return figure, axes[0]


def curves(frame: pd.DataFrame, spec: Spec, path: Path, title: str | None = None) -> None:
    """Predicted against reference over T, and the difference below. A column `run`, if there, makes one set a run."""
    runs = dict(iter(frame.groupby("run", sort=False))) if "run" in frame else {"network": frame}
    present = [name for name in QUANTITIES if name in set(frame.quantity) and QUANTITIES[name].title]
    figure = canvas.blank(4.6 * len(present), 5.6, dpi=105)
    axes = figure.subplots(2, len(present), sharex=True, squeeze=False, height_ratios=[2, 1])
    for name, (above, below) in zip(present, axes.T):
        reference = next(iter(runs.values())).query("quantity == @name")
        error = reference.reference_stderr.fillna(0)
        label = f"reference ({reference.method.iloc[0]})"
        above.errorbar(reference["T"], reference.reference, error, color="black", lw=1, label=label)
        for k, (run, rows) in enumerate(runs.items()):
            rows = rows[rows.quantity == name]
            style = {"fmt": "os^Dv"[k % 5], "ms": 4, "mfc": "none", "label": run}
            above.errorbar(rows["T"], rows.value, rows.stderr, **style)
            below.errorbar(rows["T"], rows.difference, np.hypot(rows.stderr, rows.reference_stderr.fillna(0)), **style)
        for axis in (above, below):
            axis.axvline(spec.T0, color="grey", ls=":", label=f"trained at $T_0={spec.T0:g}$")
            if not spec.stride:
                axis.axvspan(*TRANSITION, color="orange", alpha=0.12, label="transition region")
        below.axhline(0, color="black", lw=0.8)
        if name in TARGETS:
            below.axhspan(-TARGETS[name], TARGETS[name], color="green", alpha=0.1)
        above.set(ylabel=QUANTITIES[name].label)
        above.legend(fontsize=7)
        below.set(xlabel="temperature $T$ ($J=k_B=1$)", ylabel="value $-$ reference")
    if title:
        figure.suptitle(title + (" (green: the target)" if not spec.stride else ""))
    canvas.save(figure, path, path.parent)


def scatter(frames: dict[str, pd.DataFrame], fits: dict[str, dict], n_sites: int, path: Path) -> None:
    """Learned against true energy of held-out configurations, the constant included; one panel a run."""
    figure, axes = _new(len(frames), height=4.2)
    for axis, (label, frame) in zip(axes, frames.items()):
        agreement = fits[label]["agreement"]
        true, learned = frame.true / n_sites, frame.learned / n_sites
        axis.plot(true, learned, ".", ms=2, alpha=0.4, rasterized=True, label="held-out configurations")
        ends = np.array([true.min(), true.max()])
        axis.plot(ends, ends - agreement["free_energy"] / n_sites, "k-", lw=1, label="slope 1")
        axis.set(xlabel="true energy per spin", ylabel=r"$-T_0\ln p(x)/N$")
        axis.set_title(f"{label}\nslope {agreement['slope']:.4f}, $R^2$ = {agreement['r2']:.5f}", fontsize=9)
        axis.legend(fontsize=7)
    canvas.save(figure, path, path.parent)


def against(frame: pd.DataFrame, by: str, label: str, path: Path, log: bool = False) -> None:
    """Three panels over the column `by`: KL per site, 1 - R^2, worst errors outside the transition region."""
    figure, axes = _new(3)
    frame = frame.sort_values(by)
    axes[0].errorbar(frame[by], frame.kl_per_site, frame.kl_error, fmt="o-", ms=4)
    axes[0].set_ylabel("KL divergence per spin (nats)")
    axes[1].plot(frame[by], 1 - frame.r2, "o-", ms=4)
    axes[1].set_ylabel(r"$1-R^2$ of the energies")
    axes[2].plot(frame[by], frame.energy_error, "o-", ms=4, label="energy per spin")
    axes[2].plot(frame[by], frame.magnetization_error, "s--", ms=4, label=r"$|M|/N$")
    axes[2].axhline(0.03, color="C0", lw=0.8, ls=":", label="targets 0.03, 0.05")
    axes[2].axhline(0.05, color="C1", lw=0.8, ls=":")
    axes[2].set_ylabel("largest error, T outside (2.2, 2.6)")
    axes[2].legend(fontsize=7)
    for axis in axes:
        axis.set_xlabel(label)
        axis.set_yscale("log")
        if log:
            axis.set_xscale("log")
    canvas.save(figure, path, path.parent)


def ceiling(frame: pd.DataFrame, T0: float, path: Path) -> None:
    """4x4: exact block magnetization, the exact p^(T0/T), and the network, for both strides."""
    figure, axes = _new(2)
    for axis, (stride, rows) in zip(axes, frame.groupby("stride")):
        axis.plot(rows["T"], rows.exact, "k-", lw=1, label="exact blocks at T")
        axis.plot(rows["T"], rows.ceiling, "C1--", label=r"exact blocks at $T_0$, to the power $T_0/T$")
        axis.errorbar(rows["T"], rows.network, rows.network_stderr, fmt="C0o", ms=4, mfc="none", label="network")
        axis.axvline(T0, color="grey", ls=":")
        axis.set(
            xlabel="temperature $T$", ylabel=QUANTITIES["block_magnetization"].label, title=f"4x4, stride {stride}"
        )
        axis.legend(fontsize=7)
    canvas.save(figure, path, path.parent)
