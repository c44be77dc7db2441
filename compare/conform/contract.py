"""``conform``: every check of the contract on every lattice that a network says it supports."""

from __future__ import annotations

import math
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from vanbench.compare.conform import checks as distribution
from vanbench.compare.conform import program
from vanbench.compare.conform.case import KINDS, Case, Make, Skip, Violation
from vanbench.exact import InputError
from vanbench.neural import Autoregressive
from vanbench.neural.architectures import check_options, find
from vanbench.neural.backend.seeds import seed_torch
from vanbench.neural.outside.wrapped import DTYPES_HINT

Check = Callable[[Case], None]
# In this order: what fails first explains what fails after it.
CHECKS: dict[str, Check] = {
    "construction": program.check_construction,
    "shapes and dtypes": program.check_types,
    "randomness": program.check_randomness,
    "hidden state": program.check_hidden_state,
    "batch invariance": program.check_batches,
    "causality": distribution.check_causality,
    "normalisation": distribution.check_normalisation,
    "pinned sites and support": distribution.check_support,
    "cached sampling": distribution.check_cache,
    "samples and density": distribution.check_sampling,
    "neighbours": distribution.check_neighbours,
    "gradients": distribution.check_gradients,
    "product start": distribution.check_product_start,
    "seeds": program.check_seeds,
    "save and load": program.check_save_and_load,
    "copies": program.check_copies,
    "float32": program.check_single_precision,
    "CUDA": program.check_cuda,
}
FOUNDATIONS = tuple(CHECKS)[:3]  # the rest means nothing without them
RESTRICTED = (  # run under every restriction; the others on the free lattice
    "normalisation",
    "pinned sites and support",
    "samples and density",
    "neighbours",
    "product start",
    "copies",
    "float32",
    "CUDA",
)
TRIED = (2, 4)  # local dimensions
MOST_SITES = 256  # minutes; its cost grows with a power of the sites
SHAPES = {1: (5,), 2: (2, 3), 3: (2, 2, 2)}
SHAPES_OF_MORE = {1: (4,), 2: (2, 2), 3: (2, 2, 1)}  # 4^4 states
PAIRS = {1: (2,), 2: (2, 1), 3: (2, 1, 1)}
SQUARES = {1: (4,), 2: (2, 2), 3: (2, 2, 2)}


@dataclass(frozen=True)
class Result:
    """The result of one check in one setting: ``passed``, ``failed`` or ``skipped`` (``found`` says why)."""

    check: str
    setting: str
    status: str
    tried: str = ""
    found: str = ""
    likely: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Conformance:
    """All results, in the order in which they were made."""

    architecture: str
    results: list[Result]

    @property
    def failures(self) -> list[Result]:
        return [result for result in self.results if result.status == "failed"]

    @property
    def failed_checks(self) -> list[str]:
        """The names of the failed checks, each once, the most basic first."""
        return [name for name in CHECKS if any(failure.check == name for failure in self.failures)]

    def as_dict(self) -> dict[str, Any]:
        return {
            "architecture": self.architecture,
            "passed": not self.failures,
            "results": [asdict(result) for result in self.results],
        }


def conform(
    architecture: str | type[Autoregressive],
    shape: tuple[int, ...] | None = None,
    options: Mapping[str, Any] | None = None,
    report: Callable[[Result], None] | None = None,
) -> Conformance:
    """Hold ``architecture`` (a name, ``file.py:MyNet``, or a class) to the contract.

    ``shape``: this lattice alone, instead of a small one for each of the class's ``dimensions``. ``report`` is called
    with each result. Raises ``InputError`` for an unknown name or option and a shape that cannot be. Nothing that the
    network does raises: it is a failure in the result.
    """
    cls = find(architecture) if isinstance(architecture, str) else architecture
    name = architecture if isinstance(architecture, str) else f"{cls.__module__}:{cls.__qualname__}"
    if shape is not None and len(shape) not in cls.dimensions:
        raise InputError(
            f"{name} is for lattices of dimension {' or '.join(map(str, cls.dimensions))}: "
            f"it cannot be tried on the shape {'x'.join(map(str, shape))}."
        )
    if shape is not None and math.prod(shape) > MOST_SITES:
        raise InputError(
            f"--shape {'x'.join(map(str, shape))} has {math.prod(shape)} sites: the contract is the same at any size, "
            f"and is tried on at most {MOST_SITES}."
        )
    check_options(architecture, options or {})
    if cls.square and shape is not None and len(set(shape)) > 1:
        raise InputError(f"{name} is for lattices of equal lengths: it cannot be tried on {'x'.join(map(str, shape))}.")
    results = []
    for result in _results(cls, _maker(cls, dict(options or {})), shape):
        results.append(result)
        if report is not None:
            report(result)
    return Conformance(name, results)


