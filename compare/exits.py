"""Exit codes of the command line. Code 1 is reserved for verdicts, so that a CI can rely on it."""

from __future__ import annotations

OK, WORSE, BAD_INPUT, CANNOT_COMPARE, CRASH, INCOMPLETE = range(6)
SIGNAL = 128  # and the number of the signal that ended it
MEANINGS = {
    OK: "fine",
    WORSE: "a verdict: accuracy got worse (`gate`), or a network breaks the contract (`conform`)",
    BAD_INPUT: "bad input, or the machine refuses: a full disk, no permission, too little memory",
    CANNOT_COMPARE: "cannot compare (`gate`): the task, the format or the code changed",
    CRASH: "a crash: a defect of this program",
    INCOMPLETE: "some runs left no record",
    SIGNAL + 1: "ended by SIGHUP; the same command resumes the work",
    SIGNAL + 2: "interrupted (Ctrl-C); the same command resumes the work",
    SIGNAL + 15: "ended by SIGTERM; the same command resumes the work",
}
