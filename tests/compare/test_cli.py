"""The command line as a user meets it: output, exit codes, one line for a mistake."""

from __future__ import annotations

import json
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from command_line import SYSTEM_FILE, run

from vanbench.compare.declare import parse
from vanbench.exact import InputError
from vanbench.exact.errors import EXTRAS


def exact_json(capsys: pytest.CaptureFixture, *arguments: object) -> dict:
    assert run("exact", *arguments, "--format", "json") == 0
    return json.loads(capsys.readouterr().out)  # the whole of stdout is one object


# -- exact -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("system", "arguments", "values"),
    [
        (
            "fa",
            ["--shape", "6", "-p", "c=0.3", "--s", "0.2"],
            (-0.7054361304, 0.2447191632, -0.2373614540, 0.2557264131),
        ),
        (
            "east",
            ["--shape", "7", "-p", "c=0.2", "--s", "-0.3"],
            (0.5486865048, 0.1669626522, 0.3903053349, 0.2361729999),
        ),
    ],
)  # an independent dense computation, to the ten digits it was given with
def test_exact_meets_independent_values(
    capsys: pytest.CaptureFixture, system: str, arguments: list[str], values: tuple[float, ...]
) -> None:
    found = exact_json(capsys, system, *arguments, "--times", "2", "--quantities", "ln_Z,activity,scgf,density")
    held = {row["quantity"]: row["value"] for row in found["records"]}
    names = ("ln_Z", "activity", "scgf", "density")
    np.testing.assert_allclose([held[n] for n in names], values, atol=6e-11, rtol=0)  # half of the last digit given
    steady = next(row for row in found["records"] if row["quantity"] == "scgf")
    assert steady["t"] is None
    assert found["system"] == system
    assert found["params"]["c"] in (0.3, 0.2)


def test_exact_profiles_have_sites_and_csv_has_rows(capsys: pytest.CaptureFixture) -> None:
    found = exact_json(capsys, "east", "--shape", "2x2", "--quantities", "density_profile")
    assert [row["site"] for row in found["records"]] == [0, 1, 2, 3]
    assert run("exact", "east", "--shape", "3", "--times", "1:3:1", "--quantities", "ln_Z", "--format", "csv") == 0
    assert len(capsys.readouterr().out.splitlines()) == 1 + 3


