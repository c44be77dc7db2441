"""Systems, networks, trackers, quantities and suites of one's own: one file each, run through the command line."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from command_line import NETWORK_FILE, SYSTEM_FILE, run

from vanbench.compare import records
from vanbench.exact import InputError, build, solve
from vanbench.exact.registry import PluginWarning, Registry

TRACKER_FILE = """
from vanbench.neural.trackers import TRACKERS

class Own(TRACKERS["tdvp"]):
    pass
"""
QUANTITY_FILE = """
from vanbench.exact import Quantity

def down(system, x, s):
    return (x == 0).mean(1)

row = Quantity("down_density", ("s", "t"), "Fraction of down-spins.", observe=down)
by_site = Quantity("down_profile", ("s", "t", "site"), "The same of each site.", observe=lambda system, x, s: x == 0)
taken = Quantity("density", ("s", "t"), "A name that is taken.", observe=down)
wrong = Quantity("wrong_shape", ("s", "t"), "Not a value for each configuration.", observe=lambda system, x, s: x)
broken = Quantity("fails", ("s", "t"), "Divides by zero.", observe=lambda system, x, s: 1 / 0)
"""
SUITE_FILE = """
suite = {{
    "description": "everything of one's own",
    "tasks": [
        {{
            "name": "own", "system": "{system}", "shapes": [[2]], "s": [0.5], "times": [0.2], "seeds": 1,
            "quantities": ["{quantity}"], "architectures": ["{network}"], "tracker": "{tracker}",
            "tracker_options": {{"dt": 0.1, "full_summation": True}},
        }}
    ],
}}
"""
PLACES = {
    "system": ("own_system", "make", "vanbench.systems", "flips"),
    "network": ("own_network", "Mine", "vanbench.architectures", "mine"),
    "tracker": ("own_tracker", "Own", "vanbench.trackers", "own"),
    "quantity": ("own_quantity", "row", "vanbench.quantities", "down_density"),
    "suite": ("own_suite", "suite", "vanbench.suites", "own"),
}


def distribution(folder: Path, name: str, entries: list[tuple[str, str, str]]) -> None:
    """An installed package ``name`` with entry points (group, name, value), as far as Python looks at it."""
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("".join(f"[{group}]\n{key} = {value}\n" for group, key, value in entries))


@pytest.fixture(params=["file.py:name", "entry point"])
def own(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """What each part is called."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.chdir(tmp_path)
    names = {
        part: {
            "file.py:name": f"{tmp_path}/{module}.py:{attribute}",
            "entry point": entry,
        }[request.param]
        for part, (module, attribute, _, entry) in PLACES.items()
    }
    texts = (SYSTEM_FILE, NETWORK_FILE, TRACKER_FILE, QUANTITY_FILE, SUITE_FILE.format(**names))
    for (module, *_), text in zip(PLACES.values(), texts):
        monkeypatch.delitem(__import__("sys").modules, module, raising=False)
        (tmp_path / f"{module}.py").write_text(text)
    if request.param == "entry point":
        entries = [(group, entry, f"{module}:{name}") for module, name, group, entry in PLACES.values()]
        distribution(tmp_path, "outside", entries)
    return names


def answers(capsys: pytest.CaptureFixture, *command: object) -> dict[str, float]:
    assert run(*command, "--format", "json") == 0
    return {row["quantity"]: row["value"] for row in json.loads(capsys.readouterr().out)["records"]}


def flips(t: float, n: int = 2, s: float = 0.5, rate: float = 1.0) -> float:
    """``ln Z`` of independent Poisson clocks."""
    return n * rate * t * math.expm1(-s)


