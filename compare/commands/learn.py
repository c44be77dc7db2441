"""`vanbench learn` and `vanbench predict`: a Hamiltonian from configurations, and thermodynamics from it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from vanbench.compare.commands import common
from vanbench.compare.show import warned
from vanbench.compare.show.grid import markdown
from vanbench.compare.show.output import check_format
from vanbench.compare.show.warned import marked
from vanbench.exact.errors import InputError, unknown

COUPLINGS = ("J", "h", "plaquette")

EXAMPLE = "Example: vanbench learn ising --shape 8x8 --temperature 2.5 --generate 20000 --out runs/ising"


def register(app: typer.Typer) -> None:
    """Add `learn ising` and `predict` to the application."""
    family = typer.Typer(
        help="Learn a Hamiltonian from configurations at one temperature.", epilog=EXAMPLE, no_args_is_help=True
    )
    family.command("ising", epilog=EXAMPLE)(learn_ising)
    app.add_typer(family, name="learn")
    app.command("predict", epilog="Example: vanbench predict runs/ising --temperatures 1:4:0.5")(predict)


def learn_ising(
    shape: Annotated[str, typer.Option(help="Lattice lengths, e.g. 16x16.")],
    temperature: Annotated[float, typer.Option(help="Temperature T0 of the configurations.")],
    out: Annotated[Path, typer.Option(help="Folder for the network and its report; the same command resumes there.")],
    data: Annotated[Path | None, typer.Option(help="Configurations: .npy, .npz or .csv, one per row.")] = None,
    generate: Annotated[int | None, typer.Option(help="Draw this many configurations by Monte Carlo instead.")] = None,
    p: Annotated[list[str] | None, typer.Option("-p", help="True coupling: J, h or plaquette, e.g. -p J=1.")] = None,
    coarse: Annotated[int, typer.Option(help="Measure 2x2 block sums with this stride (1 or 2); 0: spins.")] = 0,
    architecture: Annotated[str, typer.Option(help="A registered network or my_module:MyNet.")] = "made",
    architecture_option: common.ArchitectureOption = None,
    batches: Annotated[int, typer.Option(help="Batches per epoch.")] = 128,
    epochs: Annotated[int, typer.Option(help="Maximum number of epochs.")] = 40,
    learning_rate: Annotated[float, typer.Option(help="Peak of the one-cycle schedule.")] = 2e-3,
    weight_decay: Annotated[float, typer.Option(help="Weight decay of the optimiser.")] = 0.0,
    validation: Annotated[float, typer.Option(help="Fraction of the data held out.")] = 0.1,
    patience: Annotated[int, typer.Option(help="Epochs without improvement before training stops.")] = 10,
    symmetries: Annotated[str, typer.Option(help="Assumed symmetries: translations,flip; none by default.")] = "",
    seed: common.Seed = 1,
    dtype: Annotated[str, typer.Option(help="Precision: float32 or float64.")] = "float64",
    quiet: common.Quiet = False,
) -> None:
    """Train by maximum likelihood, so that H(x) = -T0 ln p(x); writes a folder that `predict` reads."""
    from vanbench.compare.declare import parse
    from vanbench.compare.learn.ising import data as ising_data
    from vanbench.compare.learn.ising.learning import Spec, run
    from vanbench.compare.run.progress import Bars
    from vanbench.neural.learning.likelihood import Training

    if (data is None) == (generate is None):
        raise InputError("give either --data FILE or --generate N")
    training = Training(
        batches=batches,
        epochs=epochs,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        validation=validation,
        patience=patience,
        symmetries=tuple(parse.names(symmetries)) if symmetries else (),
        seed=seed,
    )
    architecture, options = parse.architecture(architecture, architecture_option or [])
    spec = Spec(
        shape=parse.shape(shape),
        T0=temperature,
        **couplings(p or []),
        stride=coarse,
        architecture=architecture,
        options=options,
        dtype=dtype,
        training=training,
    )
    n_sites = spec.network().n_sites
    if data is not None:
        x = ising_data.read(data, n_sites, spec.local_dim)
    else:
        x = ising_data.generate(generate or 0, spec.shape, spec.T0, spec.couplings, spec.stride, seed)
    with common.interruptible("the same command resumes from here."), Bars(common.console(quiet)) as bars:
        line = bars.add("training", epochs)
        result = run(
            spec,
            x,
            out,
            on_epoch=lambda fit: bars.update(
                line, completed=len(fit.history), note=f"nll {fit.history[-1]['validation_nll']:.3f}"
            ),
        )
    typer.echo(json.dumps({key: value for key, value in result.items() if key != "provenance"}, indent=1))
    warned.tell(f"{warning['kind']}: {warning['text']}." for warning in result["warnings"])


def predict(
    folder: Annotated[Path, typer.Argument(help="A folder that `vanbench learn` wrote.")],
    temperatures: Annotated[str, typer.Option(help="Temperatures, e.g. 1:4:0.1.")] = "1:4:0.1",
    method: Annotated[str, typer.Option(help="mixture (of independent draws), or chains (Markov chains).")] = "mixture",
    draws: Annotated[int, typer.Option(help="mixture: independent draws per temperature.")] = 1000,
    chains: Annotated[int, typer.Option(help="chains: independent chains per temperature.")] = 32,
    length: Annotated[int, typer.Option(help="chains: recorded steps per chain.")] = 150,
    thermalise: Annotated[int, typer.Option(help="chains: steps before the recorded ones.")] = 50,
    moves: Annotated[
        str, typer.Option(help="chains: moves, some of independence, metropolis, exchange.")
    ] = "independence,exchange",
    seed: common.Seed = 1,
    format: common.Format = "table",
    quiet: common.Quiet = False,
) -> None:
    """Predict thermodynamics at other temperatures from p^(T0/T), beside exact values; writes FOLDER/predict-*.csv,
    .png."""
    from vanbench.compare.declare import parse
    from vanbench.compare.learn.ising import predict as ising_predict
    from vanbench.compare.learn.ising.learning import load
    from vanbench.compare.learn.ising.plots import curves
    from vanbench.compare.run.progress import Bars

    check_format(format)
    values = parse.numbers(temperatures, "--temperatures")
    sampling = ising_predict.Sampling(method, draws, chains, length, thermalise, tuple(parse.names(moves)), seed)
    spec, net, fit = load(folder)
    with Bars(common.console(quiet)) as bars:
        line = bars.add("sampling")
        frame = ising_predict.predict(
            spec,
            net,
            fit,
            values,
            sampling,
            on_step=lambda done, total: bars.update(line, completed=done, total=total),
        )
    table = ising_predict.save(folder, frame, values, sampling)
    curves(frame, spec, table.with_suffix(".png"))
    doubts = ising_predict.doubts(frame, sampling)
    if doubts:
        frame = frame.assign(warning=[doubts[T].sentence if T in doubts else "" for T in frame["T"]])
    typer.echo(_text(frame, format, list(doubts.values())))
    warned.tell(warning.sentence for warning in doubts.values())


def couplings(items: list[str]) -> dict[str, float]:
    """`-p J=1 -p h=0.1` -> {"J": 1.0, "h": 0.1}."""
    from vanbench.compare.declare import parse

    given: dict[str, Any] = parse.options(items)
    for name, value in given.items():
        if name not in COUPLINGS:
            raise unknown("coupling", name, list(COUPLINGS))
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(f"-p {name}: write a number, e.g. -p {name}=1.")
    return {name: float(value) for name, value in given.items()}


def _text(frame, format: str, warnings: list) -> str:
    if format == "csv":
        return frame.to_csv(index=False, float_format="%.8g").rstrip()
    if format == "json":
        records = [{k: v for k, v in row.items() if v == v} for row in frame.to_dict("records")]  # NaN: left out
        return json.dumps({"warnings": [asdict(warning) for warning in warnings], "records": records})
    if "warning" not in frame:
        return markdown(frame.round(5))
    marks, below = marked([f"{T:g}: {text}" if text else "" for T, text in zip(frame["T"], frame["warning"])])
    return markdown(frame.assign(warning=marks).round(5)) + "".join(f"\nwarning {warning}" for warning in below)