def test_exact_graph_from_a_file_is_the_chain(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    edges = tmp_path / "edges.csv"
    edges.write_text("from,to\n0,1\n1,2\n# a chain\n2,3\n")
    options = ["--shape", "4", "--s", "0.2", "--quantities", "ln_Z"]
    graph = exact_json(capsys, "fa", "-p", f"edges={edges}", *options)
    chain = exact_json(capsys, "fa", "-p", "boundary=down", *options)
    assert graph["records"][0]["value"] == pytest.approx(chain["records"][0]["value"], rel=1e-12)


def test_exact_on_a_system_of_ones_own(capsys: pytest.CaptureFixture, tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(SYSTEM_FILE)
    found = exact_json(capsys, f"{path}:make", "--shape", "3", "-p", "rate=2", "--s", "0.5", "--times", "1.5")
    value = next(row["value"] for row in found["records"] if row["quantity"] == "ln_Z")
    assert value == pytest.approx(3 * 2 * 1.5 * np.expm1(-0.5), rel=1e-12)  # Poisson: t r N (e^-s - 1)
    for name, words in ((":broken", "must return"), (":none", "cannot be loaded"), (":os", "function")):
        assert run("exact", f"{path}{name}", "--shape", "3") == 2, words
    assert run("exact", f"{path}:make", "--shape", "3", "-p", "rates=2") == 2
    assert "did you mean 'rate'" in capsys.readouterr().err


def test_exact_on_the_temperature_axis(capsys: pytest.CaptureFixture) -> None:
    """Two by two with one bond a pair: Z = 12 + 2 e^{4/T} + 2 e^{-4/T}, E = -4 J with weight e^{4/T}."""
    found = exact_json(capsys, "ising", "--shape", "2x2", "--temperatures", "1,2", "--quantities", "energy")
    assert found["system"] == "ising"
    for row in found["records"]:
        boost = np.exp(4 / row["T"])
        expected = (2 * boost * -4 + 2 / boost * 4) / (12 + 2 * boost + 2 / boost) / 4
        assert row["value"] == pytest.approx(expected, rel=1e-9)


# -- mistakes ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["exact", "eas", "--shape", "4"], "did you mean 'east'"),
        (["exact", "east", "--shape", "4x-1"], "positive integer"),
        (["exact", "east", "--shape", "0"], "positive integer"),
        (["exact", "east", "--shape", "four"], "whole numbers"),
        (["exact", "east", "--shape", "4", "-p", "c=1.5"], "between 0 and 1"),
        (["exact", "east", "--shape", "4", "-p", "c=half"], "must be a number"),
        (["exact", "east", "--shape", "4", "-p", "c"], "NAME=VALUE"),
        (["exact", "east", "--shape", "4", "-p", "d=1"], "unknown parameter"),
        (["exact", "east", "--shape", "4", "-p", "shape=3"], "unknown parameter"),
        (["exact", "tfim", "--shape", "1", "--quantities", "correlation_zz"], "a single spin has none"),
        (["exact", "east", "--shape", "4", "-p", "boundary=7"], "boundary"),
        (["exact", "east", "--shape", "4", "--times", "1,x"], "--times"),
        (["exact", "east", "--shape", "4", "--times", "1:0:0.1"], "range"),
        (["exact", "east", "--shape", "4", "--s", "inf"], "finite"),
        (["exact", "east", "--shape", "4", "--quantities", "lnZ"], "did you mean 'ln_Z'"),
        (["exact", "east", "--shape", "4", "--observable", "current"], "observable"),
        (["exact", "east", "--shape", "4", "--format", "xml"], "unknown format"),
        (["exact", "east", "--shape", "6", "--scheme", "euler", "--dt", "3", "--times", "3"], "must stay below"),
        (["exact", "east", "--shape", "60"], "GiB"),
        (["exact", "east", "--shape", "64"], "--method cloning"),
        (
            ["track", "east", "--shape", "4", "--s", "0", "--times", "1", "--tracker", "tebd", "--out", "x"],
            "architecture matrix-product",
        ),
        (["exact", "fa", "--shape", "4", "-p", "edges=nowhere.csv"], "is no file"),
        (["exact", "east", "--shape", "4", "--temperatures", "1"], "ising"),
        (["exact", "ising", "--shape", "4", "--temperatures", "1", "--s", "0.1"], "takes no --s"),
        (["exact", "nowhere.py:make", "--shape", "4"], "does not exist"),
        (["list", "networks"], "unknown list"),
        (["run", "nothing"], "unknown suite"),
        (["run", "tiny", "--jobs", "0"], "at least one"),
        (["run", "tiny", "--seed", "-1"], "2^63"),
        (["run", "tiny", "--seed", str(2**64)], "2^63"),
        (["run", "tiny", "--architecture", "mad"], "did you mean 'made'"),
        (["run", "tiny", "--architecture", "nowhere.module:Net"], "cannot be loaded"),
        (["table", "nowhere"], "not a folder"),
        (["run", "tiny", "--device", "gpu0"], "unknown device"),
        (
            ["track", "east", "--shape", "4", "--s", "0", "--times", "1", "--out", "x", "--device", "gpu0"],
            "unknown device",
        ),
        (["track", "east", "--shape", "4", "--s", "0.1", "--out", "x"], "--t-final"),
        (["track", "east", "--shape", "4", "--s", "0.1", "--times", "1", "--out", "x", "--tracker", "kll"], "'kl'"),
        (
            [
                "track",
                "east",
                "--shape",
                "4",
                "--s",
                "0.1",
                "--times",
                "1",
                "--epochs",
                "5",
                "--dt",
                "0.3",
                "--out",
                "x",
                "--tracker-option",
                "order=1",
            ],
            "multiple",
        ),
        (["run", "tiny", "--architecture", "gru", "--architecture-option", "width=wide"], "whole number"),
        (["run", "tiny", "--architecture", "gru:width=wide"], "whole number"),
        (["conform", "gru:width=4", "--architecture-option", "width=4"], "given twice"),
        (["exact", "own.py", "--shape", "4"], "say which name in the file, like own.py:"),
        (
            ["track", "east", "--shape", "4", "--s", "0", "--times", "1", "--tracker-option", "dt=x", "--out", "x"],
            "number",
        ),
    ],
    ids=lambda v: " ".join(v) if isinstance(v, list) else v,
)
def test_mistakes_are_one_sentence_and_write_nothing(
    arguments: list[str],
    words: str,
    capsys: pytest.CaptureFixture,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == 2
    shown = capsys.readouterr()
    assert words in shown.err
    assert "Traceback" not in shown.err
    assert len(shown.err.strip().splitlines()) == 1
    assert not shown.out
    assert not list(tmp_path.rglob("*.json"))


def test_a_defect_is_a_crash(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vanbench.compare.commands.list._systems", lambda: 1 / 0)
    assert run("list", "systems") == 4
    assert "ZeroDivisionError" in capsys.readouterr().err


def test_every_system_says_what_it_is() -> None:
    from vanbench.exact import SYSTEMS, systems

    assert all(systems.about(name).endswith(".") for name in SYSTEMS)


def test_list_names_everything(capsys: pytest.CaptureFixture) -> None:
    assert run("list") == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("east", "south-east", "voter", "made", "gru", "kl", "validate"))


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"vanbench {version('vanbench')}\n"


COMMANDS = [
    "exact",
    "track",
    "run",
    "import",
    "evaluate",
    "table",
    "gate",
    "list",
    "learn",
    "predict",
    "equilibrium",
    "cycles",
]
COMMANDS += ["conform", "report"]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(capsys: pytest.CaptureFixture, command: str) -> None:
    assert run(command, "--help") == 0
    assert "Example" in capsys.readouterr().out


def test_a_network_holds_its_hyperparameters_in_its_name(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    options = ["track", "tfim", "--shape", "2", "--times", "0.01", "--samples", "20", "-q", "--tracker", "log-ratio"]
    assert run(*options, "--architecture", "made:hidden=4", "--out", tmp_path / "short", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["architecture"] == "made(hidden=4)"
    assert run(*options, "--architecture-option", "hidden=4", "--out", tmp_path / "long", "--format", "json") == 0
    assert json.loads(capsys.readouterr().out)["architecture"] == "made(hidden=4)"


def test_a_file_without_a_name_is_answered_with_one_of_its_names(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "mine.py").write_text("def _hidden(): ...\ndef spins(shape): ...\n")
    assert run("exact", str(tmp_path / "mine.py"), "--shape", "3") == 2
    assert "mine.py:spins" in capsys.readouterr().err


# -- parsing -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [("1,10,100", [1, 10, 100]), ("0:0.3:0.1", [0, 0.1, 0.2, 0.3]), ("1:-1:-1,5", [1, 0, -1, 5]), ("-0.5", [-0.5])],
)
def test_numbers(text: str, found: list[float]) -> None:
    assert parse.numbers(text, "x") == found


@pytest.mark.parametrize("text", ["", "1,,2", "0:1:0", "0:1", "nan", "0:1:1e-9", "a"])
def test_bad_numbers(text: str) -> None:
    with pytest.raises(InputError):
        parse.numbers(text, "x")


def test_option_values() -> None:
    items = ["a=1", "b=0.5", "c=true", "d=up", "e=64,64", "f=0:1,5:0", "g=bernoulli:0.3", "h=1e-3"]
    found = parse.options(items)
    assert found == {
        **{"a": 1, "b": 0.5, "c": True, "d": "up", "e": [64, 64]},
        **{"f": "0:1,5:0", "g": "bernoulli:0.3", "h": 1e-3},
    }


@pytest.mark.parametrize(
    ("package", "command"),
    [
        ("qutip", ["exact", "tfim", "--shape", "2", "--method", "qutip"]),
        ("distributed", ["run", "tiny", "--scheduler", "tcp://nowhere:1"]),
        (
            "tensorboard",
            ["track", "free", "--shape", "2", "--s", "0", "--t-final", "0.1", "--tensorboard"],
        ),
    ],
)
def test_a_missing_optional_package_is_named_when_the_command_runs(
    package: str, command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    out = [] if command[0] == "exact" else ["--out", tmp_path / "out"]
    assert run(*command, *out) == 2
    assert f"python -m pip install 'vanbench[{EXTRAS[package]}]'." in capsys.readouterr().err
