r"""LaTeX tables as papers print them: booktabs rules, siunitx numbers with the uncertainty in parentheses.

``-0.61950 +- 0.00012`` is written ``\num{-0.61950(12)}``: the uncertainty, to two digits, counts units of the value's
last places (siunitx, section "Uncertainties"). The document needs ``\usepackage{booktabs,graphicx,siunitx}``.
"""

from __future__ import annotations

import math

from vanbench.compare.show.escape import printable

MISSING = "{--}"
SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{c: "\\" + c for c in "&%$#_{}"},
}
MAX_PLACES = 12  # an uncertainty below it is rounding of one number, not a spread
PLAIN_DIGITS = 6  # of a number without an uncertainty


MATHEMATICS = {
    "s": "$s$", "t": "$t$", "ln_Z": r"$\ln Z$", "activity": "$k$", "susceptibility": r"$\chi$", "scgf": r"$\theta$",
    **{f"sigma_{a}": rf"$\langle\sigma^{a}\rangle$" for a in "xyz"},
}  # fmt: skip


def heading(name: str) -> str:
    """Of a column: a symbol where there is one."""
    return MATHEMATICS.get(name) or escape(name)


def measured(value: float, stderr: float = math.nan) -> str:
    r"""``\num{-0.61950(12)}``; six digits without an uncertainty, a dash without a value."""
    if not math.isfinite(value):
        return MISSING
    digits = places(stderr)
    if digits is None:
        return rf"\num{{{value:.{PLAIN_DIGITS}g}}}"
    return rf"\num{{{_with_uncertainty(value, stderr, digits)}}}"


def scientific(value: float, stderr: float = math.nan) -> str:
    r"""``\num{1.571(11)e-2}``; three digits without an uncertainty, a dash without a value."""
    if not math.isfinite(value):
        return MISSING
    exponent = math.floor(math.log10(abs(value))) if value else 0
    digits = places(stderr / 10.0**exponent)
    if abs(round(value / 10.0**exponent, 2 if digits is None else max(digits, 0))) >= 10:
        exponent += 1  # 9.996 is 10.00 to three digits
    scaled, spread = value / 10.0**exponent, stderr / 10.0**exponent
    digits = places(spread)
    mantissa = f"{scaled:.2f}" if digits is None else _with_uncertainty(scaled, spread, digits)
    return rf"\num{{{mantissa}e{exponent}}}"


def escape(text: str) -> str:
    """``text`` on one line, with every character that is special to LaTeX written out."""
    return "".join(SPECIAL.get(c, c) for c in printable(text))


def places(stderr: float) -> int | None:
    """Decimal places that show two digits of the uncertainty, negative for tens; None without an uncertainty."""
    if not math.isfinite(stderr) or stderr <= 0:
        return None
    digits = 1 - int(f"{stderr:.1e}".partition("e")[2])  # of what is rounded: 0.0996 is 0.10 to two digits
    return digits if digits <= MAX_PLACES else None


def _with_uncertainty(value: float, stderr: float, places: int) -> str:
    """``1.23(45)``: digits of the uncertainty count the last places; at or above 10 both are whole numbers."""
    if places <= 0:
        return f"{value:.0f}({stderr:.0f})"
    return f"{value:.{places}f}({round(stderr * 10**places)})"
