r"""Text of strangers, escaped for where it goes: a terminal, Markdown, CSV, a figure. (LaTeX: `latex.escape`.)

What cannot be seen or moves what stands around it (control codes, bidirectional marks, separators of lines) is written
out, ``\x1b``, everywhere.
"""

from __future__ import annotations

import re
import unicodedata
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

if TYPE_CHECKING:
    import pandas as pd

UNSEEN = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}  # categories of Unicode
SPECIAL = r"[\\`*]|(?<!\w)_|_(?!\w)|~(?=~)|<(?=[A-Za-z/!?])|\](?=[(\[:])|&(?=[#\w])"  # of Markdown, within a line
LINKED = re.compile(r"(https?|ftp)://|www\.|[\w.+-]@[\w-]+\.|(mailto|xmpp):", re.IGNORECASE)  # of itself, on GitHub
FORMULA = tuple("=+-@＝＋－＠")  # what begins one, in either width
MOST_LABEL = 60  # characters in a figure
MOST_WORD, MOST_SENTENCE = 160, 3000  # characters of what is told about somebody's input


def visible(text: str) -> str:
    """``text`` with what is unseen written out, its lines and tabs as they are."""
    return text if text.isascii() and text.isprintable() else "".join(map(_seen, text))


def printable(text: object) -> str:
    """``text`` on one line, with what is unseen written out."""
    return " ".join(visible(str(text)).split("\n")).replace("\t", " ")


def sentence(text: object) -> str:
    """``text`` as one printable line of bounded length: of a long name its beginning and its end."""
    line = re.sub(rf"\S{{{MOST_WORD + 1},}}", lambda word: _cut(word[0], MOST_WORD), printable(text))
    return _cut(line, MOST_SENTENCE)


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most // 2]}…{text[-most // 4 :]}"


def markdown(text: object) -> str:
    """Text of a line: no HTML, no link, no image, no emphasis, no heading, quotation or item of a list; as code, what
    would become a link of itself."""
    return re.sub(r"^ *[#>=*+~-]", _shielded, _inline(text))


def markdown_cell(text: object) -> str:
    """The same in a cell of a table, whose line begins with a bar."""
    return _inline(text).replace("|", "\\|")


def markdown_code(text: object) -> str:
    """The same between backticks."""
    return printable(text).replace("`", "'")


def _inline(text: object) -> str:
    return re.sub(r"[^\s|\\`]+|[\\`]", _word, printable(text))


def _word(word: re.Match[str]) -> str:
    """Escaped; as code where it would become a link: GitHub looks for them after its parser has taken escapes away."""
    return f"`{word[0]}`" if LINKED.search(word[0]) else re.sub(SPECIAL, _shielded, word[0])


def _shielded(special: re.Match[str]) -> str:
    return f"{special[0][:-1]}\\{special[0][-1]}"


def address(path: str) -> str:
    """A path as the address of a link in Markdown or HTML."""
    return quote(path, errors="surrogateescape")


def csv(frame: pd.DataFrame, **options: Any) -> str:
    """``frame`` as CSV without its index: a line a row, and no text that a spreadsheet takes for a formula."""
    from pandas.api.types import is_numeric_dtype

    words = {name: frame[name].map(no_formula) for name in frame if not is_numeric_dtype(frame[name])}
    return frame.assign(**words).to_csv(index=False, lineterminator="\n", **options)


def label(text: object) -> str:
    """In a figure: no mathematics, and no longer than a figure is wide."""
    line = printable(text)
    cut = line if len(line) <= MOST_LABEL else line[: MOST_LABEL - 1] + "…"
    return cut.replace("$", r"\$")


def no_formula(item: object) -> object:
    """``item``, with a quotation mark before a text that a spreadsheet would take for a formula."""
    if not isinstance(item, str):
        return item
    formula = item.lstrip()[:1] in FORMULA or item[:1].isspace()
    return f"'{printable(item)}" if formula and not _number(item) else printable(item)


def file_name(text: str) -> str:
    """``text`` as the name of a file or a folder, or a part of one."""
    return re.sub(r"^\.+|[^\w.:+-]", "-", text)


def _seen(c: str) -> str:
    if c in "\n\t" or unicodedata.category(c) not in UNSEEN:
        return c
    return f"\\x{ord(c):02x}" if ord(c) < 0x100 else f"\\u{ord(c):04x}" if ord(c) < 0x10000 else f"\\U{ord(c):08x}"


def _number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
