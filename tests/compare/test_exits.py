"""Exit codes: 1 is a verdict alone, a machine that refuses is 2, a signal its own; and output that nobody reads."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import re
import resource
import signal
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import click
import pytest
import typer
from command_line import TINY_SUITE, run

from vanbench.__main__ import main as command_line
from vanbench.compare import exits, studies
from vanbench.compare.cli import application
from vanbench.compare.commands import study
from vanbench.compare.run.record import records

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "vanbench"]
NOISY = """
print("noise")
import vanbench as vb
from vanbench.neural.architectures.made import MADE
class Noisy(MADE):
    def __init__(self, shape, local_dim=2):
        print("noise")
        super().__init__(shape, local_dim)
    def logits(self, x):
        print("noise")
        return super().logits(x)
def noisy(shape):
    print("noise")
    return vb.build("east", shape)
"""
VERDICTS = {"compare/commands/gate.py", "compare/commands/conform.py"}


def test_the_table_of_the_docs() -> None:
    rows = re.findall(r"^\| +(\d+) \| (.*?) +\|$", (ROOT / "docs" / "exit-codes.md").read_text(), re.MULTILINE)
    assert {int(code): meaning for code, meaning in rows} == exits.MEANINGS


def test_one_is_only_a_verdict() -> None:
    """Whatever the source raises: by its name in two commands, and never as a number."""
    for path in (ROOT / "compare").rglob("*.py"):
        text, name = path.read_text(), str(path.relative_to(ROOT))
        assert not re.search(r"(Exit|exit)\(1\)", text), name
        assert ("WORSE" in text) <= (name in {*VERDICTS, "compare/exits.py"}), name


def every_command() -> dict[str, click.Command]:
    """Each command by its words: those of the program, and those of each study."""
    every: dict[str, click.Command] = {}
    waiting = {(): typer.main.get_command(application())}
    for name in study.names():
        waiting["study", name] = typer.main.get_command(import_module(f"{studies.__name__}.{name}.command").app)
    while waiting:
        words, command = waiting.popitem()
        if isinstance(command, click.Group | typer.core.TyperGroup):
            waiting |= {(*words, name): inner for name, inner in command.commands.items()}
        else:
            every[" ".join(words)] = command
    return every


EVERY = every_command()


def test_every_command_is_there() -> None:
    assert {"run", "import", "evaluate", "cycles", "learn ising", "predict", "equilibrium", "standing"} <= set(EVERY)
    assert {"study standing add", "study tang2024 phases", "study wang2020 run"} <= set(EVERY)


def check_mistake(words: str, option: click.Parameter | None, capsys: pytest.CaptureFixture) -> None:
    """A name that is none for each argument, and for an option."""
    parameters = EVERY[words].params
    arguments = [parameter for parameter in parameters if parameter.param_type_name == "argument"]
    given = [*words.split(), *["nonsense"] * len(arguments)]
    given += [] if any(argument.nargs < 0 for argument in arguments) else ["stray"]  # one too many, where there can be
    for parameter in {*(p for p in parameters if p.param_type_name == "option" and p.required), option} - {None}:
        given += [parameter.opts[0], *([] if getattr(parameter, "is_flag", False) else ["nonsense"])]
    code = run(*given)
    told = capsys.readouterr()
    assert code == 2 or (code, option and option.name) == (0, "help"), (given, code, told.err[-500:])
    assert not list(Path.cwd().iterdir()), given


@pytest.mark.parametrize("words", sorted(EVERY))
def test_no_mistake_ends_with_one(words: str, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture) -> None:
    """Of every command that there is."""
    monkeypatch.chdir(tmp_path)
    check_mistake(words, None, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("words", sorted(EVERY))
def test_no_mistaken_option_ends_with_one(words: str, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    for option in [parameter for parameter in EVERY[words].params if parameter.param_type_name == "option"]:
        check_mistake(words, option, capsys)


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 2, "No space left"),
        (OSError(errno.EMFILE, "Too many open files", "x"), 2, "'x': Too many open files"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), 2, "quota"),
        (PermissionError(errno.EACCES, "Permission denied", "x"), 2, "denied"),
        (OSError("something else"), 4, "defect of vanbench"),
        (RuntimeError("x"), 4, "defect of vanbench"),
        (SystemError("x"), 4, "defect of vanbench"),
        (KeyboardInterrupt(), 130, ""),
        (EOFError(), 4, ""),
        (MemoryError("Unable to allocate 9 TiB"), 2, "not enough memory: Unable to allocate"),
        (MemoryError(), 2, "not enough memory."),
        (SystemExit(1), 4, ""),
        (SystemExit("text"), 4, ""),
        (asyncio.CancelledError(), 4, ""),
        (GeneratorExit(), 4, ""),
    ],
)
def test_what_goes_wrong_is_never_one(monkeypatch, capsys, tmp_path: Path, error, code: int, says: str) -> None:
    def wrong(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("vanbench.compare.run.suite.run_suite", wrong)
    assert run("run", "validate", "--out", tmp_path / "x") == code
    told = capsys.readouterr().err
    assert says in told
    if code == 2:
        assert len(told.splitlines()) == 1


def test_somebodys_code_that_ends_the_program(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    (tmp_path / "leaves.py").write_text("import sys\ndef make(shape):\n    sys.exit(1)\n")
    assert run("exact", tmp_path / "leaves.py:make", "--shape", "3") == 2
    assert "leaves.py" in capsys.readouterr().err


def test_what_somebodys_code_prints_is_no_part_of_the_answer(tmp_path: Path, monkeypatch, capsys) -> None:
    """While it is read, built and asked: stdout is one JSON object all the same."""
    monkeypatch.chdir(tmp_path)
    Path("theirs.py").write_text(NOISY)
    network, place = "theirs.py:Noisy", ["--shape", "2", "--times", "0.1", "--s", "0.1", "--format", "json"]
    assert run(*["conform", network, "--shape", "2", "-q", "--format", "json"]) == 0
    answers = [capsys.readouterr()]
    assert run(*["track", "east", *place, "--architecture", network, "--tracker", "tdvp", "--out", "out", "-q"]) == 0
    answers.append(capsys.readouterr())
    state = next(Path("out").rglob("checkpoint.pt"), None)
    if state is not None:
        assert run(*["evaluate", "east", *place, "--architecture", network, "--state", str(state)]) == 0
        answers.append(capsys.readouterr())
    assert run(*["exact", "theirs.py:noisy", *place]) == 0
    answers.append(capsys.readouterr())
    for answer in answers:
        assert isinstance(json.loads(answer.out), dict)
        assert "noise" in answer.err


def test_a_folder_that_is_gone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gone").mkdir()
    os.chdir("gone")
    (tmp_path / "gone").rmdir()
    assert run("list") == 2
    assert capsys.readouterr().err == "error: the current folder no longer exists: change to another one.\n"


@pytest.mark.parametrize(
    ("error", "code"), [(OSError(errno.EMFILE, "Too many open files"), 2), (ImportError("no typer"), 2),
                        (MemoryError(), 2), (SyntaxError("invalid"), 2), (AttributeError("x"), 2),
                        (KeyboardInterrupt(), 130)],
)  # fmt: skip
def test_a_command_line_that_cannot_be_loaded(monkeypatch, capsys, error: BaseException, code: int) -> None:
    class Refuses:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "vanbench.compare.cli":
                raise error

    monkeypatch.delitem(sys.modules, "vanbench.compare.cli")
    monkeypatch.setattr(sys, "meta_path", [Refuses(), *sys.meta_path])
    with pytest.raises(SystemExit) as stop:
        command_line()
    assert stop.value.code == code
    assert len(capsys.readouterr().err.splitlines()) == (code == 2)


@pytest.mark.parametrize("arguments", [[], ["nope"], ["exact"], ["exact", "fa", "--shape", "3", "--nope"], ["--nope"]])
def test_mistakes_on_the_command_line_are_two(arguments: list[str], capsys: pytest.CaptureFixture) -> None:
    assert run(*arguments) == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_signals_say_how_it_goes_on(monkeypatch, capsys, tmp_path: Path, number: int, code: int) -> None:
    def ended(*_: object, **__: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(60)

    before = signal.signal(number, signal.SIG_DFL)  # where the tests run in the background, some are ignored
    try:
        monkeypatch.setattr("vanbench.compare.run.suite.run_suite", ended)
        assert run("run", "validate", "--out", tmp_path / "x") == code
        assert capsys.readouterr().err == "interrupted: the same command resumes from here.\n"
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_a_signal_that_is_ignored_stays_so(monkeypatch, tmp_path: Path) -> None:
    """As SIGHUP is under nohup."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr("vanbench.compare.run.suite.run_suite", lambda *_, **__: os.kill(os.getpid(), 1))
        assert run("run", "validate", "--out", tmp_path / "x") == 4  # a summary that is none: it went on
    finally:
        signal.signal(signal.SIGHUP, before)


