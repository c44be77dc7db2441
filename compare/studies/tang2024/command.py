"""Make the figures and tables of the study from the folders of its suites.

vanbench run tang2024-a --out runs/tang2024-a        and so on with -b, -d, -e, -e-1d, -f; then

vanbench study tang2024 phases   runs/tang2024-a runs/tang2024-b    (a) heat maps
vanbench study tang2024 critical runs/tang2024-a runs/tang2024-b    (b), (c) critical fields, exponents, collapse; run
                                                                   it after `chains`, whose table it uses too
vanbench study tang2024 bands    runs/tang2024-d                    (d) densities and profiles at c = 0.05
vanbench study tang2024 protocol runs/tang2024-e                    (e) the published algorithm
vanbench study tang2024 chains   runs/tang2024-e-1d                 (e) the transition of the 1D chains
vanbench study tang2024 voter    runs/tang2024-f                    (f) the voter model
vanbench study tang2024 rare                                        the outlook: trajectories from the networks

Results that the folders lack are taken from the tables that an earlier call left in --out: a task that was run alone
replaces its own part, and without folders the figures are drawn again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import matplotlib
import pandas as pd
import typer

from vanbench.compare.commands import common
from vanbench.compare.declare import parse
from vanbench.compare.run.progress import status
from vanbench.compare.show import canvas
from vanbench.compare.show.escape import csv
from vanbench.compare.show.grid import markdown
from vanbench.compare.studies.tang2024 import bands, critical, exponents, phases, protocol, rare, scaling, speed, voter
from vanbench.compare.studies.tang2024.values import Curves, completed, curves, merged, runs, stored, table_of
from vanbench.exact import InputError
from vanbench.exact.files import write_text

app = typer.Typer(add_completion=False, no_args_is_help=True)
Some = Annotated[
    list[Path] | None,
    typer.Argument(help="Folders of `vanbench run tang2024-...`; the rest comes from the stored tables."),
]
Out = Annotated[Path, typer.Option(help="Folder for figures and tables.")]
HERE = Path("results/tang2024")


@app.callback(help=__doc__)
def style(context: typer.Context) -> None:
    """Figures of one style, for as long as the command runs."""
    context.with_resource(matplotlib.rc_context(canvas.STYLE))  # type: ignore[arg-type]


def _csv(frame: pd.DataFrame, path: Path, digits: int = 6) -> None:
    write_text(path, csv(frame, float_format=f"%.{digits}g"), path.parent)


def _md(frame: pd.DataFrame, path: Path, digits: int = 3) -> None:
    """Write the table as CSV and as Markdown."""
    _csv(frame, path.with_suffix(".csv"))
    write_text(path, markdown(frame, f".{digits}g") + "\n", path.parent)


@app.command("phases")
def phases_(folders: Some = None, out: Out = HERE) -> None:
    """(a) k_t(s) over (s, t)."""
    _write_phases(folders, out, "phases")


@app.command("chains")
def chains(folders: Some = None, out: Out = HERE) -> None:
    """(e) The finite-time transition of the FA and East chains."""
    _write_phases(folders, out, "chains")


def _curves(folders: list[Path] | None, values: Path) -> list[Curves]:
    """Curves of the runs in the folders, and those that the table ``values`` has besides."""
    new = merged([curves(record) for record in runs(*(folders or []))])
    every = new + stored(values, new)
    if not every:
        raise InputError(f"there is no {str(values)!r}: give folders that `vanbench run tang2024-...` wrote.")
    return every


def _write_phases(folders: list[Path] | None, out: Path, name: str) -> None:
    groups = phases.grouped(_curves(folders, out / f"{name}-values.csv"))
    certain = [sources for sources in groups if phases.reference(sources).source == "exact"]
    for part, stem in ((certain, name), ([g for g in groups if g not in certain], f"{name}-large")):
        if part:
            canvas.save(phases.heat_maps(part), out / f"{stem}.png", out)
    _md(phases.errors(groups), out / f"{name}.md")
    inexact = [curve for sources in groups for source, curve in sources.items() if source != "exact"]
    values = pd.concat([table_of(curve) for curve in inexact])
    fields = values.s.map("{:.10g}".format)  # exact tables are met at the same fields
    _csv(values.assign(s=fields), out / f"{name}-values.csv")


@app.command("critical")
def critical_(folders: Some = None, out: Out = HERE) -> None:
    """(b), (c) The critical field and its exponents."""
    every = _curves(folders, out / "phases-values.csv")
    every = critical.with_exact([*every, *stored(out / "chains-values.csv", every)])
    rows, long = critical.table(every), critical.steady(every)
    fits = exponents.exponents(rows[critical.clear(rows)], long)
    typer.echo(critical.distance(rows))
    canvas.save(critical.figure(rows, long, fits), out / "critical.png", out)
    _csv(pd.concat([rows, long.assign(t="inf")]), out / "critical-fields.csv", 5)
    _md(fits, out / "critical.md")


@app.command("bands")
def bands_(
    folders: Some = None,
    out: Out = HERE,
    largest: Annotated[int, typer.Option(help="Exact profiles up to 2^LARGEST states.")] = 16,
) -> None:
    """(d) Densities and profiles at c = 0.05, s < 0."""
    path = out / "bands-profiles.csv"
    new = completed(bands.profiles(runs(*(folders or []))), path, bands.CASE[:3], bands.read)
    rows = bands.with_exact(new, largest, out / "bands-exact-5.csv")
    canvas.save(bands.figure(rows, float(rows.t.max())), out / "bands.png", out)
    _csv(rows, path)
    _csv(bands.summary(rows), out / "bands-densities.csv", 5)
    _md(bands.compared(rows), out / "bands.md")


@app.command("protocol")
def protocol_(folders: Some = None, out: Out = HERE) -> None:
    """(e) The published algorithm: errors over time, settings, cost, ranking."""
    rows = protocol.with_stored(protocol.table(runs(*(folders or []))), out / "protocol-runs.csv")
    summary = protocol.summary(rows)
    canvas.save(protocol.over_time(rows), out / "protocol-errors.png", out)
    canvas.save(protocol.settings(summary), out / "protocol-settings.png", out)
    _csv(rows, out / "protocol-runs.csv", 4)
    _md(summary, out / "protocol.md")
    _md(protocol.claims(summary), out / "protocol-ranking.md")


@app.command("voter")
def voter_(folders: Some = None, out: Out = HERE) -> None:
    """(f) The voter model."""
    stored = runs(*(folders or []))
    paths = out / "voter-held.csv", out / "voter-tilted.csv"
    still = completed(voter.held(stored), paths[0], ["shape"], voter.read_held)
    moving = completed(voter.tilted(stored), paths[1], ["shape"], voter.read_tilted)
    for part, path in zip((still, moving), paths):
        _csv(part, path)
    canvas.save(voter.figure(still, moving), out / "voter.png", out)
    _md(voter.summary(still, moving), out / "voter.md")


@app.command("bands-exact")
def bands_exact(out: Out = HERE, length: int = 5, s: str = "-0.2511886432,-0.5011872336,-1", t: float = 10.0) -> None:
    """(d) Exact profiles of 2^24 states for `bands` (some CPU minutes per field)."""
    fields = parse.numbers(s, "--s")
    parts = [bands.exact_profiles(system, (length, length), fields, [t]) for system in ("east", "fa")]
    _csv(pd.concat(parts), out / f"bands-exact-{length}.csv")


@app.command("rare")
def rare_(out: Out = HERE, s: str = "0.02,0.1,0.3", t: float = 100.0) -> None:
    """The outlook: rare trajectories from a network's Doob process and from the exact one (some CPU minutes)."""
    fields = parse.numbers(s, "--s")
    with status(common.console(False), "rare trajectories") as tell:
        frame = rare.table(rare.MODELS, rare.NETWORKS, fields, t, tell)
    _md(frame, out / "rare.md")


app.command("scaling")(scaling.main)
app.command("speed")(speed.main)
