"""Exact reference curves for the study of Luo et al., PRL 128, 090501 (2022), as small CSV files.

``vanbench study luo2022 references NAME --out results/luo2022``, NAME a curve (dynamics or steady states),
``trajectories`` (16-spin ring, adds to what its file holds) or ``summary`` (of the trajectories). All in units of
``gamma = 1``.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from vanbench.compare.show.pages import page
from vanbench.exact.definitions.quantities import SPINS
from vanbench.exact.errors import unknown
from vanbench.exact.files import write_text
from vanbench.exact.quantum.models import tfim_model
from vanbench.exact.quantum.observables import purity, spin_averages
from vanbench.exact.quantum.solve import quantum_table
from vanbench.exact.quantum.steady import leading_pairs, steady_state
from vanbench.exact.quantum.trajectories import read, sample, split_steady, summary
from vanbench.exact.systems.quantum import heisenberg, tfim

G_GRID = np.arange(0, 5.01, 0.5)
JY_GRID = np.round(np.arange(0.8, 2.01, 0.1), 1)
RING = {"B": 1.0, "Jx": 2.0, "Jy": 0.0, "Jz": 1.0, "initial": "-y"}
LARGE = {"B": 10.0, "Jx": 20.0, "Jy": 0.0, "Jz": 10.0, "initial": "-y"}
DT, BURN_IN, DURATION = 0.1, 10.0, 40.0  # of one trajectory
ROUND = 4  # trajectories between two looks at the error
BIAS_SPINS = 6  # the splitting bias is a property of short distances: measured where rho fits


def _dynamics(system, times: np.ndarray, **labels) -> pd.DataFrame:  # type: ignore[no-untyped-def]
    frame = quantum_table(system, 0.0, times.tolist(), [*SPINS, "purity"]).frame()
    wide = frame.pivot(index="t", columns="quantity", values="value").reset_index()
    for position, (name, value) in enumerate(labels.items()):
        wide.insert(position, name, value)
    return wide


def ring(times: np.ndarray = np.arange(0, 4.01, 0.05), params: dict = RING) -> pd.DataFrame:  # noqa: B008
    """Heisenberg ring from -y, N = 4..8."""
    return pd.concat([_dynamics(heisenberg((n,), **params), times, n_sites=n) for n in range(4, 9)])


def large_energy() -> pd.DataFrame:
    return ring(np.arange(0, 2.001, 0.01), LARGE)


def lattice() -> pd.DataFrame:
    """3 x 3 lattice from all up, Jy = 1.0 and 1.8."""
    times = np.arange(0, 2.01, 0.05)
    return pd.concat([_dynamics(heisenberg((3, 3), Jx=0.9, Jy=jy, Jz=1.0), times, Jy=jy) for jy in (1.0, 1.8)])


def lattice_steady() -> pd.DataFrame:
    """3 x 3 steady states against Jy."""
    rows = []
    for jy in JY_GRID:
        origin = heisenberg((3, 3), Jx=0.9, Jy=float(jy), Jz=1.0).quantum
        assert origin is not None
        rho = steady_state(origin.model)
        rows.append({"Jy": jy, **spin_averages(rho), "purity": purity(rho)})
    return pd.DataFrame(rows)


def lattice_gap(shapes: tuple[tuple[int, int], ...] = ((2, 2), (2, 3), (3, 3))) -> pd.DataFrame:
    """The second eigenvalue of the Liouvillian, by Arnoldi on ``exp(L)`` beyond four spins, with its residual."""
    rows = []
    for shape in shapes:
        for jy in (1.0, 1.8):
            origin = heisenberg(shape, Jx=0.9, Jy=jy, Jz=1.0).quantum
            assert origin is not None
            values, residuals = leading_pairs(origin.model)
            row = {"rows": shape[0], "columns": shape[1], "Jy": jy}
            row |= {"gap": -values[1].real, "frequency": abs(values[1].imag)}
            rows.append({**row, "residual": residuals[1]})
    return pd.DataFrame(rows)


def tfim_steady(sizes: tuple[int, ...] = (4, 6, 8)) -> pd.DataFrame:
    """TFIM ring, V = 2, against g, at the sizes an exact state allows."""
    rows = []
    for n in sizes:
        for g in G_GRID:
            origin = tfim((n,), V=2.0, g=float(g)).quantum
            assert origin is not None
            rho = steady_state(origin.model)
            rows.append({"n_sites": n, "g": g, **spin_averages(rho), "purity": purity(rho)})
    return pd.DataFrame(rows)


def run_trajectories(path: Path, n: int, stderr: float, progress: Callable[[str], None] = print) -> None:
    """Four trajectories at a time for every g > 0 whose errors are not yet below ``stderr`` (at g = 0 all end down)."""
    while waiting := [g for g in G_GRID[1:] if not _done(read(path, _key(n, g)), stderr)]:
        for g in waiting:
            model = tfim_model((n,), V=2.0, g=float(g))
            more = len(read(path, _key(n, g))) + ROUND
            sample(path, _key(n, g), model, more, DT, BURN_IN, DURATION, progress=progress)


def _key(n: int, g: float) -> str:
    return f"n={n} g={g:g}"


def _done(rows: list[dict[str, str]], stderr: float) -> bool:
    """Whether to stop, after 12 trajectories at least: the error of fewer is itself too uncertain."""
    return len(rows) >= 3 * ROUND and max(error for _, error in summary(rows).values()) <= stderr


def trajectory_summary(path: Path, n: int) -> pd.DataFrame:
    """Means, standard errors, and the splitting bias measured without noise on a small ring.

    At ``g = 0`` nothing lifts a spin and all end down: no trajectory is needed.
    """
    dark = {"sigma_x": 0.0, "sigma_y": 0.0, "sigma_z": -1.0}
    first = {key: v for name, value in dark.items() for key, v in _columns(name, value, 0.0, 0.0)}
    rows: list[dict] = [{"n_sites": n, "g": 0.0, "trajectories": 0, **first}]
    for g in G_GRID[1:]:
        sampled = read(path, _key(n, g))
        if len(sampled) < 2:
            continue
        model = tfim_model((BIAS_SPINS,), V=2.0, g=float(g))
        split, exact = spin_averages(split_steady(model, DT)), spin_averages(steady_state(model))
        row: dict = {"n_sites": n, "g": g, "trajectories": len(sampled)}
        for name, (mean, error) in summary(sampled).items():
            row |= dict(_columns(name, mean, error, split[name] - exact[name]))
        rows.append(row)
    return pd.DataFrame(rows)


def _columns(name: str, mean: float, stderr: float, bias: float) -> list[tuple[str, float]]:
    return [(name, mean), (f"{name}_stderr", stderr), (f"{name}_dt_bias", bias)]


CURVES: dict[str, tuple[str, Callable[[], pd.DataFrame]]] = {
    "ring": ("Heisenberg ring, B=1, Jx=2, Jy=0, Jz=1, from -y, N = 4..8, t in [0, 4]", ring),
    "large-energy": ("Heisenberg ring, B=10, Jx=20, Jy=0, Jz=10, from -y, N = 4..8, t in [0, 2]", large_energy),
    "lattice": ("3 x 3 periodic Heisenberg, Jx=0.9, Jz=1, B=0, from all up, t in [0, 2]", lattice),
    "lattice-steady": ("3 x 3 periodic Heisenberg, Jx=0.9, Jz=1, B=0, steady states", lattice_steady),
    "lattice-gap": ("periodic Heisenberg, Jx=0.9, Jz=1, B=0: gap of the Liouvillian, 2 x 2 to 3 x 3", lattice_gap),
    "tfim-steady": ("TFIM ring, V=2, steady states, N = 4, 6, 8", tfim_steady),
    "tfim-steady-10": ("TFIM ring, V=2, steady states, N = 10 (a minute a point)", lambda: tfim_steady((10,))),
}
COMMAND = "vanbench study luo2022 references"


def main(
    name: Annotated[str, typer.Argument(help="A curve, `trajectories` (16-spin ring) or `summary` (of them).")],
    out: Annotated[Path, typer.Option(help="Folder of the CSV files.")] = Path("results/luo2022"),
    spins: Annotated[int, typer.Option(help="Of the trajectory ring.")] = 16,
    stderr: Annotated[float, typer.Option(help="Largest standard error of the trajectory means.")] = 4e-3,
) -> None:
    """Exact reference curves as small CSV files."""
    if name not in (*CURVES, "trajectories", "summary"):
        raise unknown("reference", name, [*CURVES, "trajectories", "summary"])
    raw = out / f"tfim-{spins}-trajectories.csv"
    if name == "trajectories":
        run_trajectories(raw, spins, stderr)
    elif name == "summary":
        _write(trajectory_summary(raw, spins), out / f"tfim-{spins}-steady.csv")
    else:
        _write(CURVES[name][1](), out / f"exact-{name}.csv")


def _write(frame: pd.DataFrame, path: Path) -> None:
    exact = {name: 12 for name in frame if name != "residual"}
    write_text(path, (frame.round(exact) + 0.0).to_csv(index=False, float_format="%.12g"), path.parent)
    write_text(path.with_name("REFERENCES.md"), _guide(path.parent), path.parent)
    print(f"wrote {path}: {len(frame)} rows")


def _guide(folder: Path) -> str:
    curves = [(name, what, (folder / f"exact-{name}.csv").exists()) for name, (what, _) in CURVES.items()]
    constants = {"duration": DURATION, "burn_in": BURN_IN, "dt": DT, "bias_spins": BIAS_SPINS}
    return page(__file__, "references.md.j2", curves=curves, command=COMMAND, **constants)