def shell(command: str, **more: object) -> subprocess.CompletedProcess:
    text = command.replace("vanbench", " ".join(COMMAND))
    return subprocess.run(["bash", "-c", text], capture_output=True, text=True, **more)  # type: ignore[call-overload]


@pytest.mark.slow
def test_output_that_nobody_reads(tmp_path: Path) -> None:
    done = shell("vanbench list | head -1; echo ${PIPESTATUS[0]}")
    assert done.stdout.splitlines()[-1] == "0"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    done = shell("vanbench list > /dev/full; echo $?")
    assert (done.stdout, done.stderr) == ("2\n", "error: 'standard output': No space left on device.\n")
    for buffered in ("", "1"):
        done = shell(f"PYTHONUNBUFFERED={buffered} vanbench exact fa --shape 3 --format csv > /dev/full; echo $?")
        assert done.stdout == "2\n"
    assert shell("vanbench list >&- 2>&-; echo $?").stdout == "0\n"
    (tmp_path / "tiny.toml").write_text(TINY_SUITE)
    done = shell("vanbench run tiny.toml --out out -j 2 2>&1 | head -1; echo ${PIPESTATUS[0]}", cwd=tmp_path)
    assert done.stdout.splitlines()[-1] == "0"
    assert len(list(records(tmp_path / "out"))) == 6


