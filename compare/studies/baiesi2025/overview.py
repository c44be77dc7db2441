"""Several latent-cycles studies side by side: which published claims hold on which data. A README from their CSVs.

``vanbench study baiesi2025 overview results/baiesi2025`` writes it again; a test fails when it is stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from vanbench.compare.run.stored import read_json, read_table
from vanbench.compare.show.pages import page
from vanbench.exact import InputError

VERDICTS = {"holds": "holds", "as a trend only": "is a trend only", "undecided": "is undecided"}
DOES_NOT = "does not hold"
CLAIMED = ("value", "low", "high")
PRODUCTION = ("entropy_production", "entropy_production_stderr")
RECORDED = {"command": str, "training_cpu_s": int | float, "exact": bool}


def studies(folder: Path) -> dict[str, Path]:
    """The finished studies under ``folder`` by name, digits before bars and stripes."""
    return {path.parent.name: path.parent for path in sorted(folder.glob("*/claims.csv"), reverse=True)}


def overview(folder: Path) -> str:
    """The README of ``folder``. Raises ``InputError`` where it has no studies, or a file of one is damaged."""
    folders = studies(folder)
    if not folders:
        raise InputError(f"{str(folder)!r} holds no studies: vanbench cycles NAME --out {folder}/NAME.")
    claims = {name: _rows(path / "claims.csv", CLAIMED, ("claim", "verdict")) for name, path in folders.items()}
    return page(
        __file__,
        "overview.md.j2",
        sentences=list(_sentences(claims)),
        claims=_claims_table(claims),
        production=_production_table(folders),
        machine=_machine_table(folders),
        estimates=_estimates_table(folders),
        repetition=_repetition_table(folders),
        records=[_record(path) for path in folders.values()],
    )


def _record(path: Path) -> dict:
    held = read_json(path / "record.json")
    for name, kind in RECORDED.items():
        if not isinstance(held.get(name), kind):
            raise InputError(f"{str(path / 'record.json')!r} has no {name!r} of a study: run it again.")
    return held


def _training(path: Path) -> pd.DataFrame:
    trace = _rows(path / "training.csv", ("run", "epoch", *PRODUCTION))
    if not {0, 1} <= set(trace.epoch):
        raise InputError(f"{str(path / 'training.csv')!r} lacks the epochs 0 and 1: run the study again.")
    return trace


def _models(path: Path) -> pd.DataFrame:
    return _rows(path / "models.csv", ("run", "log_likelihood", *PRODUCTION, "full_entropy_production"))


def _rows(path: Path, numbers: Sequence[str], words: Sequence[str] = ()) -> pd.DataFrame:
    """Of a table that has some."""
    table = read_table(path, numbers, words)
    if table.empty:
        raise InputError(f"{str(path)!r} has no rows: run the study again.")
    return table


def _sentences(claims: dict[str, pd.DataFrame]) -> Iterator[tuple[str, str]]:
    """Each claim, and on which data it holds, fails, or stays undecided."""
    for claim in dict.fromkeys(name for table in claims.values() for name in table.claim):
        where: dict[str, list[str]] = {}
        for study, table in claims.items():
            for row in table[table.claim == claim].itertuples():
                where.setdefault(str(row.verdict), []).append(study)
        told = [f"{VERDICTS.get(v, DOES_NOT)} on {', '.join(names)}" for v, names in where.items()]
        yield f"{claim[0].upper()}{claim[1:]}", "; ".join(told)


def _claims_table(claims: dict[str, pd.DataFrame]) -> pd.DataFrame:
    rows = []
    for claim in dict.fromkeys(name for table in claims.values() for name in table.claim):
        row = {"claim": claim}
        for study, table in claims.items():
            for claimed in table[table.claim == claim].itertuples():
                row[study] = f"{claimed.value:.3g} ({claimed.low:.3g} to {claimed.high:.3g}), {claimed.verdict}"
        rows.append(row)
    return pd.DataFrame(rows).fillna("–")


def _production_table(folders: dict[str, Path]) -> pd.DataFrame:
    rows = []
    for study, path in folders.items():
        trace, runs = _training(path), _models(path)
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
    return pd.DataFrame(rows)


def _machine_table(folders: dict[str, Path]) -> pd.DataFrame:
    rows = []
    for study, path in folders.items():
        row = _rows(path / "machine.csv", CLAIMED, ("verdict",)).iloc[0]
        told = {"chain − machine (nats / image)": f"{row.value:.3f} ({row.low:.3f} to {row.high:.3f})"}
        rows.append({"study": study, **told, "verdict": row.verdict})
    return pd.DataFrame(rows)


def _estimates_table(folders: dict[str, Path]) -> pd.DataFrame:
    rows = []
    for study, path in folders.items():
        runs = _models(path)
        if "sampled_log_likelihood" not in runs:
            continue
        for quantity in ("log_likelihood", "entropy_production"):
            for prefix, name in (("sampled", "Rao-Blackwell"), ("counted", "counts (published)")):
                off = runs[f"{prefix}_{quantity}"] - runs[quantity]
                error = runs.get(f"{prefix}_{quantity}_stderr")
                z = "–" if error is None else f"{np.sqrt((off / error).pow(2).mean()):.2f}"
                size = {"median": f"{off.abs().median():.2g}", "largest": f"{off.abs().max():.2g}", "z": z}
                rows.append({"study": study, "quantity": quantity, "estimate": name, **size})
    return pd.DataFrame(rows)


def _repetition_table(folders: dict[str, Path]) -> pd.DataFrame:
    rows = []
    for study, path in folders.items():
        if _record(path)["exact"]:
            continue
        runs, trace = _models(path).set_index("run"), _training(path)
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
    return pd.DataFrame(rows)
