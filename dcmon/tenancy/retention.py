"""Retention terms: how long samples and results are kept."""

from datetime import UTC, datetime, timedelta

from dcmon import durations
from dcmon.errors import InvalidInput
from dcmon.nearest import meant

FOR_EVER = durations.MAX_DURATION  # means for ever in the term of a model, where None means its organization's term
EXAMPLES = "90d, 12w or 2y, or none: for ever"
SHORTEST = timedelta(days=1)


def parse(text: str) -> timedelta | None:
    """Parse a term such as 90d; none means for ever. Raises InvalidInput."""
    if text.strip().lower() == "none":
        return None
    try:
        term = durations.parse(text, EXAMPLES)
    except InvalidInput as error:
        raise InvalidInput(f"{error}{meant(text, ['none', 'inherit'])}") from None
    if term < SHORTEST:
        raise InvalidInput(f"{text!r} is too short: samples and results are kept for at least one day.")
    return term


def format_term(term: timedelta | None) -> str | None:
    """Return a term as text; None means for ever."""
    return None if term is None or term >= FOR_EVER else durations.to_text(term)


def effective_term(own: timedelta | None, organization: timedelta | None) -> timedelta | None:
    """Return a model's own term, or else its organization's. None means for ever."""
    term = own if own is not None else organization
    return None if term is None or term >= FOR_EVER else term


def cutoff(term: timedelta | None, now: datetime) -> datetime | None:
    """Return the time from which rows are kept; None: all rows are kept.

    It is the start of the oldest month in the term, because months are deleted as partitions.
    """
    if term is None:
        return None
    return (now - term).astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def require_longer(samples: timedelta | None, results: timedelta | None) -> None:
    """Raise InvalidInput unless results are kept at least as long as samples.

    Windows with samples but without results would become due again.
    """
    if results is not None and (samples is None or results < samples):
        both = "--samples none --results none" if samples is None else "--samples 90d --results 2y"
        raise InvalidInput(
            f"Results are kept at least as long as samples: {format_term(results)} is shorter than"
            f" {(samples and format_term(samples)) or 'for ever'}. Give both: {both}."
        )
