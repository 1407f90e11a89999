"""Retention: how long samples and results are kept, and from which moment on they are."""

from datetime import UTC, datetime, timedelta

from dcmon import durations
from dcmon.errors import InvalidInput

FOR_EVER = durations.MAX_DURATION  # a model's own term where its organization has a shorter one
EXAMPLES = "90d, 12w or 2y, or none: for ever"
SHORTEST = timedelta(days=1)


def parse(text: str) -> timedelta | None:
    """A term as a person writes it, 90d or none (for ever). Raises InvalidInput."""
    if text.strip().lower() == "none":
        return None
    found = durations.parse(text, EXAMPLES)
    if found < SHORTEST:
        raise InvalidInput(f"{text!r} is too short a term: samples and results are kept a day at least.")
    return found


def format_term(term: timedelta | None) -> str | None:
    """A term as a person writes it; None: for ever."""
    return None if term is None or term >= FOR_EVER else durations.to_text(term)


def effective_term(own: timedelta | None, organization: timedelta | None) -> timedelta | None:
    """A model's term: its own, or its organization's. None is for ever."""
    term = own if own is not None else organization
    return None if term is None or term >= FOR_EVER else term


def cutoff(term: timedelta | None, now: datetime) -> datetime | None:
    """From when on rows are kept: the start of the oldest month that is not wholly past the term. None: all are."""
    if term is None:
        return None
    return (now - term).astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def require_longer(samples: timedelta | None, results: timedelta | None) -> None:
    """Raises InvalidInput unless results are kept as long as samples: without them, windows would be due again."""
    if results is not None and (samples is None or results < samples):
        both = "--samples none --results none" if samples is None else "--samples 90d --results 2y"
        raise InvalidInput(
            f"Results are kept at least as long as samples: {format_term(results)} is shorter than"
            f" {(samples and format_term(samples)) or 'for ever'}. Give both: {both}."
        )
