"""The page of all commands and the man pages, written from the commands themselves: python -m reference."""
