"""Find what is wrong with an installation, with the command that mends it; each fault has a code."""
