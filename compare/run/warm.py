"""Loaded by the server that runs are forked from: what every run would find out again."""

from __future__ import annotations

from vanbench.compare.run import execute, provenance

provenance.commit()
provenance.code()
__all__ = ["execute"]
