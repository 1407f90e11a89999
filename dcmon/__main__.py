"""The command `dcmon`, also called as `python -m dcmon`."""

import sys


def main() -> None:
    """Load the command line and run it; exit 130 at Ctrl-C, also while it loads."""
    try:
        from dcmon import cli
    except KeyboardInterrupt:
        sys.stderr.write("dcmon: interrupted\n")
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
