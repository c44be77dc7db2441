"""A field on the time-integrated occupation, put on top of a tilted generator."""

from __future__ import annotations

import dataclasses

import numpy as np

from vanbench.exact.definitions.system import System
from vanbench.exact.definitions.terms import Term


def occupation(system: System, s: float, observable: str) -> System:
    """``system`` whose terms are those of ``W_s``, with the observable ``occupation``: ``int sum_i x_i(t) dt`` over
    all sites.

    Its generator at field ``h`` is ``W_s - h sum_i x_i``; minus the derivative of ``ln Z`` at ``h = 0`` is the
    integrated occupation of the s-ensemble.
    """
    terms = [Term(t.sites, t.tilted(observable, s)) for t in system.terms]
    values, d = np.arange(system.local_dim, dtype=float), system.local_dim
    terms += [Term((i,), np.zeros((d, d)), potentials={"occupation": values}) for i in range(system.n_sites)]
    return dataclasses.replace(system, terms=tuple(terms))
