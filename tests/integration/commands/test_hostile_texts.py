"""What a tenant wrote is never a command to a terminal: commands that show, about an organization of hostile texts."""

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from dcmon.app import App
from dcmon.db.tables.org import AlertRule, Quarantined
from dcmon.notifications import mute_times, silences
from dcmon.notifications.silences import NewSilence
from tests.helpers.alerts import add_receiver, insert_alert, write_notifications
from tests.helpers.command_line import LoadedDcmon
from tests.integration.conftest import Target
from tests.unit.test_cli import ALL

HOSTILE = "m[red]x[/red]\x1b]0;title\x07\x1b[2J\x9b2J\r\nalert \u202eb\u200b\u2028\u2066\U000e0041"
SHOWN = r"m[red]x[/red]\x1b]0;title\x07\x1b[2J"
# The texts that tenants, their rows, their programs and servers write, by table.
COLUMNS = {
    "models": ["name", "description"],
    "model_notes": ["title", "text"],
    "versions": ["name"],
    "checks": ["name"],
    "monitors": ["name", "description"],
    "alert_rules": ["name"],
    "alerts": ["metric", "acknowledged_by", "acknowledgement", "resolved_by"],
    "alert_changes": ["by", "note"],
    "silences": ["reason", "by"],
    "mute_times": ["name"],
    "webhooks": ["name", "description", "paused_because"],
    "notifications": ["last_error"],
    "quarantine": ["sample_id", "field", "detail", "source"],
    "sources": ["name", "url", "last_error"],
    "ingested_files": ["path", "error"],
    "results": ["reason"],
    "batches": ["source", "by", "note"],
}
PUBLIC_COLUMNS = {
    "users": ["full_name"], "tokens": ["name"], "invitations": ["email"], "workers": ["host"],
    "organizations": ["name"],
}  # fmt: skip
VERBS = ("list", "show", "history", "status", "lag", "audit")
NUMBERS = ("alert_id", "row_id")
MORE = {
    "alert list": ["--all"], "silence list": ["--all"], "reference show": ["--model", HOSTILE, "--version", HOSTILE],
    "sample show": ["--model", HOSTILE],
}  # fmt: skip
WITHOUT_TEXTS = [
    "check list", "dead-letter list", "ingest lag", "invitation list", "migrate status", "monitor history",
    "profile list",
]  # fmt: skip
SHOWING = {name: command for name, command in ALL if name.split()[-1] in VERBS}
ATTRIBUTES = re.compile(r"\x1b\[[\d;]*m")  # dcmon's own, of severities and headings; HOSTILE has none of these


@pytest.fixture
def hostile(app: App, target: Target) -> Target:
    """Fill an organization with one object of each kind, and then write the hostile text wherever a text may stand."""
    add_receiver(app, target.org, "https://hooks.example.org/x")
    alert_id = insert_alert(app, target)
    write_notifications(app, target.org, alert_id, "firing")
    now = datetime.now(UTC)
    with app.org(target.org) as session:
        for matcher in ("model=credit", "severity=low"):
            silences.add(session, NewSilence([matcher], now - timedelta(days=1), now + timedelta(days=1), "why", "ann"))
        mute_times.add(session, "nights", "mon-fri", "22:00-06:00", "UTC", ["severity=low"])
        monitor = session.query(AlertRule).one().monitor_id
        session.add(
            Quarantined(
                model_id=target.model_id, version_id=target.version_id, kind="sample", reason="malformed", detail="d",
                row=HOSTILE.encode(), source="http", position=1, logged_at=now,
            )
        )  # fmt: skip
        values = {"model": target.model_id, "version": target.version_id, "monitor": monitor, "alert": alert_id}
        for statement in (
            "insert into sources (name, url, kind, model_id, version_id, mapping)"
            " values ('s', '/data', 'samples', :model, :version, '{}')",
            "insert into ingested_files (kind, model_id, version_id, path, digest, source_id, error)"
            " select 'samples', :model, :version, 'p', 'd', id, 'e' from sources",
            "insert into alert_changes (alert_id, kind, severity, by) values (:alert, 'acknowledged', 'low', 'ann')",
            "insert into model_notes (model_id, title, text) values (:model, 't', 't')",
        ):
            session.execute(text(statement), values)
        _rewrite(session, COLUMNS)
    with app.public() as session:
        _rewrite(session, PUBLIC_COLUMNS)
    return target


def _rewrite(session: Session, columns: dict[str, list[str]]) -> None:
    for table, names in columns.items():
        chosen = ", ".join(f"{name} = :hostile" for name in names)
        session.execute(text(f"update {table} set {chosen}"), {"hostile": HOSTILE})


def _arguments(name: str, notification_id: str) -> list[str]:
    """Return a command about the hostile objects: their names are the hostile text."""
    typed = [*name.split(), *MORE.get(name, [])]
    parameters = [parameter for parameter in SHOWING[name].params if parameter.param_type_name == "argument"]
    for parameter in parameters:
        known = (
            "1" if parameter.name in NUMBERS else notification_id if parameter.name == "notification_id" else HOSTILE
        )
        typed.append(known)
    return typed


@pytest.mark.parametrize("output", ["table", "json"])
def test_hostile_texts_do_not_reach_the_terminal(
    hostile: Target, database_url: str, with_url: Callable[[str], LoadedDcmon], output: str
) -> None:
    """Each command that shows writes lines of printable text, and no markup of rich is obeyed."""
    dcmon = with_url(database_url)
    notification_id = str(hostile.scalar("select id from notifications"))
    shown = {
        name: dcmon.on_terminal("-o", output, *_arguments(name, notification_id)).replace("\r\n", "\n")
        for name in SHOWING
    }

    left = {name: ATTRIBUTES.sub("", text) for name, text in shown.items()}
    assert {name: text for name, text in left.items() if not text.replace("\n", "").isprintable()} == {}
    texts = {name for name, text in left.items() if "[red]" in text.replace("\n", "")}
    assert SHOWING.keys() - texts <= set(WITHOUT_TEXTS)
