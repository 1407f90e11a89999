"""Due windows are evaluated once, by any number of workers; alerts follow; notifications arrive."""

import json
import random
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select, text, update

from dcmon import (  # fmt: skip
    alerts,
    db,
    due,
    gathering,
    ingestion,
    liveness,
    models,
    monitors,
    notifications,
    outbox,
    overview,
    receivers,
    references,
    results,
    rules,
    runs,
    versions,
    wake,
    webhooks,
)
from dcmon.app import App
from dcmon.arrivals import Delivery
from dcmon.checks.layout import Value
from dcmon.jobs import evaluate, notify, schedule
from dcmon.leadership import Leadership
from dcmon.monitors import NewMonitor
from dcmon.reading import Extent
from dcmon.receivers import webhook
from dcmon.receivers.kind import Ways
from dcmon.settings import Webhooks
from dcmon.tables.org import Alert, DueWindow, Monitor, Notification, Result
from dcmon.windows import Frequency, Window
from tests.integration.conftest import Target, eventually, only, running

START = datetime(2026, 3, 2, tzinfo=UTC)


def day(number: int) -> Window:
    return Window(START + timedelta(days=number), START + timedelta(days=number + 1))


def rows(number: int, shift: float = 0, count: int = 300) -> list[bytes]:
    generator = random.Random(number)
    return [
        json.dumps(
            {
                "_dc_sample_id": f"{number}/{each}",
                "_dc_time": (START + timedelta(days=number, minutes=each)).isoformat(),
                "_dc_prediction": str(each % 2),
                "age": generator.gauss(40 + shift, 9),
                "job": f"j{each % 3}",
            }
        ).encode()
        for each in range(count)
    ]


def log_day(app: App, target: Target, number: int, shift: float = 0, count: int = 300) -> None:
    app.ingestion.take_samples(target.org, target.version_id, rows(number, shift, count))


@pytest.fixture
def watched(app: App, target: Target) -> Target:
    """A model with a reference and a daily monitor of the drift of age, above 0.2 is high."""
    with app.org(target.org) as session:
        model, version = versions.get(session, target.version_id)
        parsed = [json.loads(row) for row in rows(-1)]
        names = ["age", "job", "_dc_prediction"]
        document = {"columns": names, "data": [[row[name] for name in names] for row in parsed]}
        references.take(session, model, version, json.dumps(document).encode())
        check = monitors.provide_check(session, model, "FeatureDrift")
        chosen = {"check_conf": {"feature": ["age"]}, "res_conf": None}
        made = monitors.create(session, check, NewMonitor("Age", Frequency.DAY, additional_kwargs=chosen))
        rules.create(session, made.id, rules.parse("> 0.2"), "high")
    return target


def stored(app: App, target: Target) -> list[Result]:
    with app.org(target.org) as session:
        return list(session.scalars(select(Result).order_by(Result.window_end, Result.revision)))


def found_alerts(app: App, target: Target) -> list[Alert]:
    with app.org(target.org) as session:
        return list(session.scalars(select(Alert).order_by(Alert.first_window_end)))


def test_complete_windows_are_evaluated_and_the_open_one_waits(app: App, watched: Target) -> None:
    for number in range(4):
        log_day(app, watched, number)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(app, watched)) == 3)
    assert [(each.window_start, each.n, each.state) for each in stored(app, watched)] == [
        (day(number).start, 300, "OK") for number in range(3)
    ]


def test_two_workers_store_each_window_once(app: App, watched: Target) -> None:
    for number in range(12):
        log_day(app, watched, number)
    with running(evaluate.run, app), App(app.settings, app.output) as other, running(evaluate.run, other):
        assert eventually(lambda: len(stored(app, watched)) >= 11)
    assert [each.window_start for each in stored(app, watched)] == [day(number).start for number in range(11)]


def test_late_rows_make_a_second_revision_of_the_touched_window_only(app: App, watched: Target) -> None:
    for number in range(3):
        log_day(app, watched, number, count=200)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(app, watched)) == 2)
        log_day(app, watched, 0, count=300)
        assert eventually(lambda: len(stored(app, watched)) == 3)
    assert [(each.window_start, each.revision, each.n) for each in stored(app, watched)] == [
        (day(0).start, 1, 200), (day(0).start, 2, 300), (day(1).start, 1, 200),
    ]  # fmt: skip


