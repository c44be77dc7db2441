"""Markdown pages from Jinja templates, which stand in the folder ``templates`` beside the code that fills them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2

from vanbench.compare.show import escape
from vanbench.compare.show.grid import cell, markdown

FILTERS = {"table": markdown, "cell": cell, "line": escape.markdown, "code": escape.markdown_code}


def page(code: str, template: str, **content: Any) -> str:
    """The text of ``template``, which stands beside the file ``code``.

    Its filters are those of ``FILTERS``: for tables, their cells, lines of text, and what stands as code.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(code).with_name("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= FILTERS
    return environment.get_template(template).render(content)
