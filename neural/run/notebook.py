"""A bar of progress in a notebook, by IPython's own display: there is nothing to install."""

from __future__ import annotations

import sys
import time
from html import escape
from typing import Any

from vanbench.neural.run.callbacks import Callback, Moment

EVERY = 0.25  # s between two looks


def here() -> bool:
    """Whether a notebook's kernel runs this."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")


def bars(title: str) -> list[Callback]:
    """`bar` in a notebook, none elsewhere."""
    return [bar(title)] if here() else []


def bar(title: str) -> Callback:
    """A callback that keeps one line below the cell up to date."""
    shown: list[Any] = []
    last = [0.0]

    def moved(moment: Moment) -> None:
        now, done = time.monotonic(), moment.log.steps >= moment.total
        if shown and not done and now - last[0] < EVERY:
            return
        last[0] = now
        show(shown, line(title, moment.log.steps, moment.total, moment.message))

    return moved


def line(title: str, steps: int, total: int, note: str) -> str:
    """As HTML."""
    words = escape(f"{title}: step {steps} of {total}, {note}")
    return f'<progress value="{steps}" max="{total}"></progress> {words}'


def show(shown: list[Any], html: str) -> None:
    """``html`` in a new line of a notebook, or in the one that ``shown`` holds."""
    from IPython.display import HTML, display

    if shown:
        shown[0].update(HTML(html))
    else:
        shown.append(display(HTML(html), display_id=True))
