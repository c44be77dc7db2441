"""LaTeX numbers: what siunitx would print is the value and its uncertainty to two digits."""

from __future__ import annotations

import re
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from vanbench.compare.show.grid import Grid
from vanbench.compare.show.latex import escape, heading, measured, scientific

NAN = float("nan")
NUMBER = re.compile(r"\\num\{(-?\d+)(?:\.(\d+))?(?:\((\d+)\))?(?:e(-?\d+))?\}")


def read(text: str) -> tuple[Decimal, Decimal | None]:
    """A siunitx number as (value, uncertainty): digits in parentheses count units of the last place."""
    match = NUMBER.fullmatch(text)
    assert match, text
    whole, fraction, digits, exponent = match.groups()
    fraction, scale = fraction or "", Decimal(10) ** int(exponent or 0)
    value = Decimal(f"{whole}.{fraction or '0'}") * scale
    return value, None if digits is None else Decimal(int(digits)) * Decimal(10) ** -len(fraction) * scale


@pytest.mark.parametrize(
    ("value", "stderr", "plain", "power"),
    [
        (-0.619497, 0.00012, r"\num{-0.61950(12)}", r"\num{-6.1950(12)e-1}"),
        (12.3, 4.5, r"\num{12.3(45)}", r"\num{1.23(45)e1}"),
        (1234.5, 99.0, r"\num{1234(99)}", r"\num{1.234(99)e3}"),
        (1.5, 0.0996, r"\num{1.50(10)}", r"\num{1.50(10)e0}"),
        (9.996e-3, NAN, r"\num{0.009996}", r"\num{1.00e-2}"),
        (-9.996, 0.5, r"\num{-10.00(50)}", r"\num{-1.000(50)e1}"),
        (0.0157, NAN, r"\num{0.0157}", r"\num{1.57e-2}"),
        (0.0, 0.0, r"\num{0}", r"\num{0.00e0}"),
        (NAN, 0.1, "{--}", "{--}"),
        (float("inf"), 0.1, "{--}", "{--}"),
    ],
)
def test_numbers(value: float, stderr: float, plain: str, power: str) -> None:
    assert measured(value, stderr) == plain
    assert scientific(value, stderr) == power


@given(st.floats(-1e6, 1e6).filter(lambda v: abs(v) > 1e-6), st.floats(1e-9, 1e3))
def test_value_and_uncertainty_are_read_back(value: float, stderr: float) -> None:
    assume(stderr > 1e-9 * abs(value))  # below it: no uncertainty, by MAX_PLACES
    for write in (measured, scientific):
        number, uncertainty = read(write(value, stderr))
        assert uncertainty is not None
        # Two digits: at most half a unit of the second, 5 % of the smallest such number, 10; a little for the division.
        assert float(uncertainty) == pytest.approx(stderr, rel=0.0501)
        # The value ends where the uncertainty does: half a unit of its second digit, above at most a tenth of it.
        assert abs(float(number) - value) <= 0.0501 * float(uncertainty) + 1e-9 * abs(value)


def test_table() -> None:
    text = Grid([heading("a_task"), heading("error")], [[escape("50 % & more"), measured(0.5, 0.01)]]).latex(
        [False, True]
    )
    assert r"\begin{tabular}{lr}" in text
    assert r"a\_task & error \\" in text
    assert r"50 \% \& more & \num{0.500(10)} \\" in text
    assert [text.count(rule) for rule in (r"\toprule", r"\midrule", r"\bottomrule")] == [1, 1, 1]
    with pytest.raises(ValueError, match="one cell a heading"):
        Grid(["a"], [["1", "2"]])


@given(st.text())
def test_escaped_text_has_no_bare_special_character(text: str) -> None:
    rest = re.sub(r"\\(text[a-z]+\{\}|[&%$#_{}])", "", escape(text))
    assert not set(rest) & set("&%$#_{}~^\\")
