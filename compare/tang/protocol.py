"""(e) The published algorithm: errors over time, what its settings change, what a run costs, and who is best.

The *network's error* is that against the exact vector that takes the same Euler steps, the error the study reports;
the *total* is against continuous time. The *excess loss* is how far the loss stays above its minimum, summed over the
steps: the divergence of each fit from its target, in nats.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..parse import shape_text
from ..record import Record
from . import draw

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RANKING = "ranking-"
BASE = ("epochs-40", "3x3", "made")  # the run that every other setting is compared with
CLAIMS = [  # published: the first is at least as good as the second, or faster
    ("1D FA: GRU better than MADE", "ranking-fa-1d", "gru", "made", "error"),
    ("1D East: GRU better than MADE", "ranking-east-1d", "gru", "made", "error"),
    ("2D: gated PixelCNN as good as 2D GRU", "ranking-south-east", "gated-pixelcnn", "gru2d", "error"),
    ("2D: gated PixelCNN faster than 2D GRU", "ranking-south-east", "gated-pixelcnn", "gru2d", "cpu_s"),
    ("3D: MADE better than GRU", "ranking-south-east-front", "made", "gru", "error"),
    ("3D: MADE better than a transformer", "ranking-south-east-front", "made", "transformer", "error"),
]
SIGNIFICANT = 2.0  # standard errors of a difference


def table(found: Sequence[Record]) -> pd.DataFrame:
    """One row for each run and time: the errors of ``ln Z`` (relative), the excess loss, the settings, the cost."""
    return pd.DataFrame([row for record in found for row in _rows(record)])


def _rows(record: Record) -> Iterator[dict[str, Any]]:
    errors, rows = record.frame("errors"), record.frame("rows")
    errors = errors[errors.quantity == "ln_Z"]
    options = record.tracker_options
    steps = round(max(record.config["times"]) / options["dt"])
    epochs = options["first_epochs"] + (steps - 1) * options["epochs"]
    for one in errors.itertuples():
        bounds = {
            name: float(rows[(rows.quantity == f"ln_Z:{name}") & np.isclose(rows.t, one.t)].value.iloc[0])
            for name in ("loss", "log_mean_exp")
        }
        yield {
            "task": record.task,
            "system": record.system,
            "shape": shape_text(record.shape),
            "network": record.label,
            "seed": record.replica,
            "parameters": record.diagnostics["n_parameters"],
            "epochs": options["epochs"],
            "rate": options["learning_rate"],
            "t": one.t,
            "error": abs(one.value - one.scheme) / abs(one.scheme),
            "total": one.error,
            "scheme": abs(one.scheme - one.exact) / abs(one.exact),
            "excess loss": bounds["log_mean_exp"] - bounds["loss"],
            "cpu_s": record.cpu_s,
            "ms per epoch": 1e3 * (record.cpu_s or np.nan) / epochs,
        }


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """Over the seeds, at the last time: mean and standard error of the network's error, and the cost."""
    keys = ["task", "system", "shape", "network", "parameters", "epochs", "rate"]
    last = rows[rows.t == rows.t.max()]
    groups = last.groupby(keys, sort=False)
    out = groups.agg(
        seeds=("seed", "nunique"),
        error=("error", "mean"),
        error_se=("error", _se),
        total=("total", "mean"),
        loss=("excess loss", "mean"),
        loss_se=("excess loss", _se),
        cpu_s=("cpu_s", "mean"),
        cpu_s_se=("cpu_s", _se),
        ms_per_epoch=("ms per epoch", "mean"),
    )
    return out.reset_index()


def _se(values: pd.Series) -> float:
    return float(values.std(ddof=1) / np.sqrt(len(values))) if len(values) > 1 else float("nan")


