"""Progress on stderr: moving bars on a terminal, a line every half minute in a log."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import TimeRemainingColumn as Left
from rich.table import Column

from vanbench.compare.show.escape import printable

EVERY = 30.0  # s between the lines of a log


class _Now:
    """True once every ``EVERY`` seconds where ``console`` is a log that somebody reads."""

    def __init__(self, console: Console):
        self.console, self.last = console, time.monotonic()

    def __call__(self) -> bool:
        if self.console.quiet or self.console.is_terminal or time.monotonic() - self.last < EVERY:
            return False
        self.last = time.monotonic()
        return True


class Bars(Progress):
    """Bars with their counts, the time taken and left, and a ``note``."""

    def __init__(self, console: Console):
        layout = (TextColumn("[bold]{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        last = Column(ratio=1, no_wrap=True, overflow="ellipsis")
        note = TextColumn("{task.fields[note]}", markup=False, table_column=last)
        super().__init__(*layout, TextColumn("left"), Left(), note, console=console, expand=True)
        self._now = _Now(console)

    def add(self, title: str, total: float | None = None) -> TaskID:
        return self.add_task(escape(printable(title)), total=total, note="")

    def update(self, task_id: TaskID, **fields: Any) -> None:
        note = {"note": printable(fields["note"])} if "note" in fields else {}
        super().update(task_id, **{**fields, **note})
        if self._now():
            self.console.print(self.get_renderable())


@contextmanager
def status(console: Console, title: str) -> Iterator[Callable[[str], None]]:
    """Yields a function that shows a line of progress, for work whose length is unknown."""
    now = _Now(console)
    with console.status(escape(printable(title))) as shown:

        def tell(text: str) -> None:
            shown.update(escape(printable(text)))
            if now():
                console.print(printable(text), markup=False)

        yield tell
