"""How far a suite is in its folder: what is done, running, failed and missing, and what is left to pay."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from vanbench.compare.declare.parse import shape_text
from vanbench.compare.declare.task import Run
from vanbench.compare.run import claims
from vanbench.compare.run.missing import Key, expected, key, stored_suite
from vanbench.compare.run.parts import expected_cost
from vanbench.compare.run.record import FOLDER, Record, record_files, unfinished
from vanbench.exact import InputError


@dataclass
class Status:
    """Of one task: its numbers of runs by state, and CPU seconds; ``left``: None where no record says what one costs.

    ``told``: sentences on runs that failed, ended early, or run.
    """

    task: str
    runs: int = 0
    done: int = 0
    running: int = 0
    failed: int = 0
    missing: int = 0
    spent: float = 0.0
    left: float | None = 0.0
    told: list[str] = field(default_factory=list)


def status(folder: Path) -> list[Status]:
    """A row for each task of the suite that was run into ``folder``. Raises ``InputError`` where it cannot be read."""
    if not (folder / "suite.json").exists():
        raise InputError(f"{str(folder)!r} holds no suite: give the folder that `vanbench run SUITE --out` wrote.")
    suite = stored_suite(folder)
    held = [Record.load(path) for path in sorted(record_files(folder))] if (folder / FOLDER).is_dir() else []
    held = [record for record in held if not record.imported]
    done, early = {key(record): record for record in held}, {key(record): record for record in unfinished(folder)}
    networks = {record.run.architecture.label: record.run.architecture for record in held}
    networks |= {network.label: network for task in suite.tasks for network in task.architectures}
    noted = {path: claims.read(path) for path in (folder / FOLDER).rglob(claims.PATTERN)}
    working = {claim.what: claim for path in noted if (claim := claims.alive(path))}
    failed = {claim.what: claim.failed for claim in noted.values() if claim and claim.failed}
    tasks = {task.name: task for task in suite.tasks}
    rows = {name: Status(name) for name in tasks}
    prices = _prices(held)
    for wanted in sorted(expected(suite, held)):
        name, shape, label, replica = wanted
        row = rows[name]
        run = Run(task=tasks[name], shape=shape, architecture=networks[label], replica=replica, seed=0)
        row.runs += 1
        if wanted in done:
            row.done += 1
            row.spent += done[wanted].cpu_s or 0.0
            continue
        if run.label in working:
            row.running += 1
            row.told.append(f"{run.label}: {working[run.label]} works on it.")
        elif wanted in early or run.label in failed:
            row.failed += 1
            row.told.append(
                f"{run.label}: {failed.get(run.label) or early[wanted].diagnostics.get('ended') or 'ended early.'}"
            )
        else:
            row.missing += 1
        price = _price(run, wanted, prices)
        row.left = None if price is None or row.left is None else row.left + price
    return list(rows.values())


Prices = dict[tuple, list[tuple[float, float]]]  # (CPU seconds, expected cost) of the records that are alike


def _prices(held: list[Record]) -> Prices:
    out: Prices = {}
    for record in held:
        paid = record.cpu_s or 0.0, expected_cost(record.run)
        for alike in _alike(key(record)):
            out.setdefault(alike, []).append(paid)
    return out


def _alike(wanted: Key) -> list[tuple]:
    """What a price is taken from, the nearest first: the same but for the seed, another shape, another network."""
    task, shape, label, _ = wanted
    return [(task, shape_text(shape), label), (task, label), (label,), ()]


def _price(run: Run, wanted: Key, prices: Prices) -> float | None:
    """CPU seconds, in proportion to the expected cost."""
    paid = next((prices[alike] for alike in _alike(wanted) if alike in prices), None)
    return None if paid is None else expected_cost(run) * median(seconds / cost for seconds, cost in paid)