def claims(found: pd.DataFrame) -> pd.DataFrame:
    """Whether the published ranking holds here: the two values with standard errors, and what they say."""
    rows = []
    for text, task, first, second, measure in CLAIMS:
        pair = [found[(found.task == task) & found.network.str.split("(").str[0].eq(name)] for name in (first, second)]
        if any(part.empty for part in pair):
            continue
        (a, a_se), (b, b_se) = ((part[measure].iloc[0], part[f"{measure}_se"].iloc[0]) for part in pair)
        noise = SIGNIFICANT * np.hypot(a_se, b_se)
        verdict = "no difference" if abs(a - b) <= noise else "yes" if a < b else "no"
        if "as good as" in text and verdict == "no difference":
            verdict = "yes"
        rows.append([text, measure, f"{a:.2g} ± {a_se:.1g}", f"{b:.2g} ± {b_se:.1g}", verdict])
    return pd.DataFrame(rows, columns=["published", "measure", "first", "second", "holds here"])


def over_time(rows: pd.DataFrame) -> Figure:
    """The ranking tasks: the network's error, the total, and the scheme's own error, over time."""
    tasks = [task for task in rows.task.unique() if task.startswith(RANKING)]
    drawn, axes = draw.new(max(len(tasks), 1))
    base = rows[(rows.task == BASE[0]) & (rows["shape"] == BASE[1])]
    for axis, task in zip(axes[0], tasks):
        mine = rows[rows.task == task]
        if (mine["shape"] == BASE[1]).all():
            mine = pd.concat([mine, base])  # the same system under the same protocol
        for colour, (name, group) in zip(draw.COLOURS, mine.groupby("network", sort=False)):
            mean = group.groupby("t")[["error", "total"]].mean()
            axis.plot(mean.index, mean.error, "o-", color=colour, ms=4, label=f"{name}: network")
            axis.plot(mean.index, mean.total, ":", color=colour, label=f"{name}: total")
        scheme = mine.groupby("t").scheme.mean()
        axis.plot(scheme.index, scheme, "k--", lw=1, label="exact Euler steps")
        axis.set(xscale="log", yscale="log", xlabel="t", ylabel="relative error of ln Z", title=task)
        axis.legend()
    return drawn


def settings(found: pd.DataFrame) -> Figure:
    """The network's error and the excess loss against each setting, the others as in the base run."""
    panels = list(_panels(found))
    drawn, axes = draw.new(len(panels), 2, 3.1, 2.7)
    for column, (label, x, part) in enumerate(panels):
        for axis, value in zip(axes[:, column], ("error", "loss")):
            axis.errorbar(x, part[value], part[f"{value}_se"], fmt="o-", capsize=2)
            axis.set(yscale="log", xlabel=label)
            if label != "layers of 16":
                axis.set_xscale("log")
    axes[0, 0].set_ylabel("network's error of ln Z")
    axes[1, 0].set_ylabel("excess loss (nats)")
    return drawn


def _panels(found: pd.DataFrame) -> Iterator[tuple[str, np.ndarray, pd.DataFrame]]:
    base = (found["shape"] == BASE[1]) & (found.network == BASE[2])
    plain = found[base & (found.system == "east")]
    epochs = plain[plain.task.str.startswith("epochs-")].sort_values("epochs")
    yield "epochs a step", epochs.epochs.to_numpy(), epochs
    rates = plain[plain.task.str.startswith("rate-") | (plain.task == BASE[0])].sort_values("rate")
    yield "learning rate", rates.rate.to_numpy(), rates
    shaped = found[found.task == "width-and-depth"]
    hidden = shaped.network.str.extract(r"hidden=([\d,]+)")[0].str.split(",")
    width, depth = hidden.str[0].astype(int).to_numpy(), hidden.str.len().to_numpy()
    yield "units of one layer", width[depth == 1], shaped[depth == 1]
    yield "layers of 16", depth[width == 16], shaped[width == 16]
    sizes = found[found.task == BASE[0]]
    n = sizes["shape"].str.split("x").map(lambda lengths: int(np.prod([int(v) for v in lengths])))
    yield "N", n.to_numpy(), sizes
