"""``python -m vanbench`` and ``vanbench``: the command line, whose exit code is 1 for a verdict alone, also where the
machine refuses to load it."""

from __future__ import annotations

import sys


def main() -> None:
    try:
        from vanbench.compare.cli import main as command

        command()
    except KeyboardInterrupt:  # before or after the command itself, which ends with a sentence
        sys.exit(130)
    except (OSError, MemoryError, ImportError) as error:
        print(f"error: vanbench cannot be loaded: {error or type(error).__name__}.", file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
