"""``python -m vanbench`` and ``vanbench``: the command line, whose exit code is 1 for a verdict alone, also where the
machine refuses to load it."""

from __future__ import annotations

import sys

LEAST = 512 << 20  # bytes of address space, below which numerical libraries hang, or end the program with 1 themselves


def main() -> None:
    limit = _address_space()
    if limit is not None and limit < LEAST:
        print(f"error: {limit >> 20} MiB of memory are allowed (ulimit -v), {LEAST >> 20} needed.", file=sys.stderr)
        sys.exit(2)
    try:
        from vanbench.compare.cli import main as command

        command()
    except KeyboardInterrupt:  # before or after the command itself, which ends with a sentence
        sys.exit(130)
    except (OSError, MemoryError, ImportError) as error:
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
