"""Figures of the latent-cycles study, one function a figure; each returns a matplotlib Figure, nothing is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from vanbench.compare.learn.cycles.study import Study
from vanbench.compare.show import canvas
from vanbench.compare.show.escape import label as safe
from vanbench.exact.cycles.chain import log_hidden, sigmoid, visible_logits
from vanbench.exact.seeds import stream

if TYPE_CHECKING:
    from matplotlib.figure import Figure

EP = "entropy production (k$_B$ / double step)"
MAX_SHOWN_STATES = 64
LL = "mean log-likelihood (nats / image)"


def figures(study: Study) -> dict[str, Figure]:
    """All figures by file stem."""
    drawn = {"training": training(study), "scatter": scatter(study), "dynamics": dynamics(study)}
    if len(study.runs) > 1:
        order = np.argsort(study.runs["entropy_production"].to_numpy())
        drawn["portrait_low"] = portrait(study, int(order[0]))
        drawn["portrait_high"] = portrait(study, int(order[-1]))
    if study.exact:
        drawn["exact"] = exact_comparison(study)
    return drawn


def _new(columns: int, rows: int = 1, width: float = 4.4, height: float = 3.6):
    return canvas.new(columns, rows, width, height, dpi=130)


def training(study: Study) -> Figure:
    """Likelihood and entropy production over epochs: every model, and the median."""
    figure, axes = _new(2)
    for axis, column, label in zip(axes[0], ("log_likelihood", "entropy_production"), (LL, EP), strict=True):
        table = study.trace.pivot(index="epoch", columns="run", values=column)
        axis.plot(table.index, table.to_numpy(), color="tab:blue", alpha=0.25, lw=0.8)
        axis.plot(table.index, table.median(axis=1), color="black", lw=2, label=f"median of {table.shape[1]} models")
        axis.set_xscale("symlog", linthresh=1)
        axis.set_xlabel("epoch")
        axis.set_ylabel(label)
        axis.legend(loc="lower right" if column == "log_likelihood" else "upper left")
    late = study.trace[study.trace.epoch >= 1].log_likelihood
    span = max(late.max() - late.min(), 1e-3)
    axes[0][0].set_ylim(late.min() - 0.3 * span, late.max() + 0.1 * span)
    axes[0][0].set_title("the start is below the frame", fontsize=9)
    return figure


def scatter(study: Study) -> Figure:
    """Likelihood, and class-histogram divergence, against entropy production."""
    runs = study.runs
    columns = [("log_likelihood", LL)] + (
        [("class_kl", "KL(data || classes of the units) (nats)")] if "class_kl" in runs else []
    )
    figure, axes = _new(len(columns))
    for axis, (column, label) in zip(axes[0], columns, strict=True):
        axis.errorbar(
            runs["entropy_production"],
            runs[column].where(np.isfinite(runs[column])),
            xerr=runs["entropy_production_stderr"],
            fmt="o",
            ms=4,
            lw=1,
            label="two-kernel chains (1 s.e.)",
        )
        axis.set_xlabel(EP)
        axis.set_ylabel(label)
    left = axes[0][0]
    left.axhline(study.rbm["log_likelihood"].median(), color="tab:red", ls="--", label="equilibrium machines: median")
    if "mixture_ceiling" in runs:
        left.axhline(runs["mixture_ceiling"].max(), color="gray", ls=":", label="best one-hot mixture found")
    figure.legend(*left.get_legend_handles_labels(), loc="outside upper left", ncols=3, fontsize=8)
    if len(columns) > 1:
        right, infinite = axes[0][1], runs[np.isinf(runs["class_kl"])]
        right.set_yscale("log")
        if len(infinite):
            at_the_top = {"transform": right.get_xaxis_transform(), "clip_on": False, "color": "tab:orange"}
            label = f"{len(infinite)} infinite: a class without a unit"
            right.plot(infinite["entropy_production"], np.ones(len(infinite)), "^", ms=5, label=label, **at_the_top)
            right.legend(loc="lower right", fontsize=8)
    return figure


def dynamics(study: Study) -> Figure:
    """Decorrelation time, mean self-transition against 1/S, and the entropy production of the full chain."""
    runs, figure_axes = study.runs, _new(3)
    figure, (time, trace, full) = figure_axes[0], figure_axes[1][0]
    ep, error = runs["entropy_production"], runs["entropy_production_stderr"]
    time.errorbar(ep, runs["decorrelation_time"], xerr=error, yerr=runs["decorrelation_time_stderr"], fmt="o", ms=4)
    time.set_ylabel("decorrelation time (double steps)")
    if runs["decorrelation_time"].max() > 30 * max(1e-9, runs["decorrelation_time"].median()):
        time.set_yscale("log")
    trace.errorbar(ep, runs["self_transition"], xerr=error, yerr=runs["self_transition_stderr"], fmt="o", ms=4)
    n_states = len(study.chains[0].pi)
    trace.axhline(1 / n_states, color="black", ls="--", label=f"1/S = 1/{n_states}")
    trace.set_ylim(bottom=0)
    trace.set_ylabel("mean self-transition Tr(M)/S")
    trace.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
    full.errorbar(ep, runs["full_entropy_production"], yerr=runs["full_entropy_production_stderr"], fmt="o", ms=4)
    full.plot(np.sort(ep), np.sort(ep), color="black", ls="--", label="equal to the coarse-grained one")
    if (runs["full_entropy_production"] > 0).all():
        full.set_yscale("log")
    full.set_ylabel("entropy production of the full x-z chain\n(k$_B$ / double step)")
    full.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0))
    for axis in (time, trace, full):
        axis.set_xlabel(EP)
    return figure


def generated_sequence(study: Study, run: int, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Hidden states (steps,) and the images (steps, D) drawn from them, from the stationary state."""
    model, pi = study.models[run], study.chains[run].pi
    rng = np.random.default_rng(stream(study.config.seed, 77, run))
    probability = sigmoid(visible_logits(model))
    z, states, images = int(rng.choice(len(pi), p=pi / pi.sum())), [], []
    for _ in range(steps):
        x = (rng.random(model.n_visible) < probability[z]).astype(float)
        states.append(z)
        images.append(x)
        b = np.exp(log_hidden(model, x[None])[0])
        z = int(rng.choice(len(b), p=b / b.sum()))
    return np.array(states), np.array(images)


