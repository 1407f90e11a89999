"""References: all or nothing, revised by each upload, read in the order of their hashes."""

import json
import threading
from typing import Any

import pytest

from dcmon import db, references, storage, versions
from dcmon.columns import LABEL, PREDICTION, PROBABILITIES
from dcmon.errors import InvalidInput
from tests.integration.conftest import Target

NAMES = ["job", "age", PREDICTION, PROBABILITIES, LABEL]


def document(data: list[list[Any]], names: list[str] = NAMES) -> bytes:
    return json.dumps({"columns": names, "data": data}).encode()


def upload(target: Target, body: bytes) -> int:
    with db.org_session(target.engine, target.org) as session:
        return references.take(session, *versions.get(session, target.version_id), body)


def many(count: int, first: int = 0) -> list[list[Any]]:
    return [[f"j{n % 4}", n, "1", [0.5, 0.5], str(n % 2) if n % 3 else None] for n in range(first, first + count)]


def state(target: Target) -> tuple[int, int]:
    """How many rows, and which revision."""
    with db.org_session(target.engine, target.org) as session:
        _, version = versions.get(session, target.version_id)
        return references.count(session, version), version.reference_revision


GOOD = ["j1", 1, "1", [0.5, 0.5], "0"]


BAD: list[tuple[Any, str]] = [
    (["\0", 1, "1", [0.5, 0.5], "0"], "NUL"),
    (["j", "x", "1", [0.5, 0.5], "0"], "float"),
    (["j", 1, None, [0.5, 0.5], "0"], "null"),
    (["j", 1, "1", [0.5], "0"], "length"),
    (["j", 1, "1", [0.5, 0.5]], "5 values"),
    ({"job": "j"}, "5 values"),
    (5, "5 values"),
]


def test_one_bad_row_keeps_the_whole_out_and_is_named(target: Target) -> None:
    for bad, what in BAD:
        with pytest.raises(InvalidInput, match=rf"Row 2 .*{what}"):
            upload(target, document([GOOD, GOOD, bad, GOOD]))

    assert state(target) == (0, 0)


NO_DOCUMENTS = [
    *(b"", b"[]", b"\xff", b'{"columns": ["age"]}', b'{"columns": ["age", "age"], "data": []}'),
    *(b'{"columns": [], "data": [1]}', b'{"columns": ["age"], "data": ' + b"[" * 100_000),
]


def test_what_is_no_reference_is_refused(target: Target) -> None:
    for body in NO_DOCUMENTS:
        with pytest.raises(InvalidInput):
            upload(target, body)


def test_a_column_named_twice_is_refused(target: Target) -> None:
    with pytest.raises(InvalidInput, match="twice"):
        upload(target, document([[*GOOD, 1]], [*NAMES, "age"]))


def test_uploads_add_up_and_each_makes_a_revision(target: Target) -> None:
    assert upload(target, document(many(10))) == 10
    assert upload(target, document(many(5, 10))) == 5
    assert state(target) == (15, 2)


def test_two_uploads_at_once_are_both_whole(target: Target) -> None:
    threads = [threading.Thread(target=upload, args=(target, document(many(200, n * 200)))) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert state(target) == (800, 4)


def test_more_rows_than_the_limit_are_refused_and_nothing_is_stored(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(references, "LARGEST", 12)
    upload(target, document(many(10)))
    with pytest.raises(InvalidInput, match="limit of 12"):
        upload(target, document(many(3)))

    assert state(target) == (10, 1)


@pytest.mark.parametrize("labelled", [False, True])
def test_the_fair_sample_is_the_bottom_by_hash_and_filters_apply_before_the_limit(
    target: Target, labelled: bool
) -> None:
    upload(target, document(many(500)))
    filters = {"filters": [{"column": "job", "operator": "equals", "value": "j1"}]}
    with db.org_session(target.engine, target.org) as session:
        model, version = versions.get(session, target.version_id)
        found = references.fair_sample(session, model, version, 30, labelled=labelled, filters=filters)
        assert set(found.names) == {*storage.columns(model, version).all}
    ages = [dict(zip(found.names, row, strict=True))["age"] for row in found.rows]
    wanted = [n for n in range(500) if n % 4 == 1 and (n % 3 or not labelled)]

    assert ages == sorted(wanted, key=references._hash)[:30]


def test_a_table_as_pandas_writes_it_is_taken(target: Target) -> None:
    import pandas as pd

    frame = pd.DataFrame({"age": [1.0, None], "job": ["a", None], PREDICTION: ["0", "1"], LABEL: ["1", None]})

    assert upload(target, frame.to_json(orient="split", index=False).encode()) == 2
