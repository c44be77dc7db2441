"""What the gate sees of suite ``ci``, and how often it is wrong, by many runs of the suite.

    PYTHONPATH=tests python tests/gate_study.py OUT [--seeds 2-51] [--page results/baselines/power.md]

Runs the suite with each of ``worse_networks`` into ``OUT/worse/NAME`` and with each seed into ``OUT/unchanged/SEED``,
judges every folder that is complete against ``results/baselines/ci.json``, and writes the page. What stands in ``OUT``
is not run again, so that a call goes on after a stop. Two calls with different seeds share the work (the second
``--no-worse``); one with ``--seeds "" --no-worse`` judges what there is.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from worse_networks import WORSE, put_in_place

from vanbench.compare.declare.task import load_suite
from vanbench.compare.judge.gate import gate
from vanbench.compare.judge.power import POWER
from vanbench.compare.run.suite import run_suite
from vanbench.exact.files import write_text

SUITE = "ci"
BASELINE = Path(__file__).parents[1] / "results" / "baselines" / "ci.json"
WORSE_SEED = 1000  # of the runs of worse networks: none that an unchanged network has


def complete(folder: Path) -> bool:
    """Whether every run of the suite has left its record."""
    runs = sum(len(task.shapes) * len(task.architectures) * task.seeds for task in load_suite(SUITE).tasks)
    return len(list((folder / "records").rglob("[!.]*.json"))) == runs


def page(unchanged: Sequence[Path], worse: dict[str, Path]) -> str:
    """Power of every case, false alarms, and what became of the worse networks; Markdown."""
    verdicts = {folder.name: gate(folder, BASELINE) for folder in unchanged}
    alarms = {seed: verdict.failures for seed, verdict in verdicts.items() if verdict.failures}
    lines = next(iter(verdicts.values())).lines
    single = [line for line in lines if " pooled: " not in line["case"]]
    sighted = sum(line["power"] >= POWER for line in single)
    out = [
        "# What the gate sees",
        "",
        "Written by `PYTHONPATH=tests python tests/gate_study.py OUT --page results/baselines/power.md`.",
        "",
        f"{sighted} of {len(single)} cases see a doubled error with a probability of at least {POWER:g}.",
        "",
        *_table(["case", "baseline", "power to see it doubled", "seeds for 0.9"], map(_row, lines)),
        "",
        f"An unchanged network under {len(verdicts)} other seeds fails {len(alarms)} times"
        + (": " + "; ".join(f"seed {seed}, {texts[0]}" for seed, texts in alarms.items()) if alarms else "."),
        "",
        *_table(["made worse by", "verdict", "lines that fail", "largest factor"], map(_fate, worse, worse.values())),
        "",
    ]
    return "\n".join(out)


def _row(line: dict[str, Any]) -> list[str]:
    return [line["case"], f"{line['baseline']:.3g}", f"{line['power']:.3f}", str(line["needed"])]


def _fate(name: str, folder: Path) -> list[str]:
    verdict = gate(folder, BASELINE)
    failed = [line for line in verdict.lines if line["verdict"] == "worse"]
    most = max((line["now"] / line["baseline"] for line in failed), default=1.0)
    return [name, "worse" if failed else "no worse", f"{len(failed)} of {len(verdict.lines)}", f"{most:.3g}"]


def _table(head: list[str], rows: Any) -> list[str]:
    return ["| " + " | ".join(cells) + " |" for cells in (head, ["---"] * len(head), *rows)]


def _numbers(text: str) -> list[int]:
    first, _, last = text.partition("-")
    return list(range(int(first), int(last or first) + 1)) if first else []


def main(
    out: Annotated[Path, typer.Argument(help="Folder of the records.")],
    seeds: Annotated[str, typer.Option(help="FIRST-LAST, of unchanged networks.")] = "2-51",
    worsened: Annotated[bool, typer.Option("--worse/--no-worse", help="Run the worse networks too.")] = True,
    page_path: Annotated[Path | None, typer.Option("--page", help="Markdown file; printed if left out.")] = None,
) -> None:
    worse = {name: out / "worse" / name.replace(" ", "-") for name in WORSE}
    numbers = _numbers(seeds)
    if worsened:
        for name, folder in worse.items():
            with put_in_place(name):
                run_suite(SUITE, folder, seed=WORSE_SEED, workers=1)
    for seed in numbers:
        run_suite(SUITE, out / "unchanged" / str(seed), seed=seed, workers=1)
        typer.echo(f"seed {seed} is there", err=True)
    done = [folder for folder in sorted((out / "unchanged").iterdir(), key=lambda p: int(p.name)) if complete(folder)]
    if not done:
        raise typer.BadParameter(f"{str(out)!r} holds no complete run of {SUITE} with unchanged networks.")
    text = page(done, {name: folder for name, folder in worse.items() if complete(folder)})
    typer.echo(text) if page_path is None else write_text(page_path, text)


if __name__ == "__main__":
    typer.run(main)
