"""Markdown pages from Jinja templates, which stand in the folder ``templates`` beside the code that fills them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from vanbench.compare.show.grid import cell, markdown


def page(code: str, template: str, **content: Any) -> str:
    """The text of ``template``, which stands beside the file ``code``.

    Its filters ``table`` and ``cell`` are `grid.markdown` and `grid.cell`.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(code).with_name("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"table": markdown, "cell": cell}
    return environment.get_template(template).render(content)