def cases(cls: type[Autoregressive], make: Make, shape: tuple[int, ...] | None = None) -> Iterator[Case]:
    """The free settings: d = 2 and 4, or what the network claims instead, one lattice for each dimension."""
    for dimension in cls.dimensions if shape is None else (len(shape),):
        if shape is None and dimension not in SHAPES:
            continue
        for d in local_dims(cls):
            sizes = SHAPES if d == 2 else SHAPES_OF_MORE if d <= 6 else PAIRS
            yield Case(make, shape or (SQUARES if cls.square else sizes)[dimension], d)


def local_dims(cls: type[Autoregressive]) -> list[int]:
    """2 and 4, as far as the network claims them, else the smallest that it does."""
    claimed = [d for d in TRIED if cls.local_dims is None or d in cls.local_dims]
    return claimed or [min(cls.local_dims or TRIED)]


def attempt(name: str, case: Case) -> Result:
    """One check in one setting; an exception of the network is a failure with the place it came from."""
    began = time.perf_counter()

    def result(status: str, **texts: str) -> Result:
        return Result(name, case.label, status, **texts, seconds=round(time.perf_counter() - began, 4))

    check = CHECKS[name]
    try:
        with torch.random.fork_rng(devices=[]):
            seed_torch(case.seed)
            check(case)
    except Skip as reason:
        return result("skipped", found=str(reason))
    except Violation as broken:
        return result("failed", tried=broken.tried, found=broken.found, likely=broken.likely)
    except Exception as error:
        lines = str(error).strip().splitlines() or [""]
        found = f"{type(error).__name__}: {lines[0]} ({_place(error)})"
        tried = (check.__doc__ or name).split("\n")[0].rstrip(".")
        return result("failed", tried=tried, found=found, likely=_guess(error))
    return result("passed")


def _results(cls: type[Autoregressive], make: Make, shape: tuple[int, ...] | None) -> Iterator[Result]:
    for limit in limits(cls):
        yield Result(next(iter(CHECKS)), limit, "skipped", found="the network does not claim it")
    for case in cases(cls, make, shape):
        broken = None
        for name in CHECKS:
            for kind in KINDS if name in RESTRICTED else ("none",):
                here = Case(make, case.shape, case.d, kind)
                if broken is not None:
                    yield Result(name, here.label, "skipped", found=f"{broken} failed first")
                    continue
                result = attempt(name, here)
                yield result
                if result.status == "failed" and name in FOUNDATIONS:
                    broken = name


def limits(cls: type[Autoregressive]) -> list[str]:
    """What is not tried because a network does not claim it."""
    out = [f"d = {d}" for d in TRIED if d not in local_dims(cls)]
    out += ["lattices of unequal lengths"] if cls.square and max(cls.dimensions) > 1 else []
    out += [dtype for dtype in Autoregressive.dtypes if dtype not in cls.dtypes]
    return out + ([] if cls.pinning else ["pinned sites and fixed sums"])


def _maker(cls: type[Autoregressive], options: dict[str, Any]) -> Make:
    return lambda shape, d: cls(shape, local_dim=d, **options)


def _place(error: Exception) -> str:
    """The innermost line of the network's own file: neither this package nor a library."""
    own = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).parent != Path(__file__).parent and "site-packages" not in frame.filename
    ]
    frame = own[-1] if own else traceback.extract_tb(error.__traceback__)[-1]
    return f"{Path(frame.filename).name}:{frame.lineno}, in {frame.name}"


def _guess(error: Exception) -> str:
    text = str(error).lower()
    if "dtype" in text or "scalar type" in text:
        return f"a tensor is made without dtype: use self.encode(x), or register_buffer.{DTYPES_HINT}"
    if "device" in text:
        return "a tensor is made without device=x.device, or is no registered buffer"
    if "shape" in text or "size" in text or "dimension" in text:
        return "logits takes x of shape (batch, n_sites), any batch, and returns (batch, n_sites, local_dim)"
    if isinstance(error, InputError):
        return "what the sentence says"
    if isinstance(error, TypeError):
        return "the constructor is MyNet(shape, local_dim=2, **hyperparameters), every hyperparameter with a default"
    return "the line named"
