"""Every bound that ``solve`` prints, against extended precision, over random systems.

``python tests/random_bounds.py --systems 2000 --keep runs/bounds --out results/exact/bounds.md`` runs the long version
and stores its page, ``tests/exact/test_random_bounds.py`` a short one. Every 20 systems their rows are written to the
folder of ``--keep``, and a later call goes on from there.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parent))

import random_systems
from extended import Reference, Values, together

from vanbench.exact import System, solve
from vanbench.exact.errors import Unstable

ALWAYS = ("ln_Z", "density", "density_profile", "instantaneous_activity", "scgf", "gap", "rate_function")
DERIVATIVES = ("activity", "susceptibility", "trajectory_density")  # take some fifty runs where the others take one
COLUMNS = ["seed", "quantity", "scheme", "s", "t", "value", "wanted", "error", "bound", "kind"]


def rows(seed: int) -> pd.DataFrame:
    """What ``solve`` says of the random system of this number, and what is right: ``COLUMNS``."""
    rng = np.random.default_rng(seed)
    large = rng.random() < 0.02
    parts = random_systems.many(rng, int(rng.integers(9, 13))) if large else random_systems.draw(rng, int(_size(rng)))
    system, s = random_systems.side_by_side(parts), random_systems.field(rng)
    derivatives = rng.random() < (0.02 if large else 0.3)
    times = random_systems.times(rng, 4)
    dt = None
    whole = system.local_dim ** len(system.free_sites)  # steps do not take blocks apart: the reference is of the whole
    if whole <= 256 and rng.random() < 0.4:
        dt, times = _steps(rng, system, s)
        derivatives &= whole <= 128
    asked = ALWAYS + (DERIVATIVES if derivatives else ())
    scheme = "continuous" if dt is None else "euler"
    frame = solve(system, s, times, asked, scheme, dt, method="lanczos")
    frame = frame[frame.bound.notna()]
    times = np.unique(frame.t.dropna())
    references = [Reference(part, s) for part in (parts if dt is None else [system])]
    values = zip(*(reference.values(times, dt, derivatives) for reference in references))
    known = {t: together(list(each)) for t, each in zip(times, values)}
    wanted = np.array([_wanted(row, known, references) for row in frame.itertuples()])
    found = pd.DataFrame(
        {
            "seed": seed, "quantity": frame.quantity, "scheme": scheme, "s": s, "t": frame.t, "value": frame.value,
            "wanted": wanted, "error": np.abs(frame.value - wanted), "bound": frame.bound, "kind": frame.bound_kind,
        }
    )  # fmt: skip
    return found[found.wanted.notna()]  # of Euler steps whose leading mode is not the largest factor, digits are lost


def _size(rng: np.random.Generator) -> int:
    return int(rng.choice([8, 16, 32, 64, 128, 256], p=[0.2, 0.3, 0.3, 0.15, 0.04, 0.01]))


def _steps(rng: np.random.Generator, system: System, s: float) -> tuple[float | None, np.ndarray]:
    """A stable ``dt``, near the limit or far below, and times of 1 to 1e6 steps."""
    lowest = Reference(system, s).spectrum()[0]
    if lowest == 0:
        return None, random_systems.times(rng, 4)
    limit = -2 / lowest
    dt = float(limit * rng.choice([0.99, rng.uniform(0.1, 0.9), 10 ** rng.uniform(-3, -1)]))
    return dt, dt * np.unique(np.rint(10 ** rng.uniform(0, 6, 4)))


def _wanted(row: tuple, known: dict[float, Values], references: list[Reference]) -> float:
    if row.quantity in ("scgf", "gap"):
        spectrum = np.zeros(1)
        for reference in references:
            spectrum = np.sort(np.add.outer(spectrum, reference.spectrum()).ravel())[-8:]
        return float(spectrum[-1] - (spectrum[-2] if row.quantity == "gap" else 0.0))
    if np.isnan(row.t):
        profile = np.concatenate([reference.middle[0] for reference in references])
        if row.quantity == "trajectory_density":
            return float(profile.mean() if np.isnan(row.site) else profile[int(row.site)])
        assert row.quantity == "rate_function"
        top = sum(reference.spectrum()[-1] for reference in references)
        return row.s * sum(reference.middle[1] for reference in references) - top
    value = getattr(known[row.t], row.quantity)
    return float(value[int(row.site)] if row.quantity == "density_profile" else value)


def violated(frame: pd.DataFrame) -> pd.Series:
    return ~(frame.error <= frame.bound)


def table(frame: pd.DataFrame) -> str:
    """Markdown: a row a quantity, scheme and kind of bound."""
    frame = frame.assign(violated=violated(frame), ratio=frame.error / frame.bound, no_value=frame.value.isna())
    groups = frame.groupby(["quantity", "scheme", "kind"])
    found = groups.agg(
        rows=("error", "size"), violations=("violated", "sum"), largest=("ratio", "max"), median=("ratio", "median")
    ).reset_index()
    found["largest"], found["median"] = (found[name].map(lambda x: f"{x:.2g}") for name in ("largest", "median"))
    return found.rename(columns={"largest": "largest error / bound", "median": "median"}).to_markdown(index=False)


def page(frame: pd.DataFrame, systems: int) -> str:
    """The stored result."""
    kinds = frame.assign(violated=violated(frame)).groupby("kind").violated.agg(["sum", "size"])
    told = "; ".join(f"{kind}: {line['sum']} of {line['size']} rows violated" for kind, line in kinds.iterrows())
    return f"""# Bounds against extended precision

