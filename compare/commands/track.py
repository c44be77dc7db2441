"""``vanbench track``: let networks follow one system."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vanbench.compare.commands import common
from vanbench.compare.declare import parse
from vanbench.compare.show.escape import printable
from vanbench.exact.errors import InputError

if TYPE_CHECKING:
    from vanbench.compare.declare.task import Run

AUTO = "auto"  # as of neural.trackers.auto, which loads torch
EXAMPLE = (
    """Example: vanbench track east --shape 3x3 --s 0.1 --times 0.5,1 --architecture made --dt 0.05 --out runs/first"""
)


def register(app: typer.Typer) -> None:
    app.command("track", epilog=EXAMPLE)(track)


def track(
    system: common.System,
    shape: common.Shape,
    out: Annotated[Path, typer.Option(help="Folder for the record and the checkpoint.")],
    s: Annotated[str, typer.Option("--s", help="Counting fields, trained side by side, like 0.1,0.2.")] = "0",
    param: common.Params = None,
    t_final: Annotated[
        float | None, typer.Option(help="Final time, the only one reported; use --times for several.")
    ] = None,
    times: Annotated[str | None, typer.Option(help="Report times, like 1,10 or 0.5:5:0.5.")] = None,
    quantities: Annotated[
        str | None, typer.Option(help="Quantities, joined by commas (default: ln_Z and density, or the three spins).")
    ] = None,
    architecture: Annotated[str, typer.Option(help=common.OUTSIDE)] = "made",
    architecture_option: common.ArchitectureOption = None,
    tracker: Annotated[str, typer.Option(help=f"auto chooses one and says why. {common.OUTSIDE}")] = AUTO,
    tracker_option: Annotated[list[str] | None, typer.Option(help="An option of the tracker, NAME=VALUE.")] = None,
    target: Annotated[str, typer.Option(help="time, or steady for the steady state.")] = "time",
    dt: Annotated[float | None, typer.Option(help="Time step.")] = None,
    samples: Annotated[int | None, typer.Option(help="Configurations drawn per training step.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Training steps per time step.")] = None,
    full_summation: Annotated[bool, typer.Option(help="Sum over all configurations instead of sampling.")] = False,
    strict: Annotated[bool, typer.Option(help="Treat negative targets as an error instead of clamping them.")] = False,
    observable: common.Observable = "activity",
    initial: common.Initial = None,
    seed: common.Seed = 1,
    device: common.Device = "auto",
    dtype: Annotated[str, typer.Option(help="Precision: float64 or float32.")] = "float64",
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Write live logs to OUT/tensorboard.")] = False,
    resume: Annotated[
        bool | None, typer.Option(help="Resume from the checkpoint in --out (default: when there is one).")
    ] = None,
    start_from: Annotated[
        str | None, typer.Option(metavar="FILE", help="Start from the distribution of these trained parameters.")
    ] = None,
    certify: Annotated[bool, typer.Option(help="Give sharper error estimates, at up to twice the cost.")] = False,
    form: common.Format = "table",
    quiet: common.Quiet = False,
) -> None:
    """Train networks along the tilted evolution; gives values with standard errors, without an exact reference."""
    from vanbench.compare.declare.task import Architecture, Run, Task, checked
    from vanbench.compare.run import execute
    from vanbench.compare.run.progress import Bars
    from vanbench.compare.run.record import FOLDER, Record
    from vanbench.compare.run.suite import finished, require_empty_or_run_folder
    from vanbench.compare.show import warned
    from vanbench.compare.show.output import check_format, emit
    from vanbench.exact import build
    from vanbench.exact.definitions.quantities import TRACK_DEFAULT, kind_of
    from vanbench.exact.files import stay_inside
    from vanbench.neural.backend import distributed
    from vanbench.neural.run import callbacks
    from vanbench.neural.trackers import auto

    check_format(form)
    lengths = parse.shape(shape)
    options = parse.options(tracker_option or [], "--tracker-option")
    direct = {"dt": dt, "samples": samples, "epochs": epochs}
    options.update({name: value for name, value in direct.items() if value is not None})
    options.update({name: True for name, on in (("full_summation", full_summation), ("strict", strict)) if on})
    params = common.parameters(param, initial)
    stderr = common.console(quiet)
    with common.aside():
        built = build(system, lengths, **params)
    network = Architecture.of(architecture, architecture_option or [])
    asked = parse.names(quantities) if quantities else TRACK_DEFAULT[kind_of(built)]
    chosen: dict[str, str] = {}
    if tracker == AUTO:
        choice = auto.choose(built, network.name, "steady" if target == "steady" else "time", options)
        tracker, options = choice.tracker, {**choice.options, **options}
        chosen = {"tracker_reason": choice.reason}
    declared: dict[str, Any] = {
        "name": "".join(c if c.isalnum() or c in "-_." else "-" for c in Path(system).name),
        "system": system,
        "params": params,
        "shapes": [lengths],
        "s": parse.numbers(s, "--s"),
        "times": _times(times, t_final),
        "observable": observable,
        "quantities": list(asked),
        "reference": [],
        "architectures": [network],
        "tracker": tracker,
        "tracker_options": options,
        "target": target,
        "dtype": dtype,
        "start_from": start_from,
        "certify": certify,
        "seeds": 1,
    }
    task = checked(Task, declared, "track")
    run = Run(task=task, shape=lengths, architecture=task.architectures[0], replica=0, seed=seed)
    with common.aside():
        execute.check(run)
    distributed.named(device)
    first = common.first_process()
    if first:
        require_empty_or_run_folder(out)
        stay_inside(out / "tensorboard" / "events", out)
    path = out / FOLDER / run.path
    if finished(run, out) and resume is not False:
        if first:
            typer.echo("this run is already finished; --no-resume runs it again.", err=True)
    else:
        live = [callbacks.tensorboard(out / "tensorboard")] if tensorboard and first else []
        if resume is None and first and _has_checkpoint(run, out):
            resume = _going_on(out)
        if chosen and first:
            stderr.print(f"tracker: {tracker}: {chosen['tracker_reason']}", markup=False)
        with (
            common.interruptible("the same command resumes from here."),
            _alone(run, out, resume) if first else nullcontext(),
            Bars(stderr) as bar,
        ):
            line = bar.add(run.label)

            def moved(step: int, total: int, message: str) -> None:
                bar.update(line, completed=step, total=total, note=message)

            done = execute.execute(
                run, out, device, out / "checkpoint", bool(resume), [callbacks.progress(moved), *live]
            )
        if done.ended:
            warned.tell(warning.sentence for warning in done.warnings)
            raise InputError(done.ended)
    if distributed.rank() > 0:
        return  # of several processes under torchrun, the first speaks
    record = Record.load(path)
    warned.tell(warning.sentence for warning in record.warnings)
    head = {
        **{"system": record.system, "shape": record.run.shape, "params": record.params, "observable": observable},
        **{"architecture": record.label, "tracker": task.method, **chosen, "seed": seed, "estimator": record.estimator},
        **{"diagnostics": record.diagnostics, "record": str(path)},
    }
    emit(form, record.frame("rows"), head, run.label, record.warnings)
    stderr.print(printable(f"record: {path}"), markup=False)


def _has_checkpoint(run: Run, out: Path) -> bool:
    """Whether ``out`` holds a checkpoint of this very run."""
    from vanbench.compare.run.stored import read_json

    note = out / "checkpoint" / "run.json"
    return (note.parent / "checkpoint.pt").exists() and note.exists() and read_json(note).get("path") == str(run.path)


def _going_on(out: Path) -> bool:
    """That a run goes on, said. Raises ``InputError`` under ``torchrun``, whose processes must all be told."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise InputError(f"{str(out)!r} holds a checkpoint of this run: give --resume, or --no-resume to begin again.")
    typer.echo("resuming from the checkpoint in --out; --no-resume begins again.", err=True)
    return True