def test_another_reference_has_the_last_windows_evaluated_again_and_results_say_which_they_used(
    app: App, watched: Target
) -> None:
    for number in range(3):
        log_day(app, watched, number)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(app, watched)) == 2)
    names, given = ("age", "job", "_dc_prediction"), [json.loads(row) for row in rows(-2, 60)]
    other = [msgspec.Raw(json.dumps({name: row[name] for name in names}).encode()) for row in given]
    with app.org(watched.org) as session:
        found = versions.get(session, watched.version_id)
        references.load(session, *found, references.Table(other), replace=True)
        session.execute(text("update due_windows set due_at = now() where due_at > now()"))
    with app.public() as session:
        wake.ring(session, watched.org.id, wake.Work.evaluate)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(app, watched)) == 4)
    assert [(each.window_start, each.revision, each.reference_revision) for each in stored(app, watched)] == [
        (day(0).start, 1, 1), (day(0).start, 2, 2), (day(1).start, 1, 1), (day(1).start, 2, 2),
    ]  # fmt: skip


def test_one_alert_spans_bad_windows_and_closes_by_itself(app: App, watched: Target) -> None:
    for number, shift in enumerate((0, 30, 60, 0, 0)):
        log_day(app, watched, number, shift)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(app, watched)) == 4)
    alert = only(found_alerts(app, watched))
    assert (alert.state, alert.resolved_by, alert.windows) == ("resolved", "recovery", 2)
    assert (alert.first_window_end, alert.last_window_end) == (day(1).end, day(2).end)
    assert alert.worst_window_end == day(2).end
    assert list(alert.drivers) == ["age"]


def test_a_monitor_without_reference_says_why_it_has_no_verdict(app: App, target: Target) -> None:
    with app.org(target.org) as session:
        check = monitors.provide_check(session, models.get(session, target.model_id), "FeatureDrift")
        monitors.create(session, check, NewMonitor("Drift", Frequency.DAY))
    for number in range(2):
        log_day(app, target, number)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(app, target)) == 1)
    result = only(stored(app, target))
    assert result.state == "NO_DATA"
    assert "reference" in result.reason


def test_a_filter_on_a_column_that_is_gone_is_an_error_and_not_an_endless_retry(app: App, watched: Target) -> None:
    with app.org(watched.org) as session:
        wrong = {"filters": [{"column": "nope", "operator": "equals", "value": 1}]}
        session.execute(update(Monitor).values(data_filters=wrong))
    for number in range(2):
        log_day(app, watched, number)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(app, watched)) == 1)
        assert eventually(
            lambda: watched.scalar("select count(*) from due_windows where window_end < '2026-03-04'") == 0
        )
    assert "nope" in only(stored(app, watched)).reason


def test_a_window_that_fails_is_tried_again_then_kept_as_an_error_and_costs_nobody_else(
    app: App, watched: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate, "PAUSE", timedelta(milliseconds=10))
    gather = gathering.gather

    def broken(session: Any, org: Any, plan: Any, limit: int, kept: Any) -> Any:
        if plan.window == day(1):
            raise RuntimeError("a stranger's fault")
        return gather(session, org, plan, limit, kept)

    monkeypatch.setattr(gathering, "gather", broken)
    for number in range(4):
        log_day(app, watched, number)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(app, watched)) == 3)
    assert [(each.state, each.reason) for each in stored(app, watched)] == [
        ("OK", None), ("ERROR", "RuntimeError: a stranger's fault"), ("OK", None),
    ]  # fmt: skip


def test_an_alert_of_a_check_without_features_says_which_features_moved_then(app: App, watched: Target) -> None:
    with app.org(watched.org) as session:
        model = models.get(session, watched.model_id)
        made = monitors.create(
            session, monitors.provide_check(session, model, "PercentOfNulls"), NewMonitor("N", Frequency.DAY)
        )
        rules.create(session, made.id, rules.parse(">= 0"), "low")
    for number, shift in enumerate((0, 60, 0)):
        log_day(app, watched, number, shift)
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(app, watched)) == 4)
    with app.org(watched.org) as session:
        moved = results.moved_features(session, watched.version_id, day(1).start, day(1).end)
    assert list(moved) == ["age"]
    assert moved["age"] > 0.5


# The queue.


def expanded(app: App, target: Target, days: int) -> None:
    for number in range(days):
        log_day(app, target, number, count=10)
    with app.org(target.org) as session:
        due.expand(session)


