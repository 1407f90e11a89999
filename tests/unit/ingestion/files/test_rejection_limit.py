"""The limit of rejected rows: its texts, its defaults, and the laws of judging."""

from functools import reduce

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcmon import errors
from dcmon.ingestion.files import rejection_limit
from dcmon.ingestion.files.rejection_limit import DEFAULT_LIMIT, FileCounts, RejectionLimit

limits = (
    st.just(DEFAULT_LIMIT)
    | st.floats(0, 1).map(lambda share: RejectionLimit(share=share))
    | st.integers(0, 1_000).map(lambda rows: RejectionLimit(rows=rows))
)
counts = st.tuples(st.integers(0, 20_000), st.integers(0, 20_000)).map(sorted)


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1%", RejectionLimit(share=0.01)), ("0.5 %", RejectionLimit(share=0.005)), ("0%", RejectionLimit(share=0)),
        ("100%", RejectionLimit(share=1)), ("20", RejectionLimit(rows=20)), (" 0 ", RejectionLimit(rows=0)),
    ],
)  # fmt: skip
def test_share_or_number_of_rows_is_parsed(text: str, limit: RejectionLimit) -> None:
    assert rejection_limit.parse(text) == limit


@pytest.mark.parametrize("text", ["", "x", "-1", "101%", "0.01", "1,5%", "%", "٣", "1e2"])
def test_other_limits_are_refused(text: str) -> None:
    """0.01 may mean a share or a number: it is refused instead of guessed."""
    with pytest.raises(errors.InvalidInput, match="no share of the rows such as 1%"):
        rejection_limit.parse(text)


@pytest.mark.parametrize(
    ("rejected", "rows", "is_exceeded"),
    [(5, 100, False), (6, 100, True), (49, 99, False), (50, 99, True), (1, 1, True), (1, 2, False), (0, 0, False)],
)
def test_default_is_a_twentieth_or_half_of_few_rows(rejected: int, rows: int, is_exceeded: bool) -> None:
    assert DEFAULT_LIMIT.is_exceeded(rejected, rows) == is_exceeded


@given(limits, counts)
def test_laws_of_judging(limit: RejectionLimit, counts: list[int]) -> None:
    """No rejected row is never too many, one more is never better, and 100% allows all."""
    rejected, rows = counts
    assert not limit.is_exceeded(0, rows)
    assert not RejectionLimit(share=1).is_exceeded(rejected, rows)
    if limit.is_exceeded(rejected, rows):
        assert limit.is_exceeded(min(rejected + 1, rows), rows)
    if limit.allows_all:
        assert not limit.is_exceeded(rejected, rows)


stored, quarantined, known, duplicates = [st.integers(0, 12_000)] * 4


@given(limits, stored, quarantined, known, duplicates)
def test_duplicates_are_not_rejected_and_hide_nothing(
    limit: RejectionLimit, stored: int, quarantined: int, known: int, duplicates: int
) -> None:
    """The rows of a file are new, new in quarantine, known in quarantine, or stored already (duplicates)."""

    rows = stored + quarantined + known + duplicates
    refused = limit.excess(FileCounts(rows, stored, quarantined, quarantined + known))

    if limit.is_exceeded(quarantined, stored + quarantined):
        assert refused, "no number of duplicates hides that new rows are bad"
    elif refused:
        assert (refused.rejected, refused.rows) == (quarantined + known, rows), "only the whole file loses too much"
    assert limit.excess(FileCounts(rows - quarantined - known, stored)) is None, "without a rejected row"


@given(
    limits, st.lists(st.tuples(stored, quarantined, known, duplicates).map(lambda counts: FileCounts(*sorted(counts))))
)
def test_parts_of_a_file_are_judged_as_the_whole(limit: RejectionLimit, parts: list[FileCounts]) -> None:
    """An interrupted load has the verdict of one that was not interrupted."""
    whole = FileCounts(*(sum(counts) for counts in zip(*parts, strict=True))) if parts else FileCounts()
    assert limit.excess(reduce(FileCounts.plus, parts, FileCounts())) == limit.excess(whole)


@given(st.sampled_from(["1%", "0.5%", "20", "1", "0%"]), st.integers(0, 10_000))
def test_text_of_a_limit_is_as_it_was_typed(text: str, rows: int) -> None:
    assert rejection_limit.parse(text).text(rows).removesuffix(" rows").removesuffix(" row") == text
