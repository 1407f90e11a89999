"""Rate limits: no minute exceeds the limit, and a request is accepted after the wait it was given."""

from hypothesis import given
from hypothesis import strategies as st

from dcmon.tenancy.rate_limits import WINDOW, Counts, Increment, Limits

LIMIT = 100
requests = st.lists(st.tuples(st.integers(0, 40), st.integers(1, LIMIT)), max_size=60)


@given(requests)
def test_no_sixty_seconds_hold_more_than_the_limit(asked: list[tuple[int, int]]) -> None:
    counts, now, counted = Counts(), 0, list[tuple[int, int]]()
    for pause, amount in asked:
        now += pause
        if not counts.try_add([Increment("k", amount, LIMIT)], now):
            counted.append((now, amount))
    for start, _ in counted:
        assert sum(amount for at, amount in counted if start <= at <= start + WINDOW) <= LIMIT


@given(requests)
def test_wait_of_a_refused_request_is_exact_to_the_second(asked: list[tuple[int, int]]) -> None:
    """A request is accepted exactly after the wait, and not one second earlier."""
    counts, now = Counts(), 0
    for pause, amount in asked:
        now += pause
        if wait := counts.try_add([Increment("k", amount, LIMIT)], now):
            assert 0 < wait <= WINDOW + 1
            assert counts.try_add([Increment("k", amount, LIMIT)], now + wait - 1)
            assert not counts.try_add([Increment("k", amount, LIMIT)], now + wait)
            now += wait


@given(requests)
def test_refused_request_does_not_count(asked: list[tuple[int, int]]) -> None:
    counts, plain, now = Counts(), Counts(), 0
    for pause, amount in asked:
        now += pause
        increments = [Increment("k", amount, LIMIT)]
        assert counts.try_add(increments, now) == plain.try_add(increments, now)
        assert counts.try_add([Increment("k", LIMIT, LIMIT)], now) > 0


def test_rows_and_bytes_are_counted_together_or_not_at_all() -> None:
    counts = Counts()
    assert counts.try_add([Increment("rows", 5, 10), Increment("bytes", 100, 100)], 0) == 0
    assert counts.try_add([Increment("rows", 5, 10), Increment("bytes", 1, 100)], 0) == WINDOW + 1
    assert counts.try_add([Increment("rows", 5, 10)], 0) == 0


def test_subtracted_amount_is_available_again() -> None:
    counts, increment = Counts(), Increment("rows", 10, 10)
    assert counts.try_add([increment], 7) == 0
    counts.subtract([increment], 7)
    assert counts.try_add([increment], 8) == 0


def test_samples_and_labels_have_separate_limits() -> None:
    limits = Limits(samples_per_minute=1, label_bytes_per_minute=2)
    assert limits.for_kind("samples") == (("samples", 1), ("bytes of samples", None))
    assert limits.for_kind("labels") == (("labels", None), ("bytes of labels", 2))
