"""python -m dcmon."""

from dcmon.cli import main

main()
