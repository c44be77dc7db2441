"""``python -m tests.mutation``: do the tests see one change in one line? Interrupted, it goes on where it was."""

from __future__ import annotations

import argparse

from . import report, run

parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
parser.add_argument("--number", type=int, default=340, help="changes to draw (%(default)s)")
parser.add_argument("--seed", type=int, default=20, help="of the draw (%(default)s)")
parser.add_argument("--jobs", type=int, default=1, help="changes judged at a time (%(default)s)")
parser.add_argument("--budget", type=float, default=90, help="CPU seconds of clean tests a change (%(default)s)")
parser.add_argument("--only", default="", help="judge only changes in files whose path holds this")
parser.add_argument("--written", action="store_true", help="judge only survivors that reasons.toml has a test for")
given = parser.parse_args()
if given.written:
    written = {key: entry["test"] for key, entry in report.reasons().items() if "test" in entry}
    drawn = run.by_their_tests(written, given.seed, given.jobs)
else:
    drawn = run.run(given.number, given.seed, given.jobs, given.budget, given.only)
report.write(drawn, given.budget, given.seed)
