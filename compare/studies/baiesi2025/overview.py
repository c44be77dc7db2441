"""Several latent-cycles studies side by side: which published claims hold on which data. A README from their CSVs.

``vanbench study baiesi2025 overview results/baiesi2025`` writes it again; a test fails when it is stale.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd

INTRODUCTION = """# Nonequilibrium latent cycles

Two-kernel generative chains (Baiesi and Rosso, arXiv:2512.11415, 2025) on small data sets, judged exactly where the
visible states can be enumerated. Each folder holds its own command, tables, figures and `record.json`. The publication
used MNIST, 784 pixels: what follows is about the data named here alone."""
VERDICTS = {"holds": "holds", "as a trend only": "is a trend only", "undecided": "is undecided"}
DOES_NOT = "does not hold"


def studies(folder: Path) -> dict[str, Path]:
    """The finished studies under ``folder`` by name, digits before bars and stripes."""
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/claims.csv"), reverse=True)}


def overview(folder: Path) -> str:
    """The README of ``folder``."""
    found = studies(folder)
    claims = {name: pd.read_csv(path / "claims.csv") for name, path in found.items()}
    parts = [
        INTRODUCTION,
        "## Which published claims hold here",
        _sentences(claims),
        _claims_table(claims),
        "Value and 95 % interval (models resampled). The first two: rank correlation of the likelihood, or of the "
        "divergence, with entropy production; undecided where the interval covers zero: no such relation is seen. The "
        "last two: mean over models of Tr(M)/S, or of the largest M_ss, to compare with 1/S; one model above it by two "
        "standard errors decides against.",
        "## Does training drive the chain out of equilibrium?",
        _production_table(found),
        "Entropy production of the chain of hidden states, in k_B per double step; it starts at zero (wbar = abar = 0 "
        "is a chain without memory). The full x-z chain, of which this is a coarse-graining, produces more.",
        "## Beside the equilibrium machine",
        _machine_table(found),
        "Mean ln p of the chains minus that of restricted Boltzmann machines with as many hidden units, 95 % interval. "
        "One-hot units make the chain's p(x) a mixture of S products (`mixture_ceiling` in each folder is the most "
        "that it can reach); the machine's units combine.",
        "## Estimates beside exact values (16 pixels)",
        _estimates_table(found),
        "Over the models, |estimate − exact|; `z` is the root mean square of its ratio to the estimate's own standard "
        "error. Counting misses reverse transitions too rare to occur, so it is low where the production is large.",
        "## Estimates beside a repetition (64 pixels)",
        _repetition_table(found),
        "Entropy production of the same trained models, from two independent sets of samples (`models.csv`, and the "
        "last epoch of `training.csv`): `z` is the difference over its standard error. The error cannot know of "
        "transitions that hardly a sample meets: an outlier, and a common bias of both, are possible where the "
        "production is large.",
        "## Commands",
        _commands(found),
    ]
    return "\n\n".join(parts) + "\n"


def _record(path: Path) -> dict:
    return json.loads((path / "record.json").read_text())


def _sentences(claims: dict[str, pd.DataFrame]) -> str:
    """One line a claim: where it holds, where it does not, where these models do not tell."""
    lines = []
    for claim in dict.fromkeys(name for table in claims.values() for name in table.claim):
        where: dict[str, list[str]] = {}
        for study, table in claims.items():
            for row in table[table.claim == claim].itertuples():
                where.setdefault(str(row.verdict), []).append(study)
        told = [f"{VERDICTS.get(v, DOES_NOT)} on {', '.join(names)}" for v, names in where.items()]
        lines.append(f"- *{claim[0].upper()}{claim[1:]}*: {'; '.join(told)}.")
    return "\n".join(lines)


def _claims_table(claims: dict[str, pd.DataFrame]) -> str:
    rows = []
    for claim in dict.fromkeys(name for table in claims.values() for name in table.claim):
        row = {"claim": claim}
        for study, table in claims.items():
            for found in table[table.claim == claim].itertuples():
                row[study] = f"{found.value:.3g} ({found.low:.3g} to {found.high:.3g}), {found.verdict}"
        rows.append(row)
    return pd.DataFrame(rows).fillna("–").to_markdown(index=False)


def _production_table(found: dict[str, Path]) -> str:
    rows = []
    for study, path in found.items():
        trace, runs = pd.read_csv(path / "training.csv"), pd.read_csv(path / "models.csv")
        at = trace.groupby("epoch").entropy_production.median()
        sure = runs.entropy_production > 2 * runs.entropy_production_stderr
        rows.append(
            {
                "study": study,
                "start": f"{round(at.loc[0], 12):.3g}",
                "epoch 1, median": f"{at.loc[1]:.3g}",
                "last epoch, median": f"{at.iloc[-1]:.3g}",
                "range": f"{runs.entropy_production.min():.3g} to {runs.entropy_production.max():.3g}",
                "above zero by two standard errors": f"{int(sure.sum())} of {len(runs)}",
                "full chain, median": f"{runs.full_entropy_production.median():.3g}",
            }
        )
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def _machine_table(found: dict[str, Path]) -> str:
    rows = []
    for study, path in found.items():
        row = pd.read_csv(path / "machine.csv").iloc[0]
        told = {"chain − machine (nats / image)": f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})"}
        rows.append({"study": study, **told, "verdict": row.verdict})
    return pd.DataFrame(rows).to_markdown(index=False)


def _estimates_table(found: dict[str, Path]) -> str:
    rows = []
    for study, path in found.items():
        runs = pd.read_csv(path / "models.csv")
        if "sampled_log_likelihood" not in runs:
            continue
        for quantity in ("log_likelihood", "entropy_production"):
            for prefix, name in (("sampled", "Rao-Blackwell"), ("counted", "counts (published)")):
                off = runs[f"{prefix}_{quantity}"] - runs[quantity]
                error = runs.get(f"{prefix}_{quantity}_stderr")
                z = "–" if error is None else f"{np.sqrt((off / error).pow(2).mean()):.2f}"
                size = {"median": f"{off.abs().median():.2g}", "largest": f"{off.abs().max():.2g}", "z": z}
                rows.append({"study": study, "quantity": quantity, "estimate": name, **size})
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def _repetition_table(found: dict[str, Path]) -> str:
    rows = []
    for study, path in found.items():
        if _record(path)["exact"]:
            continue
        runs, trace = pd.read_csv(path / "models.csv").set_index("run"), pd.read_csv(path / "training.csv")
        again = trace[trace.epoch == trace.epoch.max()].set_index("run")
        name = "entropy_production"
        off = runs[name] - again[name]
        z = off / np.hypot(runs[f"{name}_stderr"], again[f"{name}_stderr"])
        rows.append(
            {
                "study": study,
                "relative difference, median": f"{(off.abs() / runs[name]).median():.2g}",
                "largest": f"{(off.abs() / runs[name]).max():.2g}",
                "z, root mean square": f"{np.sqrt((z**2).mean()):.2f}",
                "largest z": f"{z.abs().max():.1f}",
            }
        )
    return pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True)


def _commands(found: dict[str, Path]) -> str:
    records = [_record(path) for path in found.values()]
    lines = [f"    {held['command']}  # training: {held['training_cpu_s']:.0f} s of CPU time" for held in records]
    return "\n".join(
        [
            *lines,
            "",
            "and, where MNIST's IDX files are at hand (not run here),",
            "",
            "    vanbench cycles baiesi2025-mnist --mnist FOLDER --out results/baiesi2025/mnist-softmax",
            "",
            "Trained parameters (`parameters.npz`) are written beside the tables and are not kept here: the seed gives "
            "them back. `vanbench study baiesi2025 overview results/baiesi2025` writes this page from the CSVs.",
        ]
    )