def test_a_claim_is_nobody_elses_until_its_lease_ends(app: App, watched: Target) -> None:
    expanded(app, watched, 3)
    with app.org(watched.org) as session:
        assert len(due.claim(session, 8, timedelta(seconds=30))) == 2
    with app.org(watched.org) as session:
        assert due.claim(session, 8, timedelta(seconds=30)) == []
        session.execute(update(DueWindow).values(lease_until=func.now() - timedelta(seconds=1)))
    with app.org(watched.org) as session:
        again = due.claim(session, 8, timedelta(seconds=30))
    assert [(each.window, each.attempts) for each in again] == [(day(0), 2), (day(1), 2)]


def test_a_window_that_was_touched_meanwhile_is_due_again_at_once(app: App, watched: Target) -> None:
    expanded(app, watched, 2)
    with app.org(watched.org) as session:
        claim = only(due.claim(session, 8, timedelta(seconds=30)))
    app.ingestion.take_samples(watched.org, watched.version_id, rows(0, count=20))
    with app.org(watched.org) as session:
        due.expand(session)
    with app.org(watched.org) as session:
        due.finish(session, claim, None)
    with app.org(watched.org) as session:
        assert only(due.claim(session, 8, timedelta(seconds=30))).window == day(0)


def test_a_finished_window_is_gone_and_a_waiting_one_comes_back(app: App, watched: Target) -> None:
    expanded(app, watched, 3)
    later = datetime.now(UTC) + timedelta(hours=1)
    with app.org(watched.org) as session:
        first, second = due.claim(session, 8, timedelta(seconds=30))
        due.finish(session, first, None)
        due.finish(session, second, later)
        assert due.claim(session, 8, timedelta(seconds=30)) == []
        assert due.next_at(session) == later


def test_loaded_history_is_never_judged_by_the_clock_but_a_live_version_is(app: App, watched: Target) -> None:
    log_day(app, watched, 0)
    with app.org(watched.org) as session:
        assert liveness.make_due_by_clock(session, datetime.now(UTC)) == 0
        assert due.claim(session, 8, timedelta(seconds=30)) == []
        session.execute(text("update versions set newest_logged_at = watermark + interval '1 minute'"))
    with app.org(watched.org) as session:
        assert liveness.make_due_by_clock(session, datetime.now(UTC)) == liveness.SILENT_WINDOWS
    with running(evaluate.run, app):
        assert eventually(lambda: len(stored(app, watched)) == 4)
    assert [each.state for each in stored(app, watched)] == ["OK", "NO_DATA", "NO_DATA", "NO_DATA"]
    with app.org(watched.org) as session:
        assert liveness.make_due_by_clock(session, datetime.now(UTC)) == 0


# Alerts, by results put in by hand.


def put(app: App, target: Target, number: int, value: float, revision: int = 1) -> None:
    there = Extent(100, 0, 100 * revision, 0, START)
    with app.org(target.org) as session:
        monitor = session.scalars(select(Monitor)).one()
        found = Value("OK", {"score": value}, None, {"age": value})
        result = results.put(session, monitor, target.version_id, day(number), found, there, 100, 1, timedelta())
        assert result is not None
        alerts.judge(session, target.org, result, "https://dcmon.example")


def spans(app: App, target: Target) -> list[tuple[datetime, datetime, int, float, str]]:
    return [
        (each.first_window_end, each.last_window_end, each.windows, each.worst_value, each.state)
        for each in found_alerts(app, target)
    ]


VALUES = [0.1, 0.5, 0.9, 0.1, 0.3, 0.3, 0.1, 0.1, 0.4]


@pytest.mark.parametrize("seed", range(6))
def test_windows_out_of_order_end_in_the_same_alerts(app: App, watched: Target, seed: int) -> None:
    order = list(range(len(VALUES)))
    random.Random(seed).shuffle(order)
    for number in order:
        put(app, watched, number, VALUES[number])
    assert spans(app, watched) == [
        (day(1).end, day(2).end, 2, 0.9, "resolved"),
        (day(4).end, day(5).end, 2, 0.3, "resolved"),
        (day(8).end, day(8).end, 1, 0.4, "firing"),
    ]


def test_a_revision_can_retract_an_alert(app: App, watched: Target) -> None:
    put(app, watched, 0, 0.5)
    put(app, watched, 0, 0.1, revision=2)
    alert = only(found_alerts(app, watched))
    assert (alert.state, alert.resolved_by) == ("resolved", "revision")


