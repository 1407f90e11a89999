"""The deterministic sample has a bounded cost for any number of rows in the window."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon import db
from dcmon.app import App
from dcmon.db.tables.org import Model, Version
from dcmon.storage import models, sampling, versions
from dcmon.storage.columns import HASH, KEY, LEVEL, TIME
from dcmon.storage.models import NewModel
from dcmon.storage.sampling import RowSelection
from dcmon.storage.versions import NewVersion
from dcmon.windows import Window
from tests.conftest import TemplateWithAcme, copied_database
from tests.integration.conftest import Target, new_target

START, ROWS, LIMIT = datetime(2026, 3, 1, tzinfo=UTC), 300_000, 2_000
END = START + timedelta(days=60)
COLUMNS = 'id, k, h, lvl, ts, "_dc_prediction", age, job, logged_at'


@pytest.fixture(scope="module")
def large_target(server_url: str, template_with_acme: TemplateWithAcme) -> Iterator[Target]:
    """Insert 300,000 rows over two months, a fifth of them labelled, as ingestion does but in bulk.

    The tests only read them: inserting them for each test took half of the CPU time of all tests of storage.
    """
    with copied_database(server_url, template_with_acme.name) as url:
        engine = db.engine(url)
        target = new_target(engine, template_with_acme.acme.org)
        with db.org_session(engine, target.org) as session:
            _insert_rows(session, versions.get(session, target.version_id)[1])
        yield target
        engine.dispose()


@pytest.fixture
def large(large_target: Target) -> Iterator[tuple[Session, Model, Version]]:
    """Yield a session on the large version."""
    with db.org_session(large_target.engine, large_target.org) as session:
        yield session, *versions.get(session, large_target.version_id)


def _insert_rows(session: Session, version: Version) -> None:
    own = f"samples_{version.relation}"
    for month, after in (("2026-03-01", "2026-04-01"), ("2026-04-01", "2026-05-01")):
        for kind in ("samples", "labels"):
            session.execute(
                text(
                    f"create table {kind}_{version.relation}_{month[:4]}_{month[5:7]} partition of"
                    f" {kind}_{version.relation} for values from ('{month}+00') to ('{after}+00')"
                )
            )
    session.execute(
        text(
            f"insert into {own} (_dc_sample_id, {KEY}, {HASH}, {LEVEL}, {TIME}, _dc_logged_at, _dc_prediction, age,"
            f" job) select 's' || n, md5(n::text)::uuid, h, 30 - floor(log(2, greatest(h, 1)))::int,"
            f" timestamptz '2026-03-01+00' + n * interval '17.28 s', now(), '0', n % 90, 'x'"
            f" from (select n, ('x' || substr(md5(n::text), 1, 8))::bit(32)::bigint % 2147483648 as h"
            f" from generate_series(0, {ROWS - 1}) n) t"
        )
    )
    session.execute(
        text(
            f"insert into labels_{version.relation} (k, h, lvl, ts, label, logged_at)"
            f" select {KEY}, {HASH}, {LEVEL}, {TIME}, '1', now() from {own} where mod({HASH}, 5) = 0"
        )
    )
    session.execute(text(f"analyze {own}"))
    session.execute(text(f"analyze labels_{version.relation}"))


def plan(large: tuple[Session, Model, Version], start: datetime, end: datetime, **options: Any) -> tuple[int, set[str]]:
    """Return the number of rows read by the reader's statement and the kinds of its scans."""
    session, model, version = large
    population = options.pop("population")
    lowest = sampling.lowest_level(population, LIMIT)
    labelled = options.get("labelled", False)
    select_list = f"s.{HASH}, l.label"
    statement, values = sampling._sample_query(
        Window(start, end), RowSelection(model, version, LIMIT, labelled), lowest, select_list
    )
    [[explained]] = session.execute(text(f"explain (analyze, timing off, format json) {statement}"), values)
    seen, kinds = 0, set[str]()
    stack = [explained[0]["Plan"]]
    while stack:
        node = stack.pop()
        stack += node.get("Plans", [])
        if "Relation Name" in node:
            kinds.add(node["Node Type"])
            seen += (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return int(seen), kinds


@pytest.mark.parametrize("days", [1, 6, 30, 60])
@pytest.mark.parametrize("labelled", [False, True])
def test_sampling_reads_a_bounded_number_of_rows(
    large: tuple[Session, Model, Version], days: int, labelled: bool
) -> None:
    end = START + timedelta(days=days)
    population = ROWS * days // 60 // (5 if labelled else 1)
    seen, kinds = plan(large, START, end, labelled=labelled, population=population)
    # Each level has half of the rows of the level below, so the levels that are read have at most twice the limit with
    # its slack. Each row may have a label. For labelled rows, the limit is the same, but only a fifth of the samples
    # in these levels has a label.
    assert seen <= 2 * sampling.SLACK * LIMIT * (1 + 5 if labelled else 2) * 1.1
    if population > 4 * LIMIT:
        assert kinds <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}


