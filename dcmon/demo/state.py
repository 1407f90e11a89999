"""The state of the demo: its organization, its token, and how far its replay got."""

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from dcmon import errors
from dcmon.app import App
from dcmon.db import Organization
from dcmon.demo.config import MODEL
from dcmon.embedded import json_file
from dcmon.notifications import receivers
from dcmon.storage import models
from dcmon.tenancy import deletion, organizations, provisioning, tokens

ORGANIZATION = "demo"
OWNER = "owner@demo.example"
RECEIVER = "demo receiver"


@dataclass(frozen=True)
class DemoState:
    """The demo's organization, its token, and the day that is replayed next.

    `next_day` is None when the replay is complete.
    """

    org: Organization
    token: str
    next_day: date | None
    is_new: bool
    file: Path

    def save_progress(self, next_day: date | None) -> "DemoState":
        """Write to the file how far the replay got."""
        json_file.write(self.file, {"token": self.token, "go_on": next_day, "is_done": next_day is None})
        return replace(self, next_day=next_day)


def load_or_create(app: App, first: date) -> DemoState:
    """Return the demo's state. Create its organization the first time; replace a token that was lost."""
    file = app.settings.data_dir / "demo.json"
    saved: dict[str, Any] = json_file.read(file) or {}
    with app.public() as session:
        existing = [entry for entry in organizations.entries(session) if entry.name == ORGANIZATION]
    if not existing:
        created = provisioning.create_organization(app.engine, ORGANIZATION, OWNER)
        return DemoState(created.organization, created.token, first, True, file).save_progress(first)
    org, token = existing[0], saved.get("token")
    with app.public() as session:
        if token is None or not _is_valid(session, token, org):
            owner = organizations.owner(session, org.id)
            token, saved = tokens.create(session, org.id, owner.id, "demo"), {}
    next_day = None if saved.get("is_done") else date.fromisoformat(saved["go_on"]) if saved.get("go_on") else first
    return DemoState(org, token, next_day, False, file).save_progress(next_day)


def _is_valid(session: Any, token: str, org: Organization) -> bool:
    try:
        return tokens.authenticate(session, token).organization == org
    except errors.NotAuthenticated:
        return False


def is_finished(data_dir: Path) -> bool:
    """Return True if the file says that the last demo was complete. Nothing needs to run for this."""
    return bool((json_file.read(data_dir / "demo.json") or {}).get("is_done"))


def delete_demo(app: App) -> None:
    """Delete the demo's organization, with everything in it, and its file."""
    with app.public() as session:
        existing = [*organizations.entries(session), *deletion.unfinished(session)]
    for org in (entry for entry in existing if entry.name == ORGANIZATION):
        deletion.delete(app.engine, org)
    (app.settings.data_dir / "demo.json").unlink(missing_ok=True)


def add_or_update_receiver(app: App, org: Organization, url: str) -> bytes:
    """Add the demo's receiver, or set its new address. Return the secret that signs its messages."""
    with app.org(org) as session:
        for webhook in receivers.entries(session):
            if webhook.name == RECEIVER:
                # Each run listens on another port: waiting notifications are delivered to the new address.
                webhook.url = url
                return bytes(webhook.secret)
        subscription = receivers.Subscription(cap=None)  # the alerts of a year arrive within a minute
        return bytes(receivers.add(session, RECEIVER, url, app.settings.webhooks, subscription).receiver.secret)


def model_id(app: App, org: Organization) -> int:
    """Return the id of the demo's model."""
    with app.org(org) as session:
        return models.find(session, MODEL).id