def test_each_part_from_outside_leads_to_a_number(own: dict, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    found = answers(capsys, "exact", own["system"], "--shape", "2", "--s", "0.5", "--quantities", "ln_Z")
    assert found["ln_Z"] == pytest.approx(flips(1.0), rel=1e-12)
    asked = ["--shape", "4", "-p", "c=0.3", "--s", "0.2", "--quantities", f"density,{own['quantity']}"]
    found = answers(capsys, "exact", "fa", *asked, "--method", "sparse")
    assert found["down_density"] == pytest.approx(1 - found["density"], abs=1e-14)
    command = ["track", own["system"], "--shape", "2", "--s", "0.5", "--times", "0.2", "--dt", "0.1", "--quiet"]
    command += ["--architecture", own["network"], "--tracker", own["tracker"], "--quantities", own["quantity"]]
    found = answers(capsys, *command, "--full-summation", "--out", "b")
    assert found["ln_Z"] == pytest.approx(flips(0.2), rel=1e-12)
    assert found["down_density"] == pytest.approx(0.5, abs=1e-12)
    assert run("run", own["suite"], "--out", "c", "--quiet", "--jobs", "1") == 0
    ((_, record),) = records(tmp_path / "c")
    errors = record.frame("errors").set_index("quantity")
    assert errors.value["ln_Z"] == pytest.approx(flips(0.2), rel=1e-12)
    assert errors.exact["down_density"] == pytest.approx(0.5, abs=1e-12)
    assert set(record.provenance["sources"]) == {f"own_{part}.py" for part in PLACES if part != "suite"}
    capsys.readouterr()
    assert run("table", "c", "--quantity", "down_density") == 0
    assert "0.5" in capsys.readouterr().out


def test_a_quantity_of_each_site(tmp_path: Path) -> None:
    (tmp_path / "own_quantity.py").write_text(QUANTITY_FILE)
    name = f"{tmp_path}/own_quantity.py:by_site"
    frame = solve(build("east", (3,), c=0.3), 0.4, 0.7, ["density_profile", name], method="sparse")
    values = frame.sort_values("site").groupby("quantity").value.agg(list)
    assert len(values["down_profile"]) == 3
    assert values["down_profile"] == pytest.approx([1 - up for up in values["density_profile"]], abs=1e-14)


OUTCOME_FILE = """
from vanbench.exact import Quantity

def z(system, x, s):
    return system.local_observables["sigma_z"][x].mean(1)

row = Quantity("own_z", ("s", "t"), "The z spins.", ("open quantum",), observe=z)
"""


@pytest.mark.parametrize("method", ["auto", "povm", "sparse"])
def test_a_quantity_of_an_open_quantum_system(tmp_path: Path, method: str) -> None:
    (tmp_path / "own.py").write_text(OUTCOME_FILE)
    system = build("tfim", (2,))
    found = solve(system, 0.3, 0.4, [f"{tmp_path}/own.py:row"], method=method).value[0]
    assert found == pytest.approx(solve(system, 0.3, 0.4, ["sigma_z"]).value[0], abs=1e-10)  # that of the integrators
    with pytest.raises(InputError, match="unknown quantity"):
        solve(build("fa", (3,)), quantities=[f"{tmp_path}/own.py:row"])


def test_networks_report_a_quantity_of_an_open_quantum_system(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "own.py").write_text(OUTCOME_FILE)
    names = f"sigma_z,{tmp_path}/own.py:row"
    command = ["track", "tfim", "--shape", "2", "--s", "0", "--times", "0.1", "--tracker", "tdvp", "--architecture"]
    command += ["table", "--full-summation", "--quantities", names, "--out", tmp_path / "out", "--quiet"]
    found = answers(capsys, *command)
    assert found["own_z"] == pytest.approx(found["sigma_z"], abs=1e-12)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("taken", "is called 'density'"),
        ("wrong", "returned the shape (16, 4): it must be (16,)"),
        ("broken", "'fails' failed: ZeroDivisionError"),
        ("down", "must be a Quantity"),
        ("nothing", "cannot be loaded"),
    ],
)
def test_quantities_that_are_none(tmp_path: Path, capsys: pytest.CaptureFixture, name: str, says: str) -> None:
    (tmp_path / "own_quantity.py").write_text(QUANTITY_FILE)
    asked = f"{tmp_path}/own_quantity.py:{name}"
    assert run("exact", "free", "--shape", "4", "--quantities", asked, "--method", "sparse") == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (("exact", "flip", "--shape", "2"), "unknown system 'flip', did you mean 'flips'?"),
        (("exact", "fa", "--shape", "2", "--quantities", "down_densty"), "did you mean 'down_density'?"),
        (("run", "owm", "--out", "x"), "unknown suite 'owm', did you mean 'own'?"),
        (("conform", "mime"), "unknown architecture 'mime', did you mean 'mine'?"),
        (
            ("track", "fa", "--shape", "2", "--s", "0", "--t-final", "0.1", "--tracker", "owm", "--out", "x"),
            "unknown tracker 'owm', did you mean 'own'?",
        ),
    ],
)
@pytest.mark.parametrize("own", ["entry point"], indirect=True)
def test_unknown_names_are_answered_with_the_nearest(own: dict, capsys: pytest.CaptureFixture, command, says) -> None:
    assert run(*command) == 2
    assert says in capsys.readouterr().err


def test_a_broken_entry_point_breaks_nothing_else(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture) -> None:
    groups = [group for _, _, group, _ in PLACES.values()]
    distribution(tmp_path, "broken", [(group, "nonsense", "no_such_module_at_all:thing") for group in groups])
    monkeypatch.syspath_prepend(str(tmp_path))
    assert run("list") == 0
    told = capsys.readouterr()
    assert told.err.count("of the package broken cannot be loaded: ModuleNotFoundError") == len(groups)
    assert "Traceback" not in told.err
    assert "fa" in told.out
    assert run("exact", "fa", "--shape", "3") == 0
    assert "warning" not in capsys.readouterr().err
    assert run("exact", "nonsense", "--shape", "3") == 2
    assert "of the package broken cannot be loaded" in capsys.readouterr().err


def test_a_name_that_is_taken_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rival.py").write_text(SYSTEM_FILE)
    distribution(tmp_path, "rival", [("vanbench.systems", "fa", "rival:make")])
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.warns(PluginWarning, match="the system 'fa' of the package rival is not used"):
        assert build("fa", (3,)).name == "fa"


def test_a_file_is_read_again_only_when_it_changed(tmp_path: Path) -> None:
    registry: Registry = Registry("thing", "things", {}, lambda name, thing: thing)
    path = tmp_path / "things.py"
    path.write_text("class A:\n    pass\n")
    first = registry.find(f"{path}:A")
    assert registry.find(f"{path}:A") is first
    path.write_text("class A:\n    x = 1\n")
    assert registry.find(f"{path}:A").x == 1
