"""Rejected rows are counted by reason and field, whatever their order."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from dcmon.ingestion.files import rejections
from dcmon.ingestion.files.rejections import Rejections
from dcmon.ingestion.quarantine import BadRow
from dcmon.ingestion.rejected_row import RejectionReason
from dcmon.states import RowKind


def bad(position: int, reason: RejectionReason = RejectionReason.WRONG_TYPE, field: str | None = "age") -> BadRow:
    row = b'{"age": "%d", "job": null}' % position
    return BadRow("file", position, datetime(2026, 3, 1, tzinfo=UTC), row, reason, field, f"detail {position}")


@given(st.permutations(range(6)), st.integers(1, 6))
def test_first_row_of_a_group_is_its_example(order: list[int], size: int) -> None:
    counted = Rejections()
    for start in range(0, 6, size):
        counted.add(RowKind.SAMPLES, [bad(position) for position in order[start : start + size]])
    (group,) = counted.by_frequency()
    assert (group.rows, group.row, group.value, group.detail) == (6, 0, "0", "detail 0")
    assert counted.count(RowKind.SAMPLES) == 6
    assert counted.count(RowKind.LABELS) == 0


def test_most_frequent_group_comes_first() -> None:
    counted = Rejections()
    counted.add(RowKind.SAMPLES, [bad(0, RejectionReason.MALFORMED, None), bad(1), bad(2), bad(3, field="job")])
    assert [(group.reason, group.field, group.rows) for group in counted.by_frequency()] == [
        ("wrong_type", "age", 2), ("malformed", None, 1), ("wrong_type", "job", 1),
    ]  # fmt: skip


def test_rows_with_fields_of_their_own_do_not_fill_the_memory() -> None:
    counted = Rejections()
    unknown = RejectionReason.UNKNOWN_FIELD
    counted.add(RowKind.SAMPLES, [bad(row, unknown, f"f{row}") for row in range(2 * rejections.MAX_GROUPS)])
    groups = counted.by_frequency()
    assert len(groups) == rejections.MAX_GROUPS + 1
    assert (groups[0].field, groups[0].rows) == (None, rejections.MAX_GROUPS)
    assert counted.count(RowKind.SAMPLES) == 2 * rejections.MAX_GROUPS
