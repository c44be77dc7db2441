"""Whole processes against peers, in CPU seconds: ``python -m tests.benchmarks.speed`` writes `results/speed`.

A peer is the same question to a script written from a textbook (`textbook.py`), or what must be loaded anyway. Both
run in one go, each a few times, and the quickest of each counts; where both print a value they must agree.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TABLE = ROOT / "results" / "speed" / "README.md"
AGREEMENT = 1e-8  # of ln Z: the textbook script stops where it changes by 1e-10
FIELDS = ",".join(f"{0.05 * k:g}" for k in range(1, 22))  # at s = 0 the start is an eigenvector
TRACK = (
    "track east --shape 2x2 --s 0.1 --times 0.05 --dt 0.05 --tracker-option epochs=1 --tracker-option first_epochs=1 "
    "--tracker-option samples=10 --out {out}"
)
PLAIN = "-c import_typer.rich_utils,numpy"


@dataclass(frozen=True)
class Row:
    """``ours``: words after ``vanbench``; ``peer``: words after ``python``, or after ``vanbench`` where it is ours."""

    name: str
    ours: str
    peer: str
    rounds: int = 3
    peer_is_ours: bool = False


def exact(model: str, size: str, s: str = "0.1", quantities: str = "ln_Z", extra: str = "") -> str:
    return f"exact {model} --shape {size} --s={s} --times 10 --quantities {quantities} {extra}--format json -q"


def against_textbook(model: str, size: str, rounds: int = 3) -> Row:
    return Row(f"exact {model} {size}, ln Z", exact(model, size), f"textbook.py {model} {size} 0.1 10", rounds)


ROWS = [
    Row("--help", "--help", PLAIN),
    Row("list", "list", PLAIN),
    Row("start of track", TRACK, "-c import_torch,pandas"),
    *(against_textbook(model, size) for model in ("fa", "east") for size in ("14", "16")),
    against_textbook("south-east", "4x4"),
    against_textbook("fa", "18", 2),
    against_textbook("fa", "20", 1),
    *(
        Row(f"21 fields, fa {n}: default quantities, the peer ln Z",
            exact("fa", n, FIELDS, "ln_Z,activity,density,scgf"), f"textbook.py fa {n} {FIELDS} 10", 1)
        for n in ("12", "14")
    ),
    Row("asep 18 with its current, ln Z", exact("asep", "18", extra="--observable current "),
        "textbook.py asep 18 0.1 10", 2),
    *(
        Row(f"exact {model} {size}, t = {t}, sigma_z",
            f"exact {model} --shape {size} --times {t} --quantities sigma_z --format json -q",
            f"textbook.py {model} {size} 0 {t}", rounds)
        for model, size, t, rounds in (("heisenberg", "3x3", 2, 1), ("tfim", "8", 4, 2), ("tfim", "10", 4, 1))
    ),
    Row("fa 16: ln Z, density, activity, susceptibility, the peer ln Z alone",
        exact("fa", "16", quantities="ln_Z,density,activity,susceptibility"), exact("fa", "16"), 2, peer_is_ours=True),
]  # fmt: skip


def run(words: list[str]) -> tuple[float, list[float]]:
    """CPU seconds of a process, and the values of ln Z that it prints."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, *words], cwd=HERE, env=environment, capture_output=True, text=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, values(done.stdout)


def values(text: str) -> list[float]:
    if text.startswith("{"):
        return [row["value"] for row in json.loads(text)["records"] if row["quantity"] in ("ln_Z", "sigma_z")]
    try:
        return [float(line) for line in text.splitlines()]
    except ValueError:
        return []


def commands(row: Row, out: Path) -> tuple[list[str], list[str]]:
    ours = ["-m", "vanbench", *row.ours.format(out=out).split()]
    peer = [word.replace("import_", "import ") for word in row.peer.split()]
    return ours, ["-m", "vanbench", *peer] if row.peer_is_ours else peer


def measured(row: Row) -> tuple[float, float, float | None]:
    """CPU seconds of ours and of the peer, and by how much their values differ at most. The first run of each warms up:
    byte code and compiled loops are there."""
    times: tuple[list[float], list[float]] = ([], [])
    told: list[list[float]] = [[], []]
    for number in range(row.rounds + 1):
        with TemporaryDirectory() as folder:
            for which, words in enumerate(commands(row, Path(folder) / "out")):
                seconds, told[which] = run(words)
                times[which].extend([seconds] if number else [])
    apart = None
    if all(told):
        apart = max(abs(a - b) for a, b in zip(*told, strict=True))
        assert apart < AGREEMENT, f"{row.name}: the values differ by {apart:.1e}"
    return min(times[0]), min(times[1]), apart


def main() -> None:
    lines = []
    for row in ROWS:
        ours, peer, apart = measured(row)
        told = "" if apart is None else f"{apart:.0e}"
        lines.append(f"| {row.name} | {ours:.2f} | {peer:.2f} | {ours / peer:.2f} | {told} |")
        print(lines[-1], flush=True)
        TABLE.parent.mkdir(exist_ok=True)
        TABLE.write_text(PAGE + "\n".join(lines) + "\n", encoding="utf-8")


PAGE = """# Speed of whole processes

`python -m tests.benchmarks.speed` wrote this page in one run: CPU seconds of a process, its start included, on one
thread, the quickest of a few after a warm-up. Peers: `tests/benchmarks/textbook.py` (Lanczos on a CSR matrix,
uniformisation, Taylor's series of a Liouvillian), or the imports needed in any case (typer with rich and NumPy;
torch and pandas). A busy machine increases the seconds, and the ratio less. The last column is the largest
difference of ln Z, or of sigma_z for open systems.

| work | vanbench, s | peer, s | ratio | difference |
|:--|--:|--:|--:|--:|
"""


if __name__ == "__main__":
    main()
