"""``Task``: a question to networks, as a versioned TOML declaration; ``Run``: one network on one shape of a task.

A suite file::

    version = 1
    description = "one sentence"

    [defaults]                      # merged into every task
    tracker = "tdvp"                # if left out: chosen by the kind of system and networks

    [[tasks]]
    name = "east-1d"
    version = 1                     # raise it whenever the numbers may change
    system = "east"
    params = {c = 0.5}
    shapes = [[4], [6]]
    s = [0.1]
    times = [0.5, 1.0]
    quantities = ["ln_Z", "density"]
    tracker_options = {dt = 0.1, samples = 1000}
    architectures = ["made", {name = "gru", options = {width = 16}}]
    seeds = 3

With ``vary = {c = [0.3, 0.5]}``, a block declares one task for each value of the parameter, named ``east-1d-c0.3`` and
so on.
"""

from __future__ import annotations

import fnmatch
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator

from vanbench.compare.declare import parse
from vanbench.compare.declare.blocks import merged, varied
from vanbench.compare.declare.digests import derived_seed, digest
from vanbench.compare.declare.labels import method_label
from vanbench.compare.declare.model import Model, checked
from vanbench.compare.declare.settings import Architecture, Budget, Goal, Number, Whole
from vanbench.exact import InputError
from vanbench.exact.errors import counted, unknown
from vanbench.exact.files import read_text
from vanbench.exact.registry import Registry
from vanbench.exact.spellings import refuse_old_tracker
from vanbench.exact.systems import canonical_name, parameters

SUITE_VERSION = 1
MOST_LENGTHS, MOST_LENGTH = 8, 1_000_000  # of a shape, and each of them
MOST_RUNS = 100_000  # of a suite
Length = Annotated[Whole, Field(le=MOST_LENGTH)]
_SAMPLED = {"full_summation": False}
_EULER = {"order": 1, "control": "fixed", **_SAMPLED}
FORMER: dict[str, dict[str, Any]] = {  # the defaults of trackers that have others today, by which results are stored
    "kl": _EULER, "natural-gradient": _EULER, "tdvp": _SAMPLED, "log-ratio": _SAMPLED, "l1": _SAMPLED,
}  # fmt: skip
UNHASHED = {"description", "shapes", "architectures", "seeds", "budget", "reference", "goal"}


