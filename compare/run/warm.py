"""Loaded by the server that runs are forked from: what every run would find out again."""

from __future__ import annotations

from importlib import import_module

from vanbench.compare.run import execute, provenance

provenance.commit()
provenance.code()
for name in ("torch._dynamo", "numba", "array_api_compat.torch"):  # loaded at first use: seconds not those of a run
    import_module(name)
__all__ = ["execute"]