`python tests/random_bounds.py --systems {systems} --keep runs/bounds --out results/exact/bounds.md`: {systems}
random systems with detailed balance (`tests/random_systems.py`: constrained models, exclusion, random rates over 12
decades, independent blocks; two and three states a site; up to 256 states, 4096 in independent blocks), `solve(...,
method="lanczos")`, c from 1e-4 to 0.999, s from -6 to 6, times from 1e-3 to 1e8 in one call, or 1 to 1e6 Euler steps.
The reference takes powers of dense matrices in 80 bits (`tests/extended.py`). A bound is violated where the error
exceeds it.

{told}.

{table(frame)}
"""


def collect(seeds: Iterable[int]) -> pd.DataFrame:
    """The rows of all systems; those whose Euler steps are unstable at every time are named on stderr."""
    frames = []
    for seed in seeds:
        try:
            frames.append(rows(seed))
        except Unstable as error:
            print(f"system {seed} is refused: {error}", file=sys.stderr, flush=True)
    return pd.concat([frame for frame in frames if len(frame)] or [pd.DataFrame(columns=COLUMNS)], ignore_index=True)


def kept(seeds: range, folder: Path) -> pd.DataFrame:
    """As ``collect``, with the rows of every 20 systems in a file of ``folder``; what stands there is not run again."""
    folder.mkdir(parents=True, exist_ok=True)
    frames = []
    for start in range(seeds.start, seeds.stop, 20):
        part = range(start, min(start + 20, seeds.stop))
        path = folder / f"{part.start}-{part.stop - 1}.csv"
        if not path.exists():
            collect(part).to_csv(path.with_suffix(".part"), index=False)
            path.with_suffix(".part").rename(path)
            print(f"systems {part.start} to {part.stop - 1} are there", file=sys.stderr, flush=True)
        frames.append(pd.read_csv(path))
    return pd.concat([frame for frame in frames if len(frame)], ignore_index=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--systems", type=int, default=2000)
    parser.add_argument("--first", type=int, default=0, help="number of the first system")
    parser.add_argument("--keep", type=Path, help="a folder of rows, so that a call that was stopped goes on")
    parser.add_argument("--out", type=Path, help="a Markdown page of the result")
    given = parser.parse_args()
    seeds = range(given.first, given.first + given.systems)
    frame = kept(seeds, given.keep) if given.keep else collect(seeds)
    print(frame[violated(frame)].to_string())
    text = page(frame, given.systems)
    print(text)
    if given.out:
        given.out.write_text(text)
    return int(bool(violated(frame[frame.kind == "certified"]).any()))


if __name__ == "__main__":
    sys.exit(main())
