"""The revisions of many schemas as people read them: those in the same state are one row."""

from typing import Any

from dcmon.commands.views import migration as view
from dcmon.db.migrations import SchemaState
from dcmon.output import Page, Table


def schemas(count: int, revision: str = "0027") -> list[SchemaState]:
    public = SchemaState("public", "public", "0014", "0014")
    numbers = range(1, count + 1)
    return [public, *(SchemaState("org", f"org_{number}", revision, "0027", f"shop {number}") for number in numbers)]


def shown_rows(page: Page) -> list[dict[str, Any]]:
    (table,) = [part for part in page.parts if isinstance(part, Table)]
    return [dict(row) for row in table.rows]


def test_each_of_a_few_schemas_is_a_row() -> None:
    page = view.states(schemas(3))
    assert [row["schema"] for row in shown_rows(page)] == ["public", "org_1", "org_2", "org_3"]
    assert [row["org"] for row in shown_rows(page)] == [None, "shop 1", "shop 2", "shop 3"]
    assert page.names == ["shop 1", "shop 2", "shop 3"]
    assert not page.remarks


def test_schemas_in_the_same_state_are_one_row() -> None:
    page = view.states([*schemas(1_990), SchemaState("org", "late", "0026", "0027", "late shop")])
    assert [(row["schema"], row["state"]) for row in shown_rows(page)] == [
        ("public", "current"), ("org_1, org_2, org_3 and 1,987 more", "current"), ("late", "behind"),
    ]  # fmt: skip
    assert len(page.data) == 1_992
    assert page.remarks == [view.ONE_LINE_PER_STATE]
