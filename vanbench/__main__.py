"""``python -m vanbench``: the command line."""

from vanbench.compare.cli import main

if __name__ == "__main__":
    main()
