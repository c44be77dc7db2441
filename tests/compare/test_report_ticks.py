"""Ticks of the report's logarithmic axes: each label is the number at its tick, and there are at least two."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vanbench.compare.show.report.svg import RAISED, axes, decades

LOWERED = str.maketrans({chr(raised): chr(plain) for plain, raised in RAISED.items()})
POWER = re.compile(r"(?:(.*)×)?10([⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)")


def number(label: str) -> float:
    if power := POWER.fullmatch(label):
        return float(power[1] or 1) * 10.0 ** int(power[2].translate(LOWERED))
    return float(label)


@given(st.floats(-12, 6), st.floats(0.0001, 5))
@example(-1.75, 1.625)  # one decade inside, and a ratio above which there are mostly two
def test_labels_are_the_numbers_at_their_ticks(low, width):
    _, axis = axes()
    axis.set_yscale("log")
    ends = 10.0**low, 10.0 ** (low + width)
    axis.plot([1, 2], ends)
    decades(axis.yaxis)
    least, most = axis.get_ylim()
    assert least <= ends[0]
    assert most >= ends[1]
    shown = [(tick, text.get_text()) for tick, text in zip(axis.get_yticks(), axis.get_yticklabels())]
    shown = [(tick, text) for tick, text in shown if least * (1 - 1e-9) <= tick <= most * (1 + 1e-9)]
    assert len(shown) >= 2
    assert [number(text) for _, text in shown] == pytest.approx([tick for tick, _ in shown], rel=1e-5)
