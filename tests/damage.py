"""Records and other JSON that somebody damaged, drawn at random."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import strategies as st

numbers = st.integers(-(10**400), 10**400) | st.integers(-3, 3) | st.floats(allow_nan=False, allow_infinity=False)
plain = st.none() | st.booleans() | numbers | st.sampled_from(["", "x", "ln_Z", "s", "../..", "\x00"])
anything = st.recursive(
    plain, lambda x: st.lists(x, max_size=3) | st.dictionaries(st.sampled_from("as"), x, max_size=2)
)
INFINITE, SURROGATE = float("inf"), "\ud800"
DAMAGE: list[Any] = [INFINITE, 1e300, -1e300, "x" * 30_000, SURROGATE, "../../../evil", "=1+1", "\x1b[31m", "a|b\n"]
DAMAGE += [
    None,
    True,
    [],
    {},
    "",
    -1,
    0,
    10**19,
    [1] * 2000,
    [[[[[[3]]]]]],
    {"a": {"b": {"c": {}}}},
    "$\\frac$",
    "many",
]


@st.composite
def damaged(draw: st.DrawFn, whole: dict[str, Any]) -> str:
    """``whole`` as JSON with a few of its values, at any depth, replaced, taken away or doubled."""
    content = copy.deepcopy(whole)
    for _ in range(draw(st.integers(1, 3))):
        inside: Any = content
        while True:
            keys = list(range(len(inside))) if isinstance(inside, list) else sorted(inside)
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if not isinstance(inside[key], list | dict) or not inside[key] or draw(st.integers(0, 3)) == 0:
                if draw(st.booleans()):
                    inside[key] = copy.deepcopy(draw(st.sampled_from(DAMAGE) | anything))  # the next may change it
                else:
                    del inside[key]
                break
            inside = inside[key]
    return json.dumps(content).replace("Infinity", "1e999")
