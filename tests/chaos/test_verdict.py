"""The verdict finds each kind of fault that the tests create."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice

import pytest
from sqlalchemy import Engine, text

from dcmon import db
from dcmon.db import Organization
from dcmon.ingestion.intake import Direct
from tests.chaos.book import AcceptedRows, Request
from tests.chaos.generator import Plan
from tests.chaos.rows import Rows, Target
from tests.chaos.run import targets
from tests.chaos.verdict import Judge, Verdict
from tests.conftest import copied_database

ROWS = Rows(7, datetime.now(UTC))


@dataclass(frozen=True)
class StoredPlan:
    """The name of a database, its targets, and the requests that were stored there."""

    database: str
    targets: list[Target]
    requests: list[Request]


def store(engine: Engine, request: Request) -> None:
    """Store the rows of a request directly."""
    model, direct = request.target.model, Direct(engine)
    org = Organization(model.org_id, "", model.schema)
    if request.kind == "samples":
        direct.ingest_samples(org, request.target.version_id, request.rows)
    else:
        direct.ingest_labels(org, model.id, request.rows)


def enter(book: AcceptedRows, request: Request) -> None:
    """Record a request in the book."""
    moment = float(book.counts["requests"])
    book.enter(request, moment, moment, is_repeated=False)


def send(engine: Engine, book: AcceptedRows, request: Request) -> None:
    store(engine, request)
    enter(book, request)


@pytest.fixture(scope="module")
def stored(server_url: str, template: str) -> Iterator[StoredPlan]:
    """Store the requests of a plan in a database that each test copies."""
    with copied_database(server_url, template) as url:
        engine = db.engine(url)
        created_targets = targets(engine)
        requests = list(islice(Plan(ROWS, created_targets, 0).requests(), 60))
        for request in requests:
            store(engine, request)
        engine.dispose()  # a database that is copied has no connections
        yield StoredPlan(str(engine.url.database), created_targets, requests)


@pytest.fixture
def database_url(server_url: str, stored: StoredPlan) -> Iterator[str]:
    """Yield the URL of this test's own database with the rows of the plan."""
    with copied_database(server_url, stored.database) as url:
        yield url


@pytest.fixture
def sent(stored: StoredPlan) -> AcceptedRows:
    """Return the book of the plan's requests."""
    book = AcceptedRows()
    for request in stored.requests:
        enter(book, request)
    return book


def judged(database_url: str, sent: AcceptedRows) -> Verdict:
    return Judge(database_url, sent, ROWS).judge()


def tampered(engine: Engine, target: Target, statement: str) -> None:
    with engine.begin() as connection:
        connection.execute(text(f"set local search_path to {target.model.schema}"))
        done = connection.execute(text(statement.format(t=target.relation, m=target.model.relation)))
        assert done.rowcount == 1, statement


def test_verdict_is_well_when_all_rows_are_stored_once(database_url: str, sent: AcceptedRows) -> None:
    judge = Judge(database_url, sent, ROWS)
    verdict = judge.judge()
    assert verdict.is_well, str(verdict)
    assert judge.count_stored() == judge.wanted
    assert min(verdict.counts[name] for name in ("samples", "labels", "quarantined", "duplicates")) > 10


ONE_SAMPLE = "where _dc_sample_id = (select min(_dc_sample_id) from samples_{t})"
ONE_LABEL = "where k = (select k from labels_{t} order by k limit 1)"
FAULTS = {
    "a sample that is gone": (f"delete from samples_{{t}} {ONE_SAMPLE}", "lost"),
    "a sample that is there twice": ("insert into samples_{t} select * from samples_{t} limit 1", "doubled"),
    "another value": (f"update samples_{{t}} set job = 'x' {ONE_SAMPLE}", "wrong"),
    "another time of a sample": (
        f"update samples_{{t}} set _dc_time = _dc_time + interval '1 microsecond' {ONE_SAMPLE}",
        "wrong",
    ),
    "a label that is gone": (f"delete from labels_{{t}} {ONE_LABEL}", "lost"),
    "another label": (f"update labels_{{t}} set label = 'x' {ONE_LABEL}", "wrong"),
    "a waiting label that is gone": (
        "delete from orphan_labels_{m} where k = (select o.k from orphan_labels_{m} o"
        " left join ids_{m} i using (k) where i.k is null limit 1)",
        "lost",
    ),
    "a bad row that is gone": ("delete from quarantine where id = (select min(id) from quarantine)", "lost"),
    "a bad row that is there twice": (
        "insert into quarantine (model_id, version_id, kind, sample_id, reason, detail, row, source, position,"
        " logged_at) select model_id, version_id, kind, sample_id, reason, detail, row, 'again', 0, logged_at"
        " from quarantine limit 1",
        "doubled",
    ),
    "another reason": ("update quarantine set reason = 'x' where id = (select min(id) from quarantine)", "wrong"),
    "a dead letter that nobody sent": (
        "insert into public.dead_letters (topic, topic_id, partition, at_offset, body, reason)"
        " values ('', gen_random_uuid(), 0, 0, 'x', 'x')",
        "wrong",
    ),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_verdict_finds_each_fault(engine: Engine, database_url: str, sent: AcceptedRows, fault: str) -> None:
    statement, kind = FAULTS[fault]
    target = max(
        (candidate for candidate in sent.samples if candidate.task == "binary"),
        key=lambda candidate: len(sent.samples[candidate]),
    )
    tampered(engine, target, statement)
    verdict = judged(database_url, sent)
    assert getattr(verdict, kind), fault


def test_verdict_includes_a_wrong_http_status(database_url: str, sent: AcceptedRows) -> None:
    sent.fault("POST: 404")
    assert judged(database_url, sent).wrong == ["POST: 404"]


def first(plan: Plan) -> list[Request]:
    return list(islice(plan.requests(), 200))


def test_plan_is_the_same_for_the_same_seed(stored: StoredPlan) -> None:
    make: Callable[[int], Plan] = lambda client: Plan(ROWS, stored.targets, client, with_messages=True)  # noqa: E731
    assert first(make(1)) == first(make(1)) != first(make(2))


def rows_of(requests: list[Request]) -> Iterator[bytes]:
    return (row for request in requests for row in request.rows)


def test_plan_contains_every_difficult_case(stored: StoredPlan) -> None:
    requests = first(Plan(ROWS, stored.targets, 1, with_messages=True))
    poison = [bad for request in requests for bad in request.poison]
    assert {bad.reason for bad in poison} >= {
        "malformed", "unknown_class", "missing_feature", "wrong_type", "nul_character", "unknown_field", "out_of_range",
        "future_timestamp", "too_long",
    }  # fmt: skip
    assert max(Counter(bad.row for bad in poison).values()) > 1, "poison comes again"
    assert max(Counter(rows_of(requests)).values()) > 1, "rows come again"
    assert {request.kind for request in requests} == {"samples", "labels", "message"}
    assert len({request.target.model.org_id for request in requests}) == 2
    messages = [request.rows[0] for request in requests if request.kind == "message"]
    assert len(messages) == len(set(messages)) > 10, "each message is known by what it says"
    contents = [(request.target, *sample) for request in requests for sample in request.samples]
    assert {variant for *_, variant in contents} == {0, 1}