@pytest.mark.slow
def test_a_disk_that_fills_is_one_line_and_the_same_command_goes_on(tmp_path: Path) -> None:
    """A limit on the size of a file stands for the disk: no rights are needed for it."""
    (tmp_path / "tiny.toml").write_text(TINY_SUITE)
    for workers in ("1", "2"):
        command = [*COMMAND, "run", "tiny.toml", "--out", "out", "-j", workers, "-q"]

        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))

        done = subprocess.run(command, cwd=tmp_path, preexec_fn=limit, capture_output=True, text=True)
        assert done.returncode == 2
        told = [line for line in done.stderr.splitlines() if not line.startswith("warning: ")]  # of accuracy: -q too
        assert len(told) == 1
        assert "File too large" in told[0]
        assert "the same command resumes" in told[0]
        assert not list(tmp_path.rglob("*.tmp"))
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0
    assert len(list(records(tmp_path / "out"))) == 6


@pytest.mark.slow
def test_too_few_file_handles(tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(TINY_SUITE)
    for handles in (8, 16):

        def limit(handles: int = handles) -> None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (handles, handles))

        command = [*COMMAND, "run", "tiny.toml", "--out", "out", "-j", "9", "-q"]
        done = subprocess.run(command, cwd=tmp_path, preexec_fn=limit, capture_output=True, text=True)
        assert done.returncode == 2
        (line,) = done.stderr.splitlines()
        assert "file handles are too few for" in line


def test_too_little_memory_is_a_sentence() -> None:
    """Below what libraries need, which hang without it, or end the program with 1."""
    commands = {
        20_000: "list",
        60_000: "table x",
        100_000: "exact fa",
        780_000: "track east",
        1_210_000: "run tiny -j 2",
    }
    for kib, command in commands.items():
        done = shell(f"ulimit -v {kib}; vanbench {command}; echo $?")
        assert done.stdout == "2\n"
        assert re.fullmatch(r"error: .* MiB of memory are allowed \(ulimit -v\), .* needed.\n", done.stderr)
    assert shell("ulimit -v 1000000; vanbench track --help; echo $?").stdout.endswith("\n0\n")  # which runs nothing


@pytest.mark.slow
@pytest.mark.parametrize("kib", [600_000, 900_000, 1_500_000, 2_000_000])
def test_a_library_that_cannot_be_loaded_is_a_sentence(tmp_path: Path, kib: int) -> None:
    track = "track east --shape 2 --times 0.1 --dt 0.1 --tracker kl --epochs 2 --out x -q"
    done = shell(f"ulimit -v {kib}; vanbench {track} > /dev/null; echo $?", cwd=tmp_path)
    assert done.stdout in ("0\n", "2\n")
    assert "defect" not in done.stderr
