"""Texts that several commands print."""

# A retention term of None keeps rows for ever.
NO_END = {"samples_kept": "for ever", "results_kept": "for ever"}
NO_SUCH_ROW = "No quarantined row matches."
STORE_TOKEN = "Store the token now: it is not shown again."


def open_text(count: int) -> str:
    """Return how many of the alerts that were named before are open: ", 2 of them open"."""
    return f", {count:,} of them open" if count else ""
