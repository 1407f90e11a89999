"""Where the demo takes place: its organization, its token, and how far its replay got."""

from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from dcmon import errors
from dcmon.app import App
from dcmon.db import Organization
from dcmon.demo.config import MODEL
from dcmon.embedded import process
from dcmon.notifications import receivers
from dcmon.storage import models
from dcmon.tenancy import organizations, provisioning, tokens

ORGANIZATION = "demo"
OWNER = "owner@demo.example"
RECEIVER = "demo receiver"


@dataclass(frozen=True)
class Place:
    """The demo's organization, the token of its service, and the day that the replay goes on with (None: is done)."""

    org: Organization
    token: str
    go_on: date | None
    is_new: bool
    file: Path

    def keep(self, go_on: date | None) -> "Place":
        """Write down how far the replay got."""
        process.write_json(self.file, {"token": self.token, "go_on": go_on, "is_done": go_on is None})
        return replace(self, go_on=go_on)


def find(app: App, first: date) -> Place:
    """The demo's place, made at the first time; a token that was lost is replaced."""
    file = app.settings.data_dir / "demo.json"
    held: dict[str, Any] = process.read_json(file) or {}
    with app.public() as session:
        there = [entry for entry in organizations.entries(session) if entry.name == ORGANIZATION]
    if not there:
        made = provisioning.create_organization(app.engine, ORGANIZATION, OWNER)
        return Place(made.organization, made.token, first, True, file).keep(first)
    org, token = there[0], held.get("token")
    with app.public() as session:
        if token is None or not _opens(session, token, org):
            owner = organizations.owner(session, org.id)
            token, held = tokens.create(session, org.id, owner.id, "demo"), {}
    go_on = None if held.get("is_done") else date.fromisoformat(held["go_on"]) if held.get("go_on") else first
    return Place(org, token, go_on, False, file).keep(go_on)


def _opens(session: Any, token: str, org: Organization) -> bool:
    try:
        return tokens.authenticate(session, token).organization == org
    except errors.NotAuthenticated:
        return False


def is_over(data_dir: Path) -> bool:
    """Whether the last demo came to its end, as far as can be known before anything is started."""
    return bool((process.read_json(data_dir / "demo.json") or {}).get("is_done"))


def clear(app: App) -> None:
    """Forget the demo: its organization and everything in it."""
    with app.public() as session:
        there = [entry for entry in organizations.entries(session) if entry.name == ORGANIZATION]
    for org in there:
        provisioning.delete_organization(app.engine, org)
    (app.settings.data_dir / "demo.json").unlink(missing_ok=True)


def provide_receiver(app: App, org: Organization, url: str) -> bytes:
    """Make the demo's receiver known under its address of today; returns the secret that signs its messages."""
    with app.org(org) as session:
        for webhook in receivers.entries(session):
            if webhook.name == RECEIVER:
                # The address is another one each time; what waits for it is delivered to the new one.
                webhook.url = url
                return bytes(webhook.secret)
        every_one = receivers.Subscription(cap=None)  # a year in a minute is no storm
        return bytes(receivers.add(session, RECEIVER, url, app.settings.webhooks, every_one).receiver.secret)


def model_id(app: App, org: Organization) -> int:
    """The demo's model."""
    with app.org(org) as session:
        return models.find(session, MODEL).id
