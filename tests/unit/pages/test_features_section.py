"""The order of a version's features on their page."""

from datetime import UTC, datetime, timedelta

from dcmon.db.tables.org import Version
from dcmon.pages.charts import Point
from dcmon.pages.features_section import _newest, _ordered

START = datetime(2026, 3, 2, tzinfo=UTC)
DRIFT = [
    Point(START + timedelta(days=number), START + timedelta(days=number + 1), drift, 100)
    for number, drift in enumerate(({"a": 0.1, "b": 0.9, "c": 0.2}, {"a": 0.3, "c": 0.1}))
]


def version(importance: dict[str, float] | None = None) -> Version:
    return Version(features=dict.fromkeys("abcd", "numeric"), feature_importance=importance)


def test_feature_that_became_null_is_among_the_first() -> None:
    """Its newest windows have no drift, because they have no values: its last drift counts."""
    assert _newest(DRIFT) == {"a": 0.3, "b": 0.9, "c": 0.1}
    assert _ordered(version(), DRIFT) == ["b", "a", "c", "d"]


def test_important_features_are_before_those_that_drift() -> None:
    assert _ordered(version({"c": 0.7, "d": 0.3}), DRIFT) == ["c", "d", "b", "a"]