@contextmanager
def _alone(run: Run, out: Path, resume: bool | None) -> Iterator[None]:
    """Inside, ``out`` is the folder of ``run``. Raises ``InputError`` where another call writes there, or where the
    checkpoint of another run is, finished or not."""
    from vanbench.compare.run.claims import claimed
    from vanbench.compare.run.stored import read_json
    from vanbench.exact.files import write_json

    folder = out / "checkpoint"
    note = folder / "run.json"
    with claimed(note, run.label, out) as other:
        if other is not None:
            raise InputError(f"{other} runs {other.what} into {str(out)!r}: give another --out.")
        before = read_json(note) if note.exists() else {}
        asked = resume is not None and not before  # of a checkpoint that names no run, the caller knows
        if before.get("path") != str(run.path) and (folder / "checkpoint.pt").exists() and not asked:
            raise InputError(
                f"{str(out)!r} holds the checkpoint of another run, {before.get('label', 'which it does not name')}: "
                f"give another --out, or delete {str(folder)!r}."
            )
        write_json(note, {"path": str(run.path), "label": run.label}, out)
        yield


def _times(times: str | None, t_final: float | None) -> list[float]:
    if (times is None) == (t_final is None):
        raise InputError("give either --times (like 1,10) or --t-final.")
    if times is not None:
        return parse.numbers(times, "--times")
    return [float(t_final)]  # type: ignore[arg-type]
