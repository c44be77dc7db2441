"""The README's and the pages' walkthroughs: files and commands as they stand there, output as it comes out."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import click
import pytest
import typer

from vanbench.compare.cli import application, main

ROOT = Path(__file__).parents[1]
README = "\n".join(path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))))
RESULTS = ROOT / "results" / "tang2024"
BLOCKS = dict(re.findall(r"```python\n# (\w+\.py)\n(.*?)```", README, re.DOTALL))
COMPACT = re.sub(r" \\\n *", " ", README)  # commands that go on in the next line
COMMANDS = re.findall(r"^    (?:\$ )?(vanbench (?!COMMAND).*?)(?:\s+#.*|\s+>.*|&)?$", COMPACT, re.MULTILINE)


def call(line: str, capsys: pytest.CaptureFixture) -> tuple[int, str]:
    with pytest.raises(SystemExit) as stop:
        main(shlex.split(line)[1:])
    return int(stop.value.code or 0), capsys.readouterr().out


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A fresh folder with the README's files."""
    for name, text in BLOCKS.items():
        (tmp_path / name).write_text(text)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_nets", raising=False)  # another test's file of this name
    return tmp_path


@pytest.mark.parametrize("line", COMMANDS)
def test_every_command_has_the_options_it_is_given(line: str) -> None:
    """Parsed, not run."""
    group = typer.main.get_command(application())
    name, *arguments = shlex.split(line)[1:]
    command = group.commands[name]  # type: ignore[attr-defined]
    command.make_context(name, arguments)  # raises click.UsageError


def test_an_option_that_does_not_exist_is_seen() -> None:
    group = typer.main.get_command(application())
    with pytest.raises(Exception, match="No such option") as error:
        group.commands["run"].make_context("run", ["tiny", "--nothing", "1"])  # type: ignore[attr-defined]
    assert isinstance(error.value, click.UsageError) or type(error.value).__name__ == "NoSuchOption"


def test_a_system_of_ones_own_gives_what_is_shown(place: Path, capsys: pytest.CaptureFixture) -> None:
    line = next(line for line in COMMANDS if "coin.py:make" in line)
    code, out = call(line, capsys)
    assert code == 0
    shown = README.split(line)[1].split("\n\n")[0]
    cells = [re.findall(r"[\w.-]+", row) for row in shown.splitlines() if "│" in row and "..." not in row]
    assert len(cells) == 4
    printed = [re.findall(r"[\w.-]+", row) for row in out.splitlines()]
    assert all(row in printed for row in cells)


def test_a_network_of_ones_own_keeps_the_contract(place: Path, capsys: pytest.CaptureFixture) -> None:
    line = next(line for line in COMMANDS if line.startswith("vanbench conform"))
    code, out = call(f"{line} --shape 5 --quiet", capsys)
    assert code == 0
    assert "It keeps the contract." in out


def test_its_broken_form_is_called_what_is_shown(place: Path, capsys: pytest.CaptureFixture) -> None:
    (place / "bad_nets.py").write_text(BLOCKS["my_nets.py"].replace("spins.cumsum(1) - spins", "spins.cumsum(1)"))
    code, out = call("vanbench conform bad_nets:MyNet --shape 5 --quiet", capsys)
    assert code == 1
    shown = README.split("With `before = spins.cumsum(1)` it would say")[1].split("\n\n")[1]
    for row in shown.splitlines():
        assert row.strip() in out


def test_an_open_system_of_ones_own_by_three_methods(place: Path, capsys: pytest.CaptureFixture) -> None:
    line = next(line for line in COMMANDS if "lossy.py:make" in line)
    answers = [call(f"{line} --format csv --method {method}", capsys) for method in ("liouvillian", "povm", "qutip")]
    assert [code for code, _ in answers] == [0, 0, 0]
    values = [[float(row.split(",")[3]) for row in out.splitlines()[1:]] for _, out in answers]
    assert len(values[0]) == 2
    for other in values[1:]:
        assert other == pytest.approx(values[0], abs=1e-8)


CASES = {
    "4x4, t <= 10": "south-east-4",
    "5x5, t <= 10": "south-east-5",
    "4x4, t <= 100": "south-east-4-long",
    "5x5, t <= 100": "south-east-5-long",
}
TABLES = {
    "tdvp(symmetrised)": "accuracy",
    "ritz": "accuracy-long",
    "tebd": "accuracy-tebd",
    "ritz(matrix-products)": "accuracy-tebd",
    "guided-clones": "accuracy-guided",
}


def rows(text: str) -> list[dict[str, str]]:
    """The rows of a Markdown table by their headings."""
    lines = [
        [cell.strip() for cell in line.strip()[1:-1].split("|")] for line in text.splitlines() if line.startswith("|")
    ]
    return [dict(zip(lines[0], line)) for line in lines[2:]]


def test_the_table_of_trackers_holds_the_stored_results() -> None:
    """Errors to the digits shown, CPU seconds rounded to whole ones."""
    shown = rows(README.split("## Which one")[1].split("    $ ")[0])
    seen = 0
    for row in shown:
        for heading, case in CASES.items():
            if not re.fullmatch(r"[\d.e-]+, \d+ s", row[heading]):
                continue
            error, cost = row[heading].removesuffix(" s").split(", ")
            tracker = row["tracker"].split("`")[1]
            cases = [case, f"{case}-guided", f"{case}-span"]
            table = rows((RESULTS / f"{TABLES[tracker]}.md").read_text())
            stored = [r for r in table if r["case"] in cases and r["tracker"] == tracker]
            assert len(stored) == 1
            digits = len(error.split("e")[0].partition(".")[2])
            assert float(error) == float(f"{float(stored[0]['largest error (median)']):.{digits}e}")
            assert int(cost) == round(float(stored[0]["CPU s (median)"]))
            seen += 1
    assert seen >= 12