@pytest.mark.parametrize("labelled", [False, True])
def test_sample_is_the_lowest_by_hash_across_partitions(large: tuple[Session, Model, Version], labelled: bool) -> None:
    session, model, version = large
    start, end = START + timedelta(days=20), START + timedelta(days=45)
    join = "join" if labelled else "left join"
    n = session.scalar(
        text(
            f"select count(*) from samples_{version.relation} s {join} labels_{version.relation} l"
            f" on l.k = s.{KEY} where s.{TIME} >= :start and s.{TIME} < :end"
        ),
        {"start": start, "end": end},
    )
    statistics = sampling.WindowStatistics(n=int(n or 0), n_labelled=int(n or 0))
    sample = sampling.sample_rows(
        session, Window(start, end), RowSelection(model, version, LIMIT, labelled), statistics
    )
    expected = session.execute(
        text(
            f"select s.age from samples_{version.relation} s {join} labels_{version.relation} l on l.k = s.{KEY}"
            f" where s.{TIME} >= :start and s.{TIME} < :end order by s.{HASH}, s.{KEY} limit :limit"
        ),
        {"start": start, "end": end, "limit": LIMIT},
    )
    position = sample.names.index("age")
    assert [row[position] for row in sample.rows] == [age for (age,) in expected]


def test_rows_outside_of_the_window_do_not_change_the_sample(app: App, target: Target) -> None:
    def log(first: int, count: int, day: int) -> None:
        rows = [
            {"_dc_sample_id": f"s{number}", "_dc_time": (START + timedelta(days=day, seconds=number)).isoformat(),
             "_dc_prediction": "0", "age": number, "job": "x"}
            for number in range(first, first + count)
        ]  # fmt: skip
        app.ingestion.ingest_samples(target.org, target.version_id, [json.dumps(entry).encode() for entry in rows])

    def ages(limit: int) -> list[float]:
        with app.org(target.org) as session:
            model, version = versions.get(session, target.version_id)
            end = START + timedelta(days=1)
            statistics = sampling.window_statistics(session, version.id, START, end)
            sample = sampling.sample_rows(session, Window(START, end), RowSelection(model, version, limit), statistics)
        return [row[sample.names.index("age")] for row in sample.rows]

    log(0, 3000, 0)
    before, some = ages(500), ages(100)
    assert before == ages(500)
    assert before[:100] == some
    log(10_000, 3000, 1)
    log(20_000, 3000, -1)
    assert ages(500) == before


def test_model_without_rows_has_an_empty_sample(app: App, target: Target) -> None:
    with app.org(target.org) as session:
        model = models.create(session, NewModel("empty", "binary"))
        version = versions.create(session, model, NewVersion("v1", {"age": "numeric"}))
        sample = sampling.sample_rows(
            session, Window(START, END), RowSelection(model, version, 10), sampling.WindowStatistics()
        )
    assert list(sample.rows) == []
