"""Writing a latent-cycles study: tables (CSV, Markdown), figures (PNG), one JSON record, a README. All atomic."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vanbench.compare.declare.columns import columns
from vanbench.compare.learn.cycles.plots import figures
from vanbench.compare.learn.cycles.study import LONG_CHAIN_STRIDE, Study
from vanbench.compare.run.provenance import provenance
from vanbench.compare.show import canvas
from vanbench.compare.show.grid import markdown
from vanbench.compare.show.pages import page
from vanbench.exact.files import write_file, write_json, write_text

SCHEMA = 1
SUMMARY = (
    "log_likelihood",
    "mixture_ceiling",
    "entropy_production",
    "full_entropy_production",
    "counted_entropy_production",
    "long_chain_log_likelihood",
    "class_kl",
    "posterior_class_kl",
    "decorrelation_time",
    "self_transition",
    "max_self_transition",
    "max_current",
    "max_affinity",
)
FIGURES = {
    "training": "likelihood and entropy production over epochs",
    "scatter": "likelihood and class-histogram divergence against entropy production",
    "dynamics": "decorrelation time, mean self-transition against 1/S, full against coarse-grained entropy production",
    "portrait_low": "the model of lowest entropy production",
    "portrait_high": "the model of highest entropy production",
    "exact": "estimates against exact values; approximate against exact gradient along training",
}


def summary(study: Study) -> pd.DataFrame:
    """Median, quartiles and range over the models; the baseline's likelihood beside them."""
    columns_found = {f"chain {name}": study.runs[name] for name in SUMMARY if name in study.runs}
    columns_found["equilibrium machine log_likelihood"] = study.rbm["log_likelihood"]
    columns_found["equilibrium machine counted_log_likelihood"] = study.rbm["counted_log_likelihood"]
    rows = []
    for name, values in columns_found.items():
        with np.errstate(invalid="ignore"):  # two infinite divergences side by side have no difference
            quantiles = np.quantile(values, [0, 0.25, 0.5, 0.75, 1])
        low, first, median, third, high = np.where(np.isnan(quantiles), np.inf, quantiles)
        rows.append({"quantity": name, "median": median, "q25": first, "q75": third, "min": low, "max": high})
    return pd.DataFrame(rows)


def write(study: Study, folder: Path, command: str, wall_s: float) -> list[Path]:
    """Write everything under ``folder``; returns the files."""
    tables = {"summary": summary(study), "claims": study.claims, "models": study.runs, "training": study.trace}
    tables["machine"] = study.machine
    tables |= {"equilibrium": study.rbm} | ({"gradients": gradient_table(study)} if len(study.gradients) else {})
    written = []
    for name, frame in tables.items():
        written.append(write_text(folder / f"{name}.csv", frame.to_csv(index=False, float_format="%.8g"), folder))
    for name in [n for n in ("summary", "claims", "gradients") if n in tables]:
        text = markdown(tables[name], ".4g") + "\n"
        written.append(write_text(folder / f"{name}.md", text, folder))
    drawn = figures(study)
    for name, figure in drawn.items():
        written.append(canvas.save(figure, folder / f"{name}.png", folder))
    written.append(write_file(folder / "parameters.npz", partial(_save_models, study), folder))
    write_json(folder / "record.json", record(study, command, wall_s), folder)
    written.append(folder / "record.json")
    readme = _readme(study, tables, list(drawn), command, wall_s)
    for stale in {f"{n}.{e}" for n in (*FIGURES, "gradients") for e in ("png", "csv", "md")}:
        if folder / stale not in written:  # of an earlier study in the same folder
            (folder / stale).unlink(missing_ok=True)
    written.append(write_text(folder / "README.md", readme, folder))
    return written


def record(study: Study, command: str, wall_s: float) -> dict[str, Any]:
    """The whole run as plain values: data, config, seeds, provenance, tables by columns."""
    data = study.dataset
    return {
        "schema_version": SCHEMA,
        "kind": "cycles",
        "command": command,
        "data": {"name": data.name, "images": len(data.x), "pixels": list(data.shape), "classes": list(data.classes)},
        "config": asdict(study.config),
        "seeds": {"seed": study.config.seed},
        "provenance": provenance("cpu"),
        "wall_s": wall_s,
        "stages_wall_s": study.wall_s,
        "training_cpu_s": study.training_cpu_s,
        "exact": study.exact,
        "summary": columns(summary(study)),
        "claims": columns(study.claims),
        "machine": columns(study.machine),
        "models": columns(study.runs),
        "equilibrium": columns(study.rbm),
        "training": columns(study.trace),
        "gradients": columns(study.gradients),
    }


def gradient_table(study: Study) -> pd.DataFrame:
    """Medians over the models of the gradients' norms, gap and cosines at each epoch compared."""
    return study.gradients.drop(columns="run").groupby("epoch").median().reset_index()


def _save_models(study: Study, path: Path) -> None:
    named: dict[str, Any] = {k: np.stack([getattr(m, k) for m in study.models]) for k in ("w", "b", "wbar", "abar")}
    named |= {"centre": study.models[0].centre, "reading": np.array(study.config.reading)}
    with open(path, "wb") as file:
        np.savez_compressed(file, **named)


def _readme(study: Study, tables: dict[str, pd.DataFrame], drawn: list[str], command: str, wall_s: float) -> str:
    told = {"study": study, "config": study.config, "data": study.dataset, "tables": tables, "drawn": drawn}
    constants = {"command": command, "wall_s": wall_s, "figures": FIGURES, "stride": LONG_CHAIN_STRIDE}
    return page(__file__, "study.md.j2", **told, **constants)
