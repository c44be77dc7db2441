"""The tutorials as notebooks: `python docs/tutorials/notebooks.py` writes an `.ipynb` beside each (`make notebooks`).

A tutorial is a Python file in the percent format, which editors and jupytext open as a notebook, too: `# %%` begins a
cell, `# %% [markdown]` one of text. The docstring at the top is the first cell.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path

HERE = Path(__file__).parent
MARK = re.compile(r"^# %%(.*)\n", re.M)


def tutorials() -> list[Path]:
    return sorted(path for path in HERE.glob("*.py") if path.name != Path(__file__).name)


def cells(text: str) -> list[tuple[str, str]]:
    """Each cell's kind, ``code`` or ``markdown``, and what stands in it."""
    told = ast.get_docstring(ast.parse(text)) or ""
    body = text[text.index('"""', 3) + 3 :].lstrip("\n") if told else text
    title, _, rest = told.partition("\n")
    first, *marked = MARK.split(body)
    parts = [("code", first)]
    for mark, part in zip(marked[::2], marked[1::2]):
        text_of = re.sub(r"^# ?", "", part, flags=re.M)
        parts.append(("markdown", text_of) if "[markdown]" in mark else ("code", part))
    return [("markdown", f"# {title}\n{rest}".strip()), *((kind, part.strip()) for kind, part in parts if part.strip())]


def notebook(text: str) -> str:
    """As JSON of the notebook format 4.5, without outputs."""
    out = []
    for number, (kind, content) in enumerate(cells(text)):
        cell = {"cell_type": kind, "id": f"cell-{number}", "metadata": {}, "source": content.splitlines(keepends=True)}
        out.append(cell | ({"execution_count": None, "outputs": []} if kind == "code" else {}))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    held = {"cells": out, "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(held, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    for path in tutorials():
        path.with_suffix(".ipynb").write_text(notebook(path.read_text(encoding="utf-8")), encoding="utf-8")