def test_an_alert_that_an_operator_resolved_stays_so_and_the_next_bad_window_opens_another(
    app: App, watched: Target
) -> None:
    put(app, watched, 0, 0.5)
    with app.org(watched.org) as session:
        view = only(overview.alerts(session))
        assert alerts.resolve(session, watched.org, view.alert, None)
        assert not alerts.resolve(session, watched.org, view.alert, None)
    put(app, watched, 1, 0.6)
    assert [(each.state, each.resolved_by, each.windows) for each in found_alerts(app, watched)] == [
        ("resolved", "operator", 1), ("firing", None, 1),
    ]  # fmt: skip


def test_the_same_inputs_are_stored_once(app: App, watched: Target) -> None:
    put(app, watched, 0, 0.5)
    with pytest.raises(AssertionError):
        put(app, watched, 0, 0.7)
    assert len(stored(app, watched)) == 1


# Notifications.


class Receiver:
    """A real receiver on the loopback address that answers what it is told to."""

    def __init__(self) -> None:
        self.arrived: list[tuple[dict[str, str], dict[str, Any]]] = []
        self.answers: list[int] = []
        receiver = self

        class Answer(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                receiver.arrived.append(
                    ({name.lower(): value for name, value in self.headers.items()}, json.loads(body))
                )
                status = receiver.answers.pop(0) if receiver.answers else 204
                self.send_response(status)
                if status == 302:
                    self.send_header("location", "/elsewhere")
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Silent."""

        self.server = HTTPServer(("127.0.0.1", 0), Answer)
        self.thread = threading.Thread(target=self.server.serve_forever)
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/"

    def types(self) -> list[str]:
        return [body["type"] for _, body in list(self.arrived)]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


@pytest.fixture
def telling(app: App, watched: Target, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> App:
    """The App with a webhook to the receiver, allowed, and short pauses."""
    monkeypatch.setattr(outbox, "FIRST_PAUSE", timedelta(milliseconds=100))
    allowed = app.settings.webhooks.model_copy(update={"allow": ["127.0.0.1"], "timeout": timedelta(seconds=2)})
    made = App(app.settings.model_copy(update={"webhooks": allowed}), app.output)
    with made.org(watched.org) as session:
        webhooks.add(session, "team", receiver.url, [], allowed)
    return made


def ring(app: App, target: Target) -> None:
    with app.public() as session:
        wake.ring(session, target.org.id, wake.Work.notify)


def test_each_change_of_an_alert_is_told_once_signed_and_in_order(
    telling: App, watched: Target, receiver: Receiver
) -> None:
    with running(notify.run, telling):
        for number, value in enumerate((0.5, 0.6, 0.1)):
            put(telling, watched, number, value)
            ring(telling, watched)
            assert eventually(lambda: len(receiver.arrived) == max(1, number))  # noqa: B023
    assert receiver.types() == ["alert.firing", "alert.resolved"]
    headers, body = receiver.arrived[0]
    with telling.org(watched.org) as session:
        secret = webhooks.find(session, "team").secret
    signed = webhook.sign([secret], headers["webhook-id"], int(headers["webhook-timestamp"]), webhook.encode(body))
    assert headers["webhook-signature"] == signed["webhook-signature"]
    assert body["alert"]["monitor"] == "Age"
    assert body["command"].startswith("dcmon --org acme alert show")
    telling.close()


def test_a_refused_delivery_is_tried_again_with_the_same_id(telling: App, watched: Target, receiver: Receiver) -> None:
    receiver.answers = [500, 302]
    put(telling, watched, 0, 0.5)
    ring(telling, watched)
    with running(notify.run, telling):
        assert eventually(lambda: len(receiver.arrived) == 3)
        assert eventually(lambda: watched.scalar("select delivered_at is not null from notifications") is True)
    assert len({headers["webhook-id"] for headers, _ in receiver.arrived}) == 1
    assert watched.scalar("select attempts from notifications") == 3
    telling.close()


def test_a_crash_between_sending_and_writing_down_delivers_again_with_the_same_id(
    telling: App, watched: Target, receiver: Receiver
) -> None:
    put(telling, watched, 0, 0.5)
    with telling.org(watched.org) as session:
        soon = {"lease": timedelta(milliseconds=1), "now": datetime.now(UTC) + timedelta(seconds=1)}
        claimed = only(outbox.claim(session, watched.org, telling.settings.webhooks, "https://d.example", **soon))
    sent = receivers.send(claimed.to, claimed.message, Ways(telling.settings.webhooks))
    assert sent.is_delivered
    ring(telling, watched)
    with running(notify.run, telling):
        assert eventually(lambda: len(receiver.arrived) == 2)
    assert len({headers["webhook-id"] for headers, _ in receiver.arrived}) == 1
    telling.close()


def test_loopback_is_refused_without_the_allow_list(
    app: App, telling: App, watched: Target, receiver: Receiver
) -> None:
    put(telling, watched, 0, 0.5)
    ring(telling, watched)
    with running(notify.run, app):
        assert eventually(lambda: watched.scalar("select last_error from notifications") is not None)
    assert receiver.arrived == []
    assert "not public" in str(watched.scalar("select last_error from notifications"))
    telling.close()


def test_what_cannot_be_delivered_in_time_is_given_up_and_says_so(
    telling: App, watched: Target, receiver: Receiver
) -> None:
    receiver.answers = [500] * 50
    put(telling, watched, 0, 0.5)
    with telling.org(watched.org) as session:
        session.execute(update(Notification).values(tried_at=func.now() - timedelta(hours=73)))
    ring(telling, watched)
    with running(notify.run, telling):
        assert eventually(lambda: watched.scalar("select dead_at from notifications") is not None)
    with telling.org(watched.org) as session:
        shown = [notifications.state(each) for each, _ in notifications.of_alert(session, 1)]
    assert shown == ["dead"]
    telling.close()


def test_only_the_severities_that_a_webhook_wants_are_told(telling: App, watched: Target, receiver: Receiver) -> None:
    with telling.org(watched.org) as session:
        webhooks.find(session, "team").severities = ["critical"]
    put(telling, watched, 0, 0.5)
    assert watched.scalar("select count(*) from notifications") == 0
    telling.close()


# The clockwork.


def test_one_scheduler_leads_and_the_next_takes_over(app: App) -> None:
    with App(app.settings, app.output) as other, Leadership(app.engine) as first, Leadership(other.engine) as second:
        assert first.holds()
        assert not second.holds()
        assert first.holds()
        first.resign()
        assert second.holds()
        assert not first.holds()


def test_the_leader_rings_for_work_whose_hint_was_lost(app: App, watched: Target) -> None:
    for number in range(2):
        log_day(app, watched, number)
    with app.public() as session:
        session.execute(text("delete from wake"))
    with running(schedule.run, app), running(evaluate.run, app):
        assert eventually(lambda: len(stored(app, watched)) == 1)


def test_a_direct_batch_stands_in_the_ledger(app: App, watched: Target) -> None:
    with db.org_session(app.engine, watched.org) as session:
        delivery = Delivery([*rows(0), b"{}"], START + timedelta(days=9), "request/1")
        outcome = ingestion.store_samples(session, watched.org, watched.version_id, [delivery])
    line = "select taken || ' ' || stored || ' ' || duplicates || ' ' || quarantined from batches"
    assert watched.scalar(line) == "301 300 0 1"
    assert outcome.taken == outcome.stored + outcome.duplicates + outcome.quarantined


def test_what_a_quiet_run_found_is_told_by_the_worker_that_finds_nothing_new(app: App, watched: Target) -> None:
    with app.org(watched.org) as session:
        webhooks.add(session, "team", "https://hooks.example.org/x", [], Webhooks())
        (monitor_id,) = session.scalars(select(Monitor.id))
    for number, shift in enumerate((0, 30, 0)):
        log_day(app, watched, number, shift)
    with app.org(watched.org) as session:
        wanted = runs.complete(session, monitor_id, (day(0).start, None))
    found = list(runs.run(app.engine, watched.org, monitor_id, wanted, app.settings.evaluate, None))
    assert ([alert.state for alert in found_alerts(app, watched)], told(app, watched)) == (["firing"], [])
    with running(evaluate.run, app):
        assert eventually(lambda: told(app, watched) == ["firing"])
    assert len(stored(app, watched)) == len(found)


def test_who_runs_a_monitor_again_to_be_notified_is(app: App, watched: Target) -> None:
    with app.org(watched.org) as session:
        webhooks.add(session, "team", "https://hooks.example.org/x", [], Webhooks())
        (monitor_id,) = session.scalars(select(Monitor.id))
    for number, shift in enumerate((0, 30, 0)):
        log_day(app, watched, number, shift)
    for link, expected in ((None, []), ("https://dcmon.example", ["firing"]), ("https://dcmon.example", ["firing"])):
        with app.org(watched.org) as session:
            wanted = runs.complete(session, monitor_id, (day(0).start, None))
        list(runs.run(app.engine, watched.org, monitor_id, wanted, app.settings.evaluate, link))
        assert told(app, watched) == expected


def told(app: App, target: Target) -> list[str]:
    with app.org(target.org) as session:
        return list(session.scalars(select(Notification.kind).order_by(Notification.position)))
