"""The gate: are the errors of these records worse than a stored baseline?

A case is one task, network, shape, quantity and counting field at the task's last time (errors accumulate, so the last
is the largest); the quantity is one number, no profile and no two-point function. Judged is the network's own part,
against the exact vector under the same steps, which a large discretisation error would hide; where there is no such
vector, the total against continuous time. Of either the mean over seeds is worse when

    error > baseline + max(ATOL, RTOL * baseline, margin)

with ``margin`` what luck explains: Welch's test over seeds at a stated chance of any false alarm in the comparison as a
whole (``power``; below three seeds, from the sampling error the runs report; where they report none, the verdict is
"too few seeds", which fails nothing). Each line says with what power it would see a doubled error, and the seeds that
POWER takes.

What scatters less sees more. Where whole distributions were compared, their total variation is a case too, a sum over
all states. And of the cases that are not worse by themselves, those of one network and quantity are pooled: the mean of
their errors, each in units of its baseline, is judged by the same rule, so that many errors are seen to double which
single seeds hide.

A case of the baseline without a record, and any number that is not finite, fail too. Records of a task whose hash is
not the baseline's cannot be compared: the question changed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.judge import power
from vanbench.compare.judge.collect import MIN_SEEDS, collect, last_times, scalars, summarise
from vanbench.compare.judge.tolerances import ATOL, FALSE_ALARMS, RTOL
from vanbench.compare.run.provenance import commit
from vanbench.compare.run.record import Record, SchemaMismatch, record_files, records
from vanbench.compare.run.stored import read_json
from vanbench.compare.show.warned import grouped
from vanbench.exact import InputError
from vanbench.exact.definitions.quantities import DISTRIBUTION
from vanbench.exact.files import write_json

BASELINE_SCHEMA = 1
IDENTITY = ("task", "architecture", "shape", "quantity", "s", "measure")
LARGEST = 1e100  # of any number in a baseline; its square is a number too
MEASURES = ("network", "error", "error_per_site")  # the first that is defined is judged
POOL = ("architecture", "quantity", "measure")  # what cases that are pooled have in common
TOO_FEW = "too few seeds"
DISTANCES = {"continuous": "error", "scheme": "network"}  # reference of a distance -> the measure it belongs to


@dataclass
class Verdict:
    """``lines``, ``cautions`` and the ``warnings`` of the records for people; ``failures`` make a regression,
    ``refusals``: nothing was compared."""

    lines: list[dict[str, Any]] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    cautions: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def cases(folder: Path) -> list[dict[str, Any]]:
    """The cases of the records under ``folder``, plain values. Raises ``InputError``."""
    last = last_times(scalars(summarise(collect(folder))))
    judged = []
    for row in last.to_dict("records"):
        measure = next((name for name in MEASURES if math.isfinite(row[name])), None)
        if measure is not None:
            judged.append(
                {
                    **{name: row[name] for name in ("task", "task_hash", *IDENTITY[1:-1], "t")},
                    "measure": measure,
                    "error": row[measure],
                    "sigma": _sigma(row, measure),
                    "seeds": int(row["seeds"]),
                }
            )
    return judged + _distance_cases(folder)


def _distance_cases(folder: Path) -> list[dict[str, Any]]:
    """Total variation between network and exact vector, where records hold it."""
    rows = []
    for _, record in records(folder):
        case = {"task": record.task.name, "task_hash": record.task_hash, "architecture": record.label}
        distances = record.frame("distances").to_dict("records")
        stepped = {row["s"] for row in distances if DISTANCES[row["reference"]] == "network"}
        for row in distances:
            measure = DISTANCES[row["reference"]]
            if measure == "network" or row["s"] not in stepped:
                shown = {"shape": shape_text(record.run.shape), "quantity": DISTRIBUTION, "s": row["s"], "t": row["t"]}
                rows.append(
                    {**case, **shown, "measure": measure, "seed": record.run.seed, "error": row["total_variation"]}
                )
    if not rows:
        return []
    groups = pd.DataFrame(rows).groupby([*rows[0]][:-2], sort=True)
    out = groups.error.mean().reset_index()
    out["sigma"] = (groups.error.std() / groups.error.count() ** 0.5).to_numpy()
    out["seeds"] = groups.seed.nunique().to_numpy()
    return [
        {**row, "seeds": int(row["seeds"]), "sigma": row["sigma"] if row["seeds"] >= MIN_SEEDS else None}
        for row in out.to_dict("records")
    ]


def gate(
    folder: Path,
    baseline: Path,
    atol: float = ATOL,
    rtol: float = RTOL,
    false_alarms: float = FALSE_ALARMS,
    only: Callable[[dict[str, Any]], bool] | None = None,
) -> Verdict:
    """Compare the records under ``folder`` with a ``baseline`` file; with those of its cases that ``only`` picks, which
    are then not pooled.

    Raises ``InputError`` for files that cannot be read, ``SchemaMismatch`` for another version's.
    """
    stored = load_baseline(baseline)
    compared = len(stored) + len(pools(stored))  # false alarms are counted over the whole baseline
    asked = (compared, atol, rtol, false_alarms)
    stored = [case for case in stored if only is None or only(case)]
    now: dict[tuple, dict[str, dict[str, Any]]] = {}
    verdict = Verdict(failures=not_finite(folder), refusals=mixed(folder), warnings=warned(folder))
    for case in cases(folder):
        now.setdefault(_identity(case), {})[case["task_hash"]] = case
    pairs: list[tuple[dict[str, Any], dict[str, Any]]] = []
    for old in stored:
        candidates = now.pop(_identity(old), {})
        new = candidates.get(old["task_hash"])
        name = label(old)
        if not candidates:
            verdict.failures.append(f"{name}: in the baseline, but these records have no such value.")
        elif new is None:
            held = ", ".join(sorted(candidates))
            verdict.refusals.append(f"{name}: the baseline has task hash {old['task_hash']}, the records {held}.")
        else:
            pairs.append((old, new))
    lines = [_line(old, new, asked) for old, new in pairs]
    if only is None:
        alike = [pair for pair, line in zip(pairs, lines) if line["verdict"] not in ("worse", TOO_FEW)]
        lines += [_line(old, new, asked) for old, new in pooled(alike, atol)]
    verdict.lines += lines
    verdict.failures += [
        f"{line['case']}: {line['now']:.3e}, baseline {line['baseline']:.3e}, allowed +{line['allowed']:.1e}."
        for line in lines
        if line["verdict"] == "worse"
    ]
    for unknown in now.values():
        for case in unknown.values():
            verdict.lines.append({"case": label(case), "baseline": None, "now": case["error"], "verdict": "new"})
    numbers = {(old["seeds"], new["seeds"]) for old, new in pairs}
    verdict.cautions = list(_cautions(verdict.lines, numbers, false_alarms))
    return verdict


def mixed(folder: Path) -> list[str]:
    """What cannot be judged: seeds of one case that different states of the code ran."""
    states: dict[tuple, set[str]] = {}
    for record in map(Record.load, record_files(folder)):
        states.setdefault(
            (record.task.name, record.task_hash[:6], record.label, shape_text(record.run.shape)), set()
        ).add(record.code)
    return [
        f"{' '.join(name)}: its seeds were run by {len(codes)} states of the code or of its libraries."
        for name, codes in states.items()
        if len(codes) > 1
    ]


def _line(old: dict[str, Any], new: dict[str, Any], asked: tuple[int, float, float, float]) -> dict[str, Any]:
    line = {"case": label(old), **judge(old, new, *asked)}
    return line if line["verdict"] == TOO_FEW else {**line, **outlook(old, new["seeds"], *asked)}


def pooled(
    pairs: list[tuple[dict[str, Any], dict[str, Any]]], atol: float = ATOL
) -> list[tuple[dict[str, Any], dict[str, Any]]]:
    """Pairs ``(baseline, now)`` of cases, pooled: errors in units of the baseline's, averaged over each of `pools`.

    Runs of different tasks and shapes are independent, their variances add. Fields of one run are not: their standard
    errors add, which is the most that the variance of a sum can be.
    """
    newer = {id(old): new for old, new in pairs}
    averaged = []
    for olds in pools([old for old, _ in pairs]):
        units = [max(old["error"], atol) for old in olds]
        averaged.append((_pool(olds, units), _pool([newer[id(old)] for old in olds], units)))
    return averaged


def pools(cases: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Cases that are pooled: two and more of one network and quantity, measured alike."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for case in cases:
        groups.setdefault(tuple(case[name] for name in POOL), []).append(case)
    return [group for group in groups.values() if len(group) > 1]


def _pool(cases: list[dict[str, Any]], units: list[float]) -> dict[str, Any]:
    runs: dict[tuple, float] = {}
    for case, unit in zip(cases, units):
        run = case["task"], case["shape"]
        runs[run] = runs.get(run, 0.0) + (case["sigma"] or 0.0) / unit
    return {
        **{name: cases[0][name] for name in POOL},
        "pooled": len(cases),
        "error": sum(case["error"] / unit for case, unit in zip(cases, units)) / len(cases),
        "sigma": math.hypot(*runs.values()) / len(cases),
        "seeds": min(case["seeds"] for case in cases),
    }


def _cautions(lines: list[dict[str, Any]], numbers: set[tuple[int, int]], false_alarms: float) -> Iterator[str]:
    """What a reader of the verdicts should know; ``numbers``: of seeds, in the baseline and in the records."""
    few = sum(line["verdict"] == TOO_FEW for line in lines)
    if few:
        yield f"{few} of {len(lines)} cases were not judged: they scatter by an unknown amount below {MIN_SEEDS} seeds."
    unequal = sorted(pair for pair in numbers if pair[0] != pair[1])
    if unequal:
        told = ", ".join(f"{old} against {new}" for old, new in unequal)
        yield (
            f"seeds of the baseline against seeds of these records: {told}. "
            f"Only with equal numbers are false alarms at most {false_alarms:.0%}."
        )


def write_baseline(
    folder: Path, baseline: Path, agreed: Callable[[list[dict[str, Any]]], bool] = lambda changes: True
) -> list[dict[str, Any]]:
    """Store the cases of ``folder`` as ``baseline``, unless ``agreed`` says no to what changes; returns what changes.

    A change is ``case, baseline, now, verdict`` (``new``, ``changed``, ``same``, ``removed``).
    """
    measured = cases(folder)
    bad = not_finite(folder) + mixed(folder)
    if bad:
        raise InputError(f"no baseline is written: {bad[0]}")
    old = {(_identity(c), c["task_hash"]): c for c in load_baseline(baseline)} if baseline.exists() else {}
    changes = []
    for case in measured:
        before = old.pop((_identity(case), case["task_hash"]), None)
        same = before is not None and before["error"] == case["error"]
        verdict = "new" if before is None else "same" if same else "changed"
        earlier = before["error"] if before else None
        changes.append({"case": label(case), "baseline": earlier, "now": case["error"], "verdict": verdict})
    for case in old.values():
        changes.append({"case": label(case), "baseline": case["error"], "now": None, "verdict": "removed"})
    if agreed(changes):
        write_json(baseline, {"schema_version": BASELINE_SCHEMA, **commit(), "cases": measured})
    return changes


def load_baseline(path: Path) -> list[dict[str, Any]]:
    """The cases of a baseline file. Raises ``InputError`` or ``SchemaMismatch``."""
    content = read_json(path)
    version = content.get("schema_version")
    if version != BASELINE_SCHEMA:
        raise SchemaMismatch(
            f"baseline {str(path)!r} has schema version {version!r}, this vanbench reads {BASELINE_SCHEMA}: "
            "write it again."
        )
    stored = content.get("cases")
    needed = {*IDENTITY, "task_hash", "measure", "error", "sigma", "seeds"}
    if not isinstance(stored, list) or not all(
        isinstance(c, dict) and needed <= c.keys() and _sound(c) for c in stored
    ):
        raise InputError(f"baseline {str(path)!r} is damaged: write it again with `vanbench gate DIR --write FILE`.")
    if not stored:
        raise InputError(f"baseline {str(path)!r} is empty: it would pass anything.")
    return stored


def _sound(case: Mapping[str, Any]) -> bool:
    """Whether every entry is of its kind."""

    def number(value: Any) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST

    names = (*(name for name in IDENTITY if name != "s"), "task_hash")
    spread = case["sigma"] is None or (number(case["sigma"]) and case["sigma"] >= 0)
    counted = isinstance(case["seeds"], int) and 1 <= case["seeds"] <= power.MOST_SEEDS
    return (
        all(isinstance(case[name], str) for name in names)
        and number(case["s"])
        and number(case["error"])
        and spread
        and counted
    )


def not_finite(folder: Path) -> list[str]:
    """Values of networks that are null because they were not finite, one sentence each."""
    sentences = []
    for path, record in records(folder):
        held = record.frame("rows")
        if held.empty:
            continue
        bad = held[pd.to_numeric(held["value"], errors="coerce").isna()]
        for row in bad.to_dict("records"):
            sentences.append(f"{path.name}: {row['quantity']} at s = {row['s']:g}, t = {row['t']:g} is not finite.")
    return sentences


def warned(folder: Path) -> list[str]:
    """What the records under ``folder`` warn of, a sentence for each task, shape, network and kind: no failure."""
    told = []
    for _, record in records(folder):
        name = f"{record.task.name} {shape_text(record.run.shape)} {record.label}"
        told += [(name, record.run.seed, warning) for warning in record.warnings]
    return grouped(told)


def judge(
    old: Mapping[str, Any],
    new: Mapping[str, Any],
    compared: int = 1,
    atol: float = ATOL,
    rtol: float = RTOL,
    false_alarms: float = FALSE_ALARMS,
) -> dict[str, Any]:
    """One of ``compared`` cases (``error, sigma, seeds``): ``baseline, now, allowed, verdict``.

    Nothing is allowed where the verdict is "too few seeds".
    """
    if _unknown_scatter(old, new):
        return {"baseline": old["error"], "now": new["error"], "verdict": TOO_FEW}
    sigmas = [(case["sigma"] or 0.0, _counted(case["seeds"])) for case in (old, new)]
    luck = power.margin(*sigmas[0], *sigmas[1], compared, false_alarms)
    allowed = max(atol, rtol * old["error"], luck)
    difference = new["error"] - old["error"]
    return {
        "baseline": old["error"],
        "now": new["error"],
        "allowed": allowed,
        "verdict": "worse" if difference > allowed else "better" if difference < -allowed else "same",
    }


def outlook(
    old: Mapping[str, Any],
    seeds: int,
    compared: int = 1,
    atol: float = ATOL,
    rtol: float = RTOL,
    false_alarms: float = FALSE_ALARMS,
) -> dict[str, Any]:
    """``power`` to see the stored error doubled with ``seeds`` new runs, and the seeds ``needed`` for POWER."""
    stored = _counted(old["seeds"])
    spread, floor = (old["sigma"] or 0.0) * stored**0.5, max(atol, rtol * old["error"])
    return {
        "power": power.power(old["error"], spread, stored, _counted(seeds), compared, floor, false_alarms=false_alarms),
        "needed": power.seeds_needed(old["error"], spread, compared, floor, false_alarms=false_alarms),
    }


def _unknown_scatter(old: Mapping[str, Any], new: Mapping[str, Any]) -> bool:
    """Whether a mean without a standard error is one of numbers that scatter.

    A distance between distributions comes without a sampling error; any other error has none where nothing is sampled.
    """
    sigmas = old["sigma"], new["sigma"]
    if None not in sigmas:
        return False
    return any(sigmas) or (sigmas == (None, None) and old.get("quantity") == DISTRIBUTION)


def _counted(seeds: int) -> int:
    """Below MIN_SEEDS the stored sigma is a sampling error, known rather than estimated."""
    return seeds if seeds >= MIN_SEEDS else 1


def _sigma(row: dict[str, Any], measure: str) -> float | None:
    """Standard error of ``measure`` over seeds, or the sampling error that the runs report on its scale."""
    spread = row[f"{measure}_se"]
    if not math.isfinite(spread):
        spread = row["stderr"] / (row["n_sites"] if measure == "error_per_site" else row["scale"])
    return spread if math.isfinite(spread) else None


def _identity(case: dict[str, Any]) -> tuple:
    return tuple(f"{case[name]:.9g}" if name == "s" else str(case[name]) for name in IDENTITY)


def label(case: Mapping[str, Any]) -> str:
    """A case in one line."""
    if "pooled" in case:
        return f"{case['pooled']} cases pooled: {case['architecture']} {case['quantity']} {case['measure']}"
    return f"{case['task']} {case['shape']} {case['architecture']} {case['quantity']} {case['measure']} s={case['s']:g}"
