"""``python -m vanbench`` and ``vanbench``: the command line, whose exit code is 1 for a verdict alone, also where the
machine refuses to load it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import NoReturn

# Address space in MiB, below which numerical libraries hang while they are loaded, or end the program themselves: a
# linear algebra library that is refused its buffers asks for them again for ever. Torch takes most of the second.
LEAST, LEAST_WITH_NETWORKS, A_CORE = 512, 1400, 10
WITHOUT_NETWORKS = {"exact", "gate", "goals", "list", "report", "status", "table"}
TOLD = {"--help", "--version"}  # of any command, without work


def main() -> None:
    # Before NumPy is loaded. Where other programs run, threads wait for each other longer than they compute: ten times
    # the CPU time was seen. Long vectors have loops of their own, on all cores.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    limit = _address_space()
    words = sys.argv[1:]
    light = not words or TOLD & set(words) or words[0] in WITHOUT_NETWORKS
    least = LEAST if light else LEAST_WITH_NETWORKS
    least += A_CORE * (os.cpu_count() or 1)
    if limit is not None and limit < least << 20:
        print(f"error: {limit >> 20} MiB of memory are allowed (ulimit -v), {least} needed.", file=sys.stderr)
        sys.exit(2)
    try:
        command = _loaded()
        command()
    except KeyboardInterrupt:  # before or after the command itself, which ends with a sentence
        sys.exit(130)
    except (OSError, MemoryError) as error:
        _refuse(error)


def _loaded() -> Callable[[], None]:
    """The command line, which tells what goes wrong in it; here an installation lacks, or damaged, something."""
    try:
        from vanbench.compare.cli import main as command
    except Exception as error:
        _refuse(error)
    return command


def _refuse(error: Exception) -> NoReturn:
    print(f"error: vanbench cannot be loaded: {str(error) or type(error).__name__}.", file=sys.stderr)
    sys.exit(2)


def _address_space() -> int | None:
    """Bytes that this process may address, None where nothing limits them."""
    try:
        import resource
    except (ImportError, MemoryError):  # of Python on other systems
        return None
    limit = resource.getrlimit(resource.RLIMIT_AS)[0]
    return None if limit == resource.RLIM_INFINITY else limit


if __name__ == "__main__":
    main()
