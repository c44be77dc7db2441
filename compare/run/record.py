"""``Record``: everything about one run, as one JSON file, written whole or not at all.

Tables are stored by columns (``{"quantity": [...], "t": [...], "value": [...]}``). JSON has no infinity and no NaN:
such a value is null, and the column ``note`` says why.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, field_validator

from vanbench.compare.declare.columns import Columns
from vanbench.compare.declare.digests import digest
from vanbench.compare.declare.task import Run, Task, checked
from vanbench.compare.run.intact import defect
from vanbench.compare.run.stored import read_json
from vanbench.exact import InputError
from vanbench.exact.files import write_json
from vanbench.exact.tidy import html
from vanbench.exact.warning import RunWarning

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 2
FOLDER = "records"
UNFINISHED = "_unfinished"  # records of runs that were cut off or diverged; no task can have this name
VISIBLE = "[!.]*.json"  # skips the files that file systems add, like ._x.json of macOS
IMPORTED = "imported"  # no tracker has this name
LIBRARIES = ("vanbench", "torch", "numpy")
TABLES = ("rows", "errors", "distances", "log")


class SchemaMismatch(InputError):
    """A file of another version of this program."""


class Record(BaseModel):
    """One run and its results.

    ``task_hash``: the task's hash when it ran; ``system``, ``params``: the system's own name and all its parameters;
    ``rows``: the network's values; ``errors``: their errors against the references; ``distances``: distances between
    whole distributions at the last time; ``log``: the tracker's diagnostics at the report times; ``warnings``: which
    numbers may be wrong, and why. Imported results of another code have the cost that it states, or none.
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
    wall_s: float | None
    cpu_s: float | None
    peak_memory_mib: float | None
    warnings: list[RunWarning]

    @field_validator(*TABLES)
    @classmethod
    def _rectangular(cls, value: Columns) -> Columns:
        if len({len(column) for column in value.values()}) > 1:
            raise ValueError("its columns differ in length")
        return value

    @functools.cached_property
    def file(self) -> Path | None:
        """The file that the record was read from; None for a record that was made here."""
        return None

    def __repr__(self) -> str:
        return f"Record({self.run.label}: {len(self.rows.get('value', ()))} values, {len(self.warnings)} warnings)"

    __str__ = __repr__

    def _repr_html_(self) -> str:
        """Of a notebook: what `repr` says, and the values beside their references, where there are any."""
        wanted = ["quantity", "s", "t", "site", "distance", "value", "stderr", "sampling_stderr", "exact", "error"]
        rows = self.frame("errors" if self.errors.get("value") else "rows")
        shown = rows[[name for name in wanted if name in rows]].dropna(axis=1, how="all")
        return html(self, shown, '.frame("errors")')

    @property
    def task(self) -> Task:
        return self.run.task

    @property
    def imported(self) -> bool:
        """Whether another code computed its values (`vanbench import`), in a way that its task does not say."""
        return bool(self.diagnostics.get("imported"))

    @property
    def label(self) -> str:
        """The name in tables: the network, or the tracker if it used none."""
        named = self.imported or self.diagnostics.get("n_parameters")
        return self.run.architecture.label if named else self.task.method

    @property
    def method(self) -> str:
        """The name of the method in tables."""
        return IMPORTED if self.imported else self.task.method

    @property
    def code(self) -> str:
        """A digest of the code that made it: this package, the libraries that numbers depend on, the user's files."""
        held = self.provenance
        versions = held.get("versions")
        shown = {name: versions.get(name) for name in LIBRARIES} if isinstance(versions, dict) else {}
        return digest([held.get("code") or held.get("commit"), shown, held.get("sources") or {}])

    @property
    def n_sites(self) -> int:
        return math.prod(self.run.shape)

    def unfit(self, what: str) -> InputError:
        """For a page that this record does not fit, which ``what`` says."""
        return InputError(f"record {str(self.file)!r} {what}: it is not one of the runs that this page shows.")

    def frame(self, table: str = "rows", *needed: str) -> pd.DataFrame:
        """``rows``, ``errors``, ``distances`` or ``log`` as a DataFrame; null becomes NaN in columns of numbers.
        Raises ``InputError`` if a ``needed`` column is missing."""
        import pandas as pd

        frame = pd.DataFrame(getattr(self, table))
        for name in needed:
            if name not in frame:
                raise self.unfit(f"lacks the column {name!r} of its table {table!r}")
        for name in frame.columns:
            if frame[name].dtype == object and not frame[name].map(lambda v: isinstance(v, str)).any():
                frame[name] = frame[name].astype(float)
        return frame

    def save(self, path: Path, root: Path | None = None) -> None:
        write_json(path, self.model_dump(mode="json"), root)

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a record. Raises ``InputError`` for a file that is no intact record, ``SchemaMismatch`` for one of
        another version."""
        content = read_json(path)
        version = content.get("schema_version")
        if version != SCHEMA:
            raise SchemaMismatch(
                f"record {str(path)!r} has schema version {version!r}, this vanbench reads {SCHEMA}: "
                "run its task again."
            )
        record = checked(cls, content, f"record {str(path)!r}", stored=True)
        record.__dict__["file"] = path
        tables = {name: getattr(record, name) for name in TABLES}
        if wrong := defect(tables, record.diagnostics):
            raise InputError(f"record {str(path)!r}: {wrong}: delete it and run its task again.")
        return record


def records(folder: str | Path) -> Iterator[tuple[Path, Record]]:
    """All records under ``folder`` with their paths, ordered by path. Raises ``InputError`` if there is none."""
    folder = Path(folder)
    if not folder.is_dir():
        raise InputError(f"{str(folder)!r} is not a folder: give the folder that `vanbench run --out` wrote.")
    paths = sorted(record_files(folder))
    if not paths:
        raise InputError(
            f"{str(folder)!r} holds no records: run a suite with `vanbench run SUITE --out {folder}` first."
        )
    for path in paths:
        yield path, Record.load(path)


def unfinished(folder: Path) -> list[Record]:
    """The partial records of runs in ``folder`` that ended early; `records` leaves them out."""
    return [Record.load(path) for path in sorted((folder / UNFINISHED).rglob(VISIBLE))]


def record_files(folder: Path) -> Iterator[Path]:
    """The JSON files under ``folder/records``, or under a folder of several runs, except the other files of a run."""
    root = folder / FOLDER if (folder / FOLDER).is_dir() else folder
    for path in root.rglob(VISIBLE):
        if path.name == "suite.json" or path.parent.name in ("references", "baselines"):
            continue
        if UNFINISHED not in path.relative_to(root).parts:
            yield path
