"""``Record``: everything about one run, as one JSON file, written whole or not at all.

Tables are held by columns (``{"quantity": [...], "t": [...], "value": [...]}``). JSON knows no infinity and no NaN:
such a value is null, and the column ``note`` says why.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, field_validator

from vanbench.compare.declare.columns import Columns
from vanbench.compare.declare.task import Run, Task, checked
from vanbench.exact import InputError
from vanbench.exact.warning import RunWarning

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 2
MOST_DIGITS = 20  # of a whole number: more than 64 bits hold, and no float overflows
FOLDER = "records"
UNFINISHED = "_unfinished"  # records of runs that were cut off or diverged; no task can have this name
VISIBLE = "[!.]*.json"  # skips the files that file systems add, like ._x.json of macOS


class SchemaMismatch(InputError):
    """A file of another version of this program."""


class Record(BaseModel):
    """One run, and what came of it.

    ``task_hash``: that of the task when it ran; ``system``, ``params``: the system's own name and all its parameters;
    ``rows``: the network's values; ``errors``: against the references; ``distances``: between whole distributions at
    the last time; ``log``: the tracker's own figures at the report times; ``warnings``: which of its numbers may be
    wrong, and why.
    """

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA
    run: Run
    task_hash: str
    system: str
    params: dict[str, Any]
    rows: Columns
    errors: Columns
    distances: Columns
    log: Columns
    diagnostics: dict[str, float | int | str | bool | None]
    estimator: str | None
    provenance: dict[str, Any]
    wall_s: float
    cpu_s: float
    peak_memory_mib: float
    warnings: list[RunWarning]

    @field_validator("rows", "errors", "distances", "log")
    @classmethod
    def _rectangular(cls, value: Columns) -> Columns:
        if len({len(column) for column in value.values()}) > 1:
            raise ValueError("its columns differ in length")
        return value

    @property
    def task(self) -> Task:
        return self.run.task

    @property
    def label(self) -> str:
        """How tables call what was judged: the network, or the tracker where it used none."""
        return self.run.architecture.label if self.diagnostics.get("n_parameters") else self.task.method

    @property
    def n_sites(self) -> int:
        return math.prod(self.run.shape)

    def frame(self, table: str = "rows") -> pd.DataFrame:
        """``rows``, ``errors``, ``distances`` or ``log`` as a DataFrame; null becomes NaN in columns of numbers."""
        import pandas as pd

        frame = pd.DataFrame(getattr(self, table))
        for name in frame.columns:
            if frame[name].dtype == object and not frame[name].map(lambda v: isinstance(v, str)).any():
                frame[name] = frame[name].astype(float)
        return frame

    def save(self, path: Path) -> None:
        write_json(path, self.model_dump(mode="json"))

    @classmethod
    def load(cls, path: Path) -> Record:
        """Raises ``InputError`` for a file that is truncated or not finite, ``SchemaMismatch`` for another version."""
        content = read_json(path)
        version = content.get("schema_version")
        if version != SCHEMA:
            raise SchemaMismatch(
                f"record {str(path)!r} has schema version {version!r}, this vanbench reads {SCHEMA}: "
                "run its task again."
            )
        return checked(cls, content, f"record {str(path)!r}")


def records(folder: Path) -> Iterator[tuple[Path, Record]]:
    """Every record under ``folder``, in the order of their paths. Raises ``InputError`` where there is none."""
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is not a folder: give the folder that `vanbench run --out` wrote.")
    paths = sorted(_record_files(folder))
    if not paths:
        raise InputError(
            f"{str(folder)!r} holds no records: run a suite with `vanbench run SUITE --out {folder}` first."
        )
    for path in paths:
        yield path, Record.load(path)


def unfinished(folder: Path) -> list[Record]:
    """What there is of the runs in ``folder`` that ended early; `records` leaves them out."""
    return [Record.load(path) for path in sorted((folder / UNFINISHED).rglob(VISIBLE))]


def _record_files(folder: Path) -> Iterator[Path]:
    """The JSON files under ``folder/records``, or under a folder of several runs, except the other files of a run."""
    root = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    for path in root.rglob(VISIBLE):
        if path.name == "suite.json" or path.parent.name in ("references", "baselines"):
            continue
        if UNFINISHED not in path.relative_to(root).parts:
            yield path


def write_json(path: Path, content: Any) -> None:
    """``content`` as JSON, atomically. Raises ``ValueError`` for a number that is not finite."""
    write_text(path, json.dumps(content, indent=1, allow_nan=False))


def write_text(path: Path, text: str) -> None:
    """Write ``text`` as `write_file` does."""
    write_file(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_file(path: Path, fill: Callable[[Path], object]) -> Path:
    """Atomically: a reader, or a machine that dies, sees the whole file that ``fill`` writes or none of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid4().hex[:12]}.tmp")
    try:
        fill(temporary)
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return path


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object. Raises ``InputError`` for a missing or truncated file, or a number that is not finite."""
    try:
        content = json.loads(path.read_text(), parse_constant=_refuse, parse_int=_whole)
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}.") from None
    except InputError as error:
        raise InputError(f"{str(path)!r} {error}") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is truncated or not valid JSON ({error}): delete it and run again.") from None
    if not isinstance(content, dict):
        raise InputError(f"{str(path)!r} holds no JSON object.")
    return content


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise InputError(f"holds a number of {len(digits)} digits: delete it and run again.")
    return int(digits)


def _refuse(constant: str) -> float:
    raise InputError(f"holds {constant}, which is not a number: delete it and run again.")