class Task(Model):
    """One physical question, at several sizes. Fields are named like the arguments of ``solve`` and ``track``.

    ``reference`` names the exact vectors against which errors are measured (empty if none fits). By default it is
    continuous time, and also Euler steps for a tracker that takes them. ``"auto"`` is the same, and where exact vectors
    are too large, matrix products, then cloning, with their uncertainty (`run.ladder`). ``target``: whether the tracker
    follows time, or seeks the steady state, with which its reports are then compared. The hash covers everything the
    numbers depend on, except ``shapes``, ``architectures`` and ``seeds`` (each run holds its own); it does not cover
    the description, the budget, the goal and the references.

    ``tracker_defaults``: 2, the tracker's own; 1, those in ``FORMER``, which keep the hashes of results stored before.
    ``start_from``: a file with trained parameters, whose distribution is the start; no reference fits it.
    ``certify``: sharper error estimates, at up to twice the cost.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    version: Whole = Field(default=1, ge=1)
    description: str = ""
    system: str
    params: dict[str, Any] = Field(default_factory=dict)
    shapes: list[Annotated[tuple[Length, ...], Field(max_length=MOST_LENGTHS)]] = Field(min_length=1)
    s: list[Number] = Field(min_length=1)
    times: list[Number] = Field(min_length=1)
    observable: str = "activity"
    quantities: list[str] = Field(default=["ln_Z"], min_length=1)
    reference: list[Literal["continuous", "euler"]] | Literal["auto"] | None = None
    architectures: list[Architecture] = Field(default=[Architecture(name="made")], min_length=1)
    tracker: str = "auto"  # by the kind of the system and the networks: the one chosen stands here
    tracker_options: dict[str, Any] = Field(default_factory=dict)
    tracker_defaults: Literal[1, 2] = 2
    target: Literal["time", "steady"] = "time"
    dtype: Literal["float32", "float64"] = "float64"
    start_from: str | None = None
    certify: bool = False
    seeds: Whole = Field(default=3, ge=1, le=10_000)
    budget: Budget = Budget()
    goal: Goal | None = None

    if TYPE_CHECKING:  # what is taken, where the fields say what it becomes

        def __init__(
            self,
            *,
            name: str,
            system: str,
            shapes: int | str | Sequence[int | str | Sequence[int]],
            s: float | Sequence[float],
            times: float | Sequence[float],
            version: int = 1,
            description: str = "",
            params: Mapping[str, Any] = ...,
            observable: str = "activity",
            quantities: str | Sequence[str] = ...,
            reference: Sequence[str] | str | None = None,
            architectures: str | Architecture | Sequence[str | Architecture] = ...,
            tracker: str = "auto",
            tracker_options: Mapping[str, Any] = ...,
            tracker_defaults: int = 2,
            target: str = "time",
            dtype: str = "float64",
            start_from: str | None = None,
            certify: bool = False,
            seeds: int = 3,
            budget: Budget = ...,
            goal: Goal | None = None,
        ) -> None: ...

    @model_validator(mode="before")
    @classmethod
    def _chosen(cls, given: Any, info: ValidationInfo) -> Any:
        stored = (info.context or {}).get("stored")  # a choice builds the system, which may be somebody's file
        if stored or not isinstance(given, dict) or given.get("tracker", "auto") != "auto":
            return given
        former = given.get("tracker_defaults") == 1  # of results stored before there was a choice
        return {**given, **({"tracker": "kl"} if former else _choice(given))}

    @field_validator("architectures", mode="before")
    @classmethod
    def _names(cls, value: Any) -> Any:
        items = value if isinstance(value, list) else [value]
        return [Architecture.of(item) if isinstance(item, str) else item for item in items]

    @field_validator("shapes", mode="before")
    @classmethod
    def _chains(cls, value: Any) -> Any:
        items = value if isinstance(value, list | tuple) else [value]
        return [
            parse.shape(item) if isinstance(item, str) else (item,) if type(item) is int else item for item in items
        ]

    @field_validator("s", "times", "quantities", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        return [value] if isinstance(value, str | int | float) else value

    @field_validator("start_from")
    @classmethod
    def _one_start(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and "initial" in info.data.get("params", {}):
            raise ValueError("trained parameters and initial both say where the run begins: leave one of them out")
        return value

    @field_validator("tracker")
    @classmethod
    def _today(cls, value: str) -> str:
        refuse_old_tracker(value)
        return value

    @field_validator("s", "times")
    @classmethod
    def _ascending(cls, value: list[float]) -> list[float]:
        return sorted(set(value))

    @field_validator("times")
    @classmethod
    def _positive(cls, value: list[float]) -> list[float]:
        if value[0] <= 0:
            raise ValueError("times must be positive")
        return value

    @field_validator("quantities")
    @classmethod
    def _once(cls, value: list[str]) -> list[str]:
        return list(dict.fromkeys(["ln_Z", *value]))  # the error split is about ln_Z: it is always there

    @field_validator("shapes")
    @classmethod
    def _sizes(cls, value: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
        return [_lattice(shape) for shape in value]

    def __repr__(self) -> str:
        sizes = ", ".join(map(parse.shape_text, self.shapes))
        networks = ", ".join(network.label for network in self.architectures)
        return f"Task({self.name!r}: {self.system} {sizes}; {networks} by {self.method}; {counted(self.seeds, 'seed')})"

    __str__ = __repr__

    @property
    def climbs(self) -> bool:
        """Whether other references are used where exact vectors are too large."""
        return self.reference == "auto"

    @property
    def references(self) -> list[str]:
        """``reference``, or by default the vectors that fit the tracker."""
        if self.reference is not None and not self.climbs:
            return list(self.reference)
        if self.start_from is not None:  # the references begin where the system does
            return []
        from vanbench.neural import trackers

        euler = trackers.make(self.tracker, self.options).euler
        return ["continuous", "euler"] if euler else ["continuous"]

    @property
    def options(self) -> dict[str, Any]:
        """The tracker's options, with the defaults that replace its own."""
        former = FORMER.get(self.tracker, {}) if self.tracker_defaults == 1 else {}
        return {**former, **self.tracker_options}

    @property
    def method(self) -> str:
        """The tracker's name in tables, like ``tdvp(symmetrised)``."""
        return method_label(self.tracker, self.tracker_options, self.target)

    @property
    def hash(self) -> str:
        """16 hex digits, independent of formatting, order of keys, spelling of numbers and omitted defaults."""
        content = self.model_dump(mode="json", exclude=UNHASHED)
        content["system"] = canonical_name(self.system)
        content["params"] = {**parameters(self.system), **self.params}
        content["quantities"] = sorted(self.quantities)
        if self.tracker_defaults == 1 or self.tracker not in FORMER:
            del content["tracker_defaults"]
        if self.start_from is None:
            del content["start_from"]
        if not self.certify:
            del content["certify"]
        return digest(content)

    def runs(self, seed: int = 1, architectures: list[Architecture] | None = None) -> Iterator[Run]:
        """Every run of this task: architectures x shapes x seeds, seeds derived from the task's name and ``seed``."""
        for architecture in architectures or self.architectures:
            for shape in self.shapes:
                for replica in range(self.seeds):
                    own = derived_seed(self.name, shape, seed, replica)
                    yield Run(task=self, shape=shape, architecture=architecture, replica=replica, seed=own)


