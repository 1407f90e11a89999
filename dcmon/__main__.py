"""The command `dcmon`, also as python -m dcmon."""

import sys


def main() -> None:
    """Load the command line and run it. A Ctrl-C while it is being loaded ends it as a later one does."""
    try:
        from dcmon import cli
    except KeyboardInterrupt:
        sys.stderr.write("dcmon: interrupted\n")
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
