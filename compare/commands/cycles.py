"""``vanbench cycles``: train and judge two-kernel generative chains."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from exact.errors import InputError

from ..output import check_format
from . import common


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""

    @app.command("cycles")
    def cycles(
        out: Annotated[Path, typer.Option(help="Folder for tables, figures and the record.")],
        data: Annotated[str, typer.Option(help="digits, bars-and-stripes, or a .npy, .npz or .csv file.")] = "digits",
        mnist: Annotated[Path | None, typer.Option(help="Folder with MNIST's IDX files; replaces --data.")] = None,
        hidden: Annotated[int, typer.Option(help="Hidden units.")] = 6,
        runs: Annotated[int, typer.Option(help="Independent models, trained at once.")] = 36,
        epochs: Annotated[int, typer.Option(help="Epochs of 30 updates.")] = 120,
        reading: Annotated[str, typer.Option(help="Hidden kernel: softmax, sigmoid or binary.")] = "softmax",
        threshold: Annotated[float | None, typer.Option(help="A pixel is on at or above this value.")] = None,
        seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 1,
        quiet: common.Quiet = False,
        form: common.Format = "table",
    ) -> None:
        """Nonequilibrium latent cycles: train two-kernel generative chains and measure their thermodynamics."""
        check_format(form)
        if out.exists() and not out.is_dir():
            raise InputError(f"{out} is a file: give a folder to --out.")
        from ..cycles.report import record, write
        from ..cycles.study import Config, study
        from ..datasets import load

        dataset = load(data, mnist, threshold)
        config = Config(hidden=hidden, runs=runs, epochs=epochs, reading=reading, seed=seed)  # type: ignore[arg-type]
        started = time.perf_counter()
        with progress_bar(quiet) as progress:
            found = study(dataset, config, progress)
        wall_s = time.perf_counter() - started
        command = "vanbench " + shlex.join(
            ["cycles", *(["--mnist", str(mnist)] if mnist else ["--data", data]), "--reading", reading]
            + ["--hidden", str(hidden), "--runs", str(runs), "--epochs", str(epochs), "--seed", str(seed)]
            + (["--threshold", f"{threshold:g}"] if threshold is not None else [])
            + ["--out", str(out)]
        )
        write(found, out, command, wall_s)
        if form == "json":
            typer.echo(json.dumps(record(found, command, wall_s), allow_nan=False))
        elif form == "csv":
            typer.echo(found.runs.to_csv(index=False), nl=False)
        else:
            _print_tables(found)


def _print_tables(found) -> None:
    from ..cycles.report import summary

    typer.echo(summary(found).to_markdown(index=False, floatfmt=".4g"))
    typer.echo()
    shown = found.claims[["claim", "value", "low", "high", "verdict", "detail"]]
    typer.echo(shown.to_markdown(index=False, floatfmt=".3g"))


@contextmanager
def progress_bar(quiet: bool) -> Iterator:
    """A ``progress(stage, done, total)`` callback that draws on stderr, one bar per stage."""
    if quiet or not sys.stderr.isatty():
        yield lambda *_: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bars:
        tasks: dict = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done)

        yield update