def portrait(study: Study, run: int) -> Figure:
    """One model: images of both weights, the transition matrix, and a generated sequence."""
    model, chain, shape = study.models[run], study.chains[run], study.dataset.shape
    shown = min(model.n_hidden, 8)
    steps = 16
    figure = canvas.blank(11, 5.0, dpi=130)
    halves: Any = figure.subfigures(2, 1, height_ratios=[2.7, 1])  # an array here; the stubs also allow a single one
    top, bottom = halves
    left, right = top.subfigures(1, 2, width_ratios=[shown * 0.75, 3.2])
    grid = left.subplots(2, shown, squeeze=False)
    span = np.quantile(np.abs(model.wbar), 0.98) or 1.0
    one_hot = model.reading != "binary"
    bright = sigmoid(model.w.T + model.b)  # for binary units: this unit on, all the others off
    for l in range(shown):
        grid[0][l].imshow(bright[l].reshape(shape), cmap="gray_r", vmin=0, vmax=1)
        label = f"unit {l}"
        if one_hot and study.dataset.labels is not None:
            label += f": {study.dataset.classes[study.classes[run][l]]}"
        grid[0][l].set_title(f"{safe(label)}\n$\\pi$={chain.pi[l]:.2f}" if one_hot else safe(label), fontsize=8)
        image = grid[1][l].imshow(model.wbar[l].reshape(shape), cmap="RdBu_r", vmin=-span, vmax=span)
    grid[0][0].set_ylabel("P(pixel on | unit)\nblack: on", fontsize=8)
    grid[1][0].set_ylabel("weights of B", fontsize=8)
    left.colorbar(image, ax=grid.ravel().tolist(), shrink=0.5, label="weights of B")
    matrix = right.subplots()
    if len(chain.pi) <= MAX_SHOWN_STATES:
        heat = matrix.imshow(chain.m, cmap="viridis", vmin=0, vmax=max(chain.m.max(), 1e-12))
        matrix.set_xlabel("from hidden state")
        matrix.set_ylabel("to hidden state")
        matrix.set_title("transition matrix M")
        right.colorbar(heat, ax=matrix, shrink=0.8, label="probability")
    else:
        matrix.set_axis_off()
        matrix.text(0.5, 0.5, f"M has {len(chain.pi)} states: not shown", ha="center")
    states, images = generated_sequence(study, run, steps)
    for axis, z, x in zip(bottom.subplots(1, steps), states, images, strict=True):
        axis.imshow(x.reshape(shape), cmap="gray_r", vmin=0, vmax=1)
        axis.set_title(f"{z}", fontsize=8)
    bottom.suptitle("generated sequence, one image per double step (hidden state above)", fontsize=9)
    for axis in figure.axes:
        if axis is not matrix and axis.images and axis.get_label() != "<colorbar>":
            axis.set_xticks([])
            axis.set_yticks([])
    row = study.runs.iloc[run]
    figure.suptitle(
        f"model {run}: entropy production {row.entropy_production:.3f}, log-likelihood {row.log_likelihood:.2f}",
        fontsize=10,
    )
    return figure


def exact_comparison(study: Study) -> Figure:
    """Estimates against exact values, and the two gradients along training (D <= 16)."""
    runs, gradients = study.runs, study.gradients
    figure, axes = _new(3)
    like, production, angle = axes[0]
    like.plot(runs["log_likelihood"], runs["sampled_log_likelihood"], "o", ms=4, label="Rao-Blackwell")
    like.plot(runs["log_likelihood"], runs["counted_log_likelihood"], "x", ms=5, label="occupancy (published)")
    like.set_xlabel("exact " + LL)
    like.set_ylabel("estimated " + LL)
    for column, style, label in (("sampled", "o", "Rao-Blackwell"), ("counted", "x", "counted (published)")):
        production.errorbar(
            runs["entropy_production"],
            runs[f"{column}_entropy_production"],
            yerr=runs[f"{column}_entropy_production_stderr"],
            fmt=style,
            ms=5,
            lw=1,
            label=label,
        )
    production.set_xlabel("exact " + EP)
    production.set_ylabel("estimated, 1 s.e.")
    for axis in (like, production):
        axis.axline((runs.iloc[0, 1],) * 2 if axis is like else (0, 0), slope=1, color="black", ls="--", lw=1)
        axis.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    for column, label in (("cosine", "two-step, summed exactly"), ("cosine_sampled", "two-step, 160 chains")):
        table = gradients.pivot(index="epoch", columns="run", values=column)
        line = angle.plot(table.index, table.median(axis=1), "o-", ms=4, label=label)[0]
        low, high = table.quantile(0.25, axis=1), table.quantile(0.75, axis=1)
        angle.fill_between(table.index, low, high, color=line.get_color(), alpha=0.2)
    angle.set_xscale("symlog", linthresh=1)
    angle.set_xlabel("epoch")
    angle.set_ylabel("cosine with the exact gradient\n(median and quartiles over models)")
    angle.legend(fontsize=8, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2)
    return figure
