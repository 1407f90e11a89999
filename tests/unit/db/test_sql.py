"""Named statements in `.sql` files beside modules."""

import re
from pathlib import Path

import pytest

from dcmon.db import PACKAGE, sql

CONTENT = """\
-- What stands before the first name is a comment.
-- name: is_open
n.delivered_at is null and n.dead_at is null

-- name: claim
-- A comment: "12:30" in it is no parameter.
select n.id from notifications n
 where {is_open} and n.kind = any ('{}') and n.model_id = :model

-- name: count_rows
select count(*) from samples_{version} where {condition}
"""


def files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.sql"))


def test_statement_is_read_by_name_without_comments():
    statements = sql.parse("outbox.sql", CONTENT)
    assert statements.names == ["is_open", "claim", "count_rows"]
    assert statements.statement("is_open") == "n.delivered_at is null and n.dead_at is null"
    assert statements.statement("claim") == (
        "select n.id from notifications n\n"
        " where n.delivered_at is null and n.dead_at is null and n.kind = any ('{}') and n.model_id = :model"
    )


def test_placeholders_take_keyword_arguments_before_statements():
    statements = sql.parse("outbox.sql", CONTENT)
    assert "where true and" in statements.statement("claim", is_open="true")
    filled = statements.statement("count_rows", version=7, condition="{is_open}")
    assert filled == "select count(*) from samples_7 where {is_open}", "what is handed in is not filled again"


def test_unknown_statement_is_named_with_all_known_ones():
    with pytest.raises(LookupError, match=r"outbox\.sql has no statement 'clam'. It has: is_open, claim, count_rows\."):
        sql.parse("outbox.sql", CONTENT).statement("clam")


def test_placeholder_without_value_is_named():
    with pytest.raises(LookupError, match=r"outbox\.sql: statement 'count_rows' needs a value for \{version\}\."):
        sql.parse("outbox.sql", CONTENT).statement("count_rows")


def test_duplicate_statement_name_is_an_error():
    with pytest.raises(ValueError, match=r"outbox\.sql has more than one statement claim\."):
        sql.parse("outbox.sql", "-- name: claim\nselect 1\n-- name: claim\nselect 2\n")


@pytest.mark.parametrize("file", files(), ids=lambda file: file.stem)
def test_every_statement_is_used_by_the_module_beside_its_file(file):
    """Every statement is used by the module or by another statement of the file."""
    module = file.with_suffix(".py").read_text()
    content = file.read_text()
    for name in sql.parse(file.name, content).names:
        assert re.search(rf"""["']{name}["']""", module) or f"{{{name}}}" in content, f"{file.name}: {name} is not used"
