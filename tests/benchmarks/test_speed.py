"""Whole processes against their peers (`speed`): CPU seconds go into the report as ``extra_info``, ln Z must agree."""

from __future__ import annotations

import pytest
from benchmarks.speed import ROWS, measured

pytestmark = pytest.mark.benchmark


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_whole_processes(benchmark, row):
    ours, peer, apart = benchmark.pedantic(measured, (row,), rounds=1)
    benchmark.extra_info.update(cpu_s=ours, peer_cpu_s=peer, ratio=ours / peer, difference=apart)
