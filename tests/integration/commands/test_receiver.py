"""Command line of `dcmon receiver` and `dcmon notification`: output, exit codes, no secrets."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dcmon.app import App
from dcmon.db.tables.org import Alert
from dcmon.jobs import notify
from dcmon.monitoring import lifecycle
from dcmon.storage import models
from dcmon.storage.models import NewModel
from tests.helpers.alerts import (
    ALLOWED,
    OK,
    insert_alert,
    notification_states,
    receiver,
    respond_with,
    write_notifications,
)
from tests.helpers.command_line import dcmon
from tests.helpers.waiting import PATIENCE
from tests.integration.commands.test_exit_codes import require_refused
from tests.integration.conftest import Target, eventually, running, single

RunDcmon = Callable[..., "subprocess.CompletedProcess[str]"]
SLACK = "https://hooks.slack.com/services/T024BE7LD/B0G9QF9C6/XyzSecretToken123456789"


@pytest.fixture
def run_dcmon(data_dir: Path, database_url: str, target: Target) -> RunDcmon:
    def run(*arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        settings = {"DCMON_WEBHOOKS__ALLOW": "127.0.0.1", "DCMON_WEBHOOKS__TIMEOUT": str(PATIENCE), **settings}
        return dcmon(*arguments, data_dir=data_dir, url=database_url, **settings)

    return run


def parse_json(done: "subprocess.CompletedProcess[str]") -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_receiver_is_added_shown_changed_and_deleted(run_dcmon: RunDcmon) -> None:
    chosen = (
        "--severity",
        "high",
        "--model",
        "credit",
        "--cap",
        "5",
        "--repeat",
        "4h",
        "--header",
        "X-Token: t0psecret",
    )
    added = parse_json(
        run_dcmon("-o", "json", "receiver", "create", "équipe 1", "https://hooks.example.org/x", *chosen)
    )
    assert added["secret"].startswith("whsec_")
    assert (added["severities"], added["models"], added["cap"], added["repeat"]) == (["high"], ["credit"], 5, 14400)

    shown = parse_json(run_dcmon("-o", "json", "receiver", "show", "équipe 1"))
    assert shown["options"] == {"headers": ["X-Token"]}
    changed = parse_json(run_dcmon("-o", "json", "receiver", "set", "équipe 1", "--cap", "none", "--model", "all"))
    assert (changed["cap"], changed["models"], changed["severities"]) == (None, None, ["high"])
    changed_url = parse_json(run_dcmon("-o", "json", "receiver", "set", "équipe 1", "https://hooks.example.org/y"))
    assert (changed_url["to"], changed_url["options"]) == ("https://hooks.example.org/y", {"headers": ["X-Token"]})
    elsewhere = parse_json(run_dcmon("-o", "json", "receiver", "set", "équipe 1", "https://other.example.org/"))
    assert elsewhere["options"] == {"headers": []}
    assert parse_json(run_dcmon("-o", "json", "receiver", "delete", "équipe 1", "--dry-run"))["dry_run"] is True
    assert parse_json(run_dcmon("-o", "json", "receiver", "delete", "équipe 1")) == {
        "deleted": "équipe 1",
        "waiting": 0,
        "dead": 0,
    }
    assert parse_json(run_dcmon("-o", "json", "receiver", "list")) == []


def test_receiver_is_added_with_neither_cap_nor_repetition(run_dcmon: RunDcmon) -> None:
    parse_json(
        run_dcmon(
            "-o", "json", "receiver", "create", "free", "https://a.example/x", "--cap", "none", "--repeat", "none"
        )
    )
    shown = parse_json(run_dcmon("-o", "json", "receiver", "show", "free"))
    assert (shown["cap"], shown["repeat"]) == (None, None)


def test_receiver_of_a_deleted_model_gets_nothing(run_dcmon: RunDcmon, app: App, target: Target) -> None:
    """The deleted model was the only model of the receiver."""
    with app.org(target.org) as session:
        models.create(session, NewModel("fraud", "binary"))
        models.create(session, NewModel("churn", "binary"))
    assert (
        run_dcmon("receiver", "create", "both", "https://a.example/", "--model", "fraud", "--model", "churn").returncode
        == 0
    )
    assert run_dcmon("receiver", "create", "one", "https://a.example/", "--model", "fraud").returncode == 0
    assert run_dcmon("receiver", "create", "every", "https://a.example/").returncode == 0
    with app.org(target.org) as session:
        lifecycle.delete_model(session, models.find(session, "fraud"))
    assert run_dcmon("receiver", "set", "one", "--cap", "3").returncode == 0
    listed = {row["name"]: row["models"] for row in parse_json(run_dcmon("-o", "json", "receiver", "list"))}
    assert listed == {"both": ["churn"], "every": None, "one": []}
    assert "none" in single(
        [line for line in run_dcmon("receiver", "show", "one").stdout.splitlines() if "models" in line]
    )
    write_notifications(app, target.org, insert_alert(app, target), "firing")
    notified = parse_json(run_dcmon("-o", "json", "notification", "list"))
    assert [notification["receiver"] for notification in notified] == ["every"]


def test_added_receiver_is_notified_unless_only_new_is_wanted(run_dcmon: RunDcmon, app: App, target: Target) -> None:
    """A new receiver is notified of firing alerts, except with `--only-new`."""
    with app.org(target.org) as session:
        session.get_one(Alert, insert_alert(app, target)).told_severity = "high"
    added = run_dcmon("-o", "json", "receiver", "create", "late", "https://a.example/", "--severity", "high")
    assert json.loads(added.stdout)["notified"] == 1
    assert "1 alert fires already: the receiver is notified of it now." in added.stderr
    later = run_dcmon("-o", "json", "receiver", "create", "later", "https://b.example/", "--only-new")
    assert parse_json(later)["notified"] == 0
    assert parse_json(run_dcmon("-o", "json", "receiver", "set", "later", "--cap", "3"))["notified"] == 0
    assert parse_json(run_dcmon("-o", "json", "receiver", "set", "later", "--severity", "low"))["notified"] == 0
    assert parse_json(run_dcmon("-o", "json", "receiver", "set", "later", "--severity", "high"))["notified"] == 1
    notified = parse_json(run_dcmon("-o", "json", "notification", "list"))
    assert sorted(notification["receiver"] for notification in notified) == ["late", "later"]


def test_every_kind_is_added_and_no_secret_is_shown_twice(run_dcmon: RunDcmon) -> None:
    secret = parse_json(
        run_dcmon("-o", "json", "receiver", "create", "plain", "https://a.example/x?token=t0psecretquery")
    )["secret"]
    for arguments in (
        ("slack", SLACK, "--kind", "slack"),
        ("teams", "https://x.logic.azure.com/workflows/1?sig=S3cr3tS1gnature", "--kind", "teams"),
        ("pager", "--kind", "pagerduty", "--key", "R0UTINGKEY123"),
        ("mail", "ann@acme.example", "bob@acme.example", "--kind", "email"),
        ("page", "--kind", "command", "--", "/bin/echo", "-n", "--key=s3cretargument"),
    ):
        done = run_dcmon("receiver", "create", *arguments)
        assert done.returncode == 0, done.stderr
        assert not any(
            notification in done.stdout + done.stderr
            for notification in ("XyzSecret", "S3cr3t", "R0UTING", "s3cretarg")
        )
    shown = [
        run_dcmon("receiver", "list"),
        run_dcmon("-o", "json", "receiver", "list"),
        run_dcmon("notification", "list"),
    ]
    shown += [
        run_dcmon("-o", "json", "receiver", "show", name)
        for name in ("plain", "slack", "teams", "pager", "page", "mail")
    ]
    shown += [run_dcmon("receiver", "list", COLUMNS="80")]
    hidden = ("XyzSecret", "S3cr3tS1g", "R0UTINGKEY", "s3cretargument", "t0psecretquery", secret, secret[6:])
    for done in shown:
        assert done.returncode == 0
        assert not any(notification in done.stdout + done.stderr for notification in hidden)
    assert "ann@acme.example, bob@acme.example" in shown[1].stdout
    assert max(map(len, shown[-1].stdout.splitlines())) <= 80


def test_key_is_read_from_standard_input(data_dir: Path, database_url: str, target: Target) -> None:
    import os
    import sys

    environment = {**os.environ, "DCMON_DATA_DIR": str(data_dir), "DCMON_DATABASE_URL": database_url}
    command = [sys.executable, "-m", "dcmon", "receiver", "create", "p", "--kind", "pagerduty", "--key", "-"]
    done = subprocess.run(
        command, env=environment, input="R0UTINGKEY123\n", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert target.scalar("select credentials ->> 'routing_key' from webhooks") == "R0UTINGKEY123"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("add", "x"), 2, "Give one URL"),
        (("add", "x", "https://u:s3cret@h.example"), 2, "can't have a user or password"),
        (("add", "x", "https://h.example", "--severity", "awful"), 2, "no severity 'awful'"),
        (("add", "x", "https://h.example", "--model", "nothing"), 5, "dcmon model list"),
        (("add", "x", "https://h.example", "--cap", "0"), 2, "from 1 on"),
        (("add", "x", "https://h.example", "--cap", "many"), 2, "neither a number"),
        (("add", "x", "https://h.example", "--repeat", "soon"), 2, "not a duration"),
        (("add", "x", "https://h.example", "--repeat", "1s"), 2, "more often than every 5m"),
        (("add", "x", "https://h.example", "--header", "nonsense"), 2, "X-Token: abc"),
        (("add", "x", "--kind", "pagerduty"), 2, "--key"),
        (("add", "x", "--kind", "email"), 2, "ann@example.org"),
        (("add", "x", "--kind", "command"), 2, "--kind command --"),
        (("add", "x", "--kind", "pigeon"), 2, "pigeon"),
        (("add", " ", "https://h.example"), 2, "1 to 100 printable characters"),
        (("show", "x"), 5, "There is no receiver 'x'. \"dcmon receiver list\""),
        (("set", "x", "--cap", "3"), 5, "dcmon receiver list"),
        (("rotate", "x"), 5, "dcmon receiver list"),
        (("delete", "x"), 5, "dcmon receiver list"),
    ],
)
def test_invalid_receiver_is_refused_with_its_reason(
    run_dcmon: RunDcmon, arguments: tuple[str, ...], code: int, sentence: str
) -> None:
    done = run_dcmon("webhook", *arguments)
    require_refused(done, code, sentence)
    assert "s3cret" not in done.stderr


def test_webhook_name_used_twice_is_a_conflict(run_dcmon: RunDcmon) -> None:
    assert run_dcmon("receiver", "create", "team", "https://h.example").returncode == 0
    require_refused(
        run_dcmon("receiver", "create", "team", "https://h.example"), 6, "There is a receiver 'team' already"
    )


def test_webhook_test_reports_whether_it_was_delivered(run_dcmon: RunDcmon) -> None:
    with receiver(respond_with(OK, b"HTTP/1.1 403 X\r\ncontent-length: 0\r\n\r\n")) as at:
        assert run_dcmon("receiver", "create", "team", at.url).returncode == 0
        assert parse_json(run_dcmon("-o", "json", "receiver", "test", "--here", "team"))["delivered"] is True
        assert run_dcmon("receiver", "test", "--here", "team").returncode == 1
        assert at.bodies()[0]["type"] == "test"
    assert run_dcmon("receiver", "test", "--here", "team").returncode == 7
    assert run_dcmon("receiver", "create", "page", "--kind", "command", "--", "/bin/false").returncode == 0
    assert run_dcmon("receiver", "test", "--here", "page").returncode == 1  # it ran, and did not take the message


def test_rotated_secret_signs_together_with_the_old_one(run_dcmon: RunDcmon) -> None:
    with receiver(respond_with(OK)) as at:
        first = parse_json(run_dcmon("-o", "json", "receiver", "create", "team", at.url))["secret"]
        second = parse_json(run_dcmon("-o", "json", "receiver", "rotate", "team", "--yes"))["secret"]
        assert first != second
        assert run_dcmon("receiver", "test", "--here", "team").returncode == 0
    assert at.requests[0].count(b"v1,") == 2
    assert run_dcmon("receiver", "create", "chat", at.url, "--kind", "slack").returncode == 0
    require_refused(run_dcmon("receiver", "rotate", "chat"), 2, "have no signature")


def test_notifications_are_listed_paused_resumed_and_tried_again(run_dcmon: RunDcmon, app: App, target: Target) -> None:
    require_refused(run_dcmon("notification", "list", "--state", "lost"), 2, "one of waiting, held")
    require_refused(run_dcmon("notification", "list", "--receiver", "x"), 5, "dcmon receiver list")
    require_refused(run_dcmon("notification", "show", "abcdef"), 5, "dcmon notification list")
    require_refused(run_dcmon("notification", "retry"), 2, "--all-dead")
    assert run_dcmon("notification", "list").stdout == ""
    with (
        receiver(respond_with(OK)) as at,
        App(app.settings.model_copy(update={"webhooks": ALLOWED}), app.output) as notifying_app,
    ):
        assert run_dcmon("receiver", "create", "team", at.url).returncode == 0
        assert parse_json(run_dcmon("-o", "json", "receiver", "pause", "team"))["until"] is None
        write_notifications(notifying_app, target.org, insert_alert(notifying_app, target), "firing")
        with running(notify.run, notifying_app):
            (row,) = parse_json(run_dcmon("-o", "json", "notification", "list", "--state", "waiting"))
            assert row["reason"] == "The receiver is paused."
            assert single(parse_json(run_dcmon("-o", "json", "receiver", "list")))["state"] == "paused"
            assert parse_json(run_dcmon("-o", "json", "receiver", "resume", "team"))["waiting"] == 1
            assert eventually(lambda: notification_states(notifying_app, target) == ["delivered"])
        shown = parse_json(run_dcmon("-o", "json", "notification", "show", row["id"][:8]))
        assert (shown["state"], shown["receiver"], shown["status"]) == ("delivered", "team", 200)
        assert at.ids() == [shown["message"]]
        assert (
            single(parse_json(run_dcmon("-o", "json", "notification", "list", "--message", shown["message"])))["id"]
            == row["id"]
        )
        assert run_dcmon("notification", "retry", row["id"]).returncode == 8
        assert parse_json(run_dcmon("-o", "json", "notification", "retry", "--all-dead")) == {
            "retried": 0,
            "superseded": 0,
        }
    paused = parse_json(run_dcmon("-o", "json", "receiver", "pause", "team", "--for", "2h"))
    assert paused["until"] is not None
    assert "state" in run_dcmon("notification", "list", COLUMNS="80").stdout
