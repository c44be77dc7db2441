"""JSON and tables that somebody else may have written: read within bounds, and refused in one sentence."""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vanbench.exact import InputError
from vanbench.exact.files import require_file

if TYPE_CHECKING:
    import pandas as pd

MOST_BYTES = 256 << 20  # of a file: reference distributions of 2^16 states are the largest
MOST_CHARACTERS = 20_000  # of one text: a warning with the end of a traceback is shorter
MOST_DIGITS = 20  # of a whole number: more than 64 bits hold, and no float overflows
SHAPE = r"[1-9]\d{0,5}(x[1-9]\d{0,5}){0,7}"  # lattice lengths, as tables have them
MOST_LEVELS = 24  # of lists and objects inside each other


def read_json(path: Path) -> dict[str, Any]:
    """One JSON object. Raises ``InputError`` for what is no file, too large, truncated, or holds a number that is not
    finite, a text that is no Unicode or too long, or too many levels."""
    try:
        about = path.stat()  # before it is opened: a pipe would wait for somebody to write
        if not stat.S_ISREG(about.st_mode):
            raise InputError("is no file: delete it and run again.")
        if about.st_size > MOST_BYTES:
            raise InputError(f"is larger than {MOST_BYTES >> 20} MiB: delete it and run again.")
        content = json.loads(path.read_bytes(), parse_constant=_refuse, parse_int=_whole, parse_float=_finite)
        _check(content)
    except InputError as error:
        raise InputError(f"{str(path)!r} {error}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{str(path)!r} cannot be read: {error}.") from None
    except (ValueError, RecursionError) as error:
        raise InputError(f"{str(path)!r} is truncated or not valid JSON ({error}): delete it and run again.") from None
    if not isinstance(content, dict):
        raise InputError(f"{str(path)!r} holds no JSON object.")
    return content


def read_table(
    path: Path, numbers: Sequence[str] = (), words: Sequence[str] = (), keys: Sequence[str] = (), **options: Any
) -> pd.DataFrame:
    """A CSV file of ours, with ``options`` of `pandas.read_csv`. Raises ``InputError`` for what is no file or no table,
    where it lacks one of these columns, or text stands in one of ``numbers``, where ``keys``, some of the columns, have
    gaps (but for ``t``, which steady values have not) or do not tell the rows apart, and for a ``shape`` that is
    none."""
    import pandas as pd

    require_file(path)
    try:
        table = pd.read_csv(path, dtype=dict.fromkeys(words, str), **options)
    except (OSError, ValueError) as error:  # of pandas' own kinds, and text that is not in UTF-8
        said = " ".join(str(error).split()).rstrip(".")
        raise InputError(f"{str(path)!r} is no table ({said}): delete it, or put back what was there.") from error
    lacking = [name for name in (*numbers, *words) if name not in table]
    wrong = [name for name in numbers if name in table and table[name].dtype.kind not in "iuf"]
    wrong = [name for name in wrong if not table.empty and table[name].notna().any()]
    if lacking:
        raise damaged(path, f"lacks the column {lacking[0]!r}")
    if wrong:
        raise damaged(path, f"has no numbers in its column {wrong[0]!r}")
    for name in keys:
        if name != "t" and table[name].isna().any():
            raise damaged(path, f"has gaps in its column {name!r}")
    if keys and table.duplicated(list(keys)).any():
        raise damaged(path, f"has two rows of the same {', '.join(keys)}")
    if "shape" in words and not table["shape"].str.fullmatch(SHAPE, na=True).all():
        raise damaged(path, "holds an invalid shape")
    return table


def damaged(path: Path, what: str) -> InputError:
    """For a table of ours that somebody changed."""
    return InputError(f"{str(path)!r} {what}: delete it, or restore it.")


def _check(content: Any) -> None:
    """Texts and levels, without recursion."""
    level, levels = [content], 0
    while level:
        levels += 1
        if levels > MOST_LEVELS:
            raise InputError(f"holds more than {MOST_LEVELS} levels: delete it and run again.")
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, dict):
                for key in item:
                    _check_text(key)
                below += item.values()
            elif isinstance(item, list):
                below += item
        level = [item for item in below if isinstance(item, str | dict | list)]


def _check_text(text: str) -> None:
    if len(text) > MOST_CHARACTERS:
        raise InputError(f"holds a text of {len(text)} characters: delete it and run again.")
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise InputError("holds half of a surrogate pair, which is no text: delete it and run again.")


def _whole(digits: str) -> int:
    if len(digits) > MOST_DIGITS:
        raise InputError(f"holds a number of {len(digits)} digits: delete it and run again.")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    return number if math.isfinite(number) else _refuse(digits[:MOST_DIGITS])


def _refuse(constant: str) -> float:
    raise InputError(f"holds {constant}, which is not a number: delete it and run again.")