def _choice(given: dict[str, Any]) -> dict[str, Any]:
    """The tracker of a task that names none, and its options. What else is wrong with the task is told elsewhere."""
    from vanbench.exact import build
    from vanbench.neural.trackers import auto

    try:
        options = {**given.get("tracker_options", {})}
        shape = min(Task._chains(given["shapes"]), key=math.prod)
        system = build(given["system"], shape, **(given.get("params") or {}))
        named = Task._names(given.get("architectures", "made"))
        networks = {network.name for network in map(Architecture.model_validate, named)}
    except Exception:
        return {"tracker": "tdvp"}
    name = networks.pop() if len(networks) == 1 else ""
    choice = auto.choose(system, name, given.get("target", "time"), options)
    return {"tracker": choice.tracker, "tracker_options": {**choice.options, **options}}


def _lattice(shape: tuple[int, ...]) -> tuple[int, ...]:
    if not shape or min(shape) < 1:
        raise ValueError("every length of a shape must be a positive integer")
    return shape


class Run(Model):
    """One architecture on one shape with one seed."""

    task: Task
    shape: tuple[Length, ...] = Field(max_length=MOST_LENGTHS)
    architecture: Architecture
    replica: Whole
    seed: Whole

    @field_validator("shape")
    @classmethod
    def _size(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return _lattice(value)

    @property
    def key(self) -> dict[str, Any]:
        """The fields that distinguish this run from every other."""
        return {
            "task": self.task.name,
            "task_hash": self.task.hash,
            "shape": list(self.shape),
            "architecture": self.architecture.name,
            "architecture_options": self.architecture.options,
            "seed": self.seed,
        }

    @property
    def path(self) -> Path:
        """The path of its record under the folder ``records``."""
        short = self.architecture.name.rpartition("/")[2]  # of file.py:Class; the digest is of the whole
        name = "".join(c if c.isalnum() or c in "-_." else "-" for c in short)
        return (
            Path(self.task.name) / f"{parse.shape_text(self.shape)}_{name}_{self.replica}_{digest(self.key)[:8]}.json"
        )

    @property
    def label(self) -> str:
        return f"{self.task.name} {parse.shape_text(self.shape)} {self.architecture.label} #{self.replica + 1}"


class Suite(Model):
    """Several tasks under one name."""

    name: str
    version: Whole = SUITE_VERSION
    description: str = ""
    tasks: list[Task] = Field(min_length=1)

    @field_validator("tasks")
    @classmethod
    def _countable(cls, value: list[Task]) -> list[Task]:
        runs = sum(len(task.architectures) * len(task.shapes) * task.seeds for task in value)
        if runs > MOST_RUNS:
            raise ValueError(f"they ask for {runs} runs, more than {MOST_RUNS}")
        return value

    def __repr__(self) -> str:
        runs = sum(len(task.architectures) * len(task.shapes) * task.seeds for task in self.tasks)
        return f"Suite({self.name!r}: {counted(len(self.tasks), 'task')}, {counted(runs, 'run')})"

    __str__ = __repr__

    def only(self, names: Sequence[str]) -> Suite:
        """The suite with only the tasks of these names or patterns (``ring-*``); all if none is given.

        Raises ``InputError`` if a name matches no task."""
        known = [task.name for task in self.tasks]
        chosen = {name: fnmatch.filter(known, name) for name in names}
        for name, matching in chosen.items():
            if not matching:
                raise unknown(f"task of suite {self.name}", name, known)
        wanted = set().union(*chosen.values()) if names else set(known)
        return self.model_copy(update={"tasks": [task for task in self.tasks if task.name in wanted]})


def load_suite(name: str) -> Suite:
    """A suite by name (see `exact.registry`), or a TOML file by path. Raises ``InputError``."""
    held = Path(name) if name.endswith(".toml") else SUITES.find(name)
    return held if isinstance(held, Suite) else _of_file(held)


def _of_file(path: Path) -> Suite:
    try:
        content = tomllib.loads(read_text(path, "suite").removeprefix("\ufeff"))  # editors may leave a byte order mark
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(f"suite {str(path)!r} is not valid TOML: {error}.") from error
    return _declared(content, path.stem, f"suite {str(path)!r}")


def _declared(content: dict[str, Any], stem: str, what: str) -> Suite:
    """The suite that ``content`` declares, as TOML has it."""
    if content.get("version", SUITE_VERSION) != SUITE_VERSION:
        raise InputError(f"{what} has version {content['version']}; this vanbench reads {SUITE_VERSION}.")
    defaults = content.pop("defaults", {})
    tasks = content.get("tasks")
    if not isinstance(defaults, dict) or not isinstance(tasks, list) or not all(isinstance(t, dict) for t in tasks):
        raise InputError(f"{what}: write one [[tasks]] block per task, and at most one [defaults].")
    content["tasks"] = [one for task in tasks for one in varied(merged(defaults, task), what)]
    suite = checked(Suite, {"name": stem, **content}, what)
    names = [task.name for task in suite.tasks]
    for name in names:
        if names.count(name) > 1:
            raise InputError(f"{what}: the task name {name!r} is used twice.")
    return suite


def suites() -> dict[str, Path]:
    """The suites of this package by name, those of the studies among them: a study is found by its folder."""
    here = Path(str(resources.files("vanbench.compare")))
    paths = [*here.glob("declare/suites/*.toml"), *here.glob("studies/*/suites/*.toml")]
    return {path.stem: path for path in sorted(paths, key=lambda path: path.stem)}


def _from_outside(name: str, held: Any) -> Suite:
    if isinstance(held, Mapping):
        return _declared(dict(held), name.rpartition(":")[2], f"suite {name!r}")
    if isinstance(held, Path):
        return _of_file(held)
    if not isinstance(held, Suite):
        raise InputError(
            f"suite {name!r} must be a Suite, the path of a TOML file, or a dictionary with the content of one."
        )
    return held


SUITES: Registry[Suite | Path] = Registry("suite", "suites", suites(), _from_outside)
