"""Plan the changes from an organization's state to what files declare, and try them in a transaction."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import text

from dcmon import errors, file_errors
from dcmon.db import locks
from dcmon.db.locks import LockSpace
from dcmon.declarations import applying, file_reader, state, yaml_writer
from dcmon.declarations.applying import Applied
from dcmon.declarations.applying_context import Context
from dcmon.declarations.changes import Noun, Plan
from dcmon.declarations.diff import Comparison
from dcmon.declarations.document import Document
from dcmon.declarations.file_reader import ReadFiles, Source
from dcmon.declarations.secret_text import SecretText
from dcmon.declarations.state import Scope
from dcmon.storage import expiry
from dcmon.storage.expiry import Counts, Terms
from dcmon.tenancy import organizations

STORED_FORMAT = "dcmon plan 1"
EMPTY = Document()


@dataclass(frozen=True)
class Wanted:
    """What files declare, with the secrets that are known here. `prunes`: delete what they cover but do not declare."""

    files: ReadFiles
    document: Document
    prunes: bool = False

    @classmethod
    def of_files(cls, files: ReadFiles, environment: Mapping[str, str], *, prunes: bool) -> "Wanted":
        """Return what files declare. Raises InvalidFiles."""
        return cls(files, with_secrets(files.require(), environment), prunes)


@dataclass(frozen=True)
class TriedPlan:
    """A plan, with the effects that its changes had in a transaction. `expired`: what the next prune deletes more."""

    plan: Plan
    applied: Sequence[Applied] = ()
    expired: Counts | None = None


def with_secrets(document: Document, environment: Mapping[str, str]) -> Document:
    """Return a document with the values of its secrets, as far as they are known here."""
    if document.receivers is None:
        return document

    def resolved(value: SecretText | None) -> SecretText | None:
        return None if value is None else value.resolved(environment)

    receivers = {
        name: receiver.model_copy(
            update={
                "url": resolved(receiver.url), "key": resolved(receiver.key),
                "signing_secret": resolved(receiver.signing_secret),
                "headers": {header: resolved(value) for header, value in receiver.headers.items()},
                "command": None if receiver.command is None else [resolved(value) for value in receiver.command],
            }
        )
        for name, receiver in document.receivers.items()
    }  # fmt: skip
    return document.model_copy(update={"receivers": receivers})


def make(context: Context, wanted: Wanted) -> Plan:
    """Return the plan. Until the transaction ends, no other plan of the organization is made or applied.

    Raises InvalidFiles for what can't be changed, or Conflict.
    """
    locks.acquire(context.session, LockSpace.DECLARATIONS, context.org.id)
    document = wanted.document
    settings = None if document.organization is None else state.read_settings(context.public, context.org)
    current = state.read(context.session, _scope(document), settings, context.now)
    comparison = Comparison(current, document, context.now, prunes=wanted.prunes)
    plan = comparison.plan()
    if comparison.problems:
        raise file_errors.InvalidFiles.of([str(fault) for fault in wanted.files.to_faults(comparison.problems)])
    return Plan(plan.changes, plan.unmanaged, _remarks(document, plan))


def _scope(document: Document) -> Scope:
    declared = document.models or {}
    former = [model.renamed_from for model in declared.values() if model.renamed_from is not None]
    sections = (document.organization, document.receivers, document.mute_times, document.silences)
    return Scope([*declared, *former], any(section is not None for section in sections))


def _remarks(document: Document, plan: Plan) -> list[str]:
    created = {change.name for change in plan.changes if change.noun is Noun.RECEIVER and change.stored is None}
    remarks = []
    for name, receiver in (document.receivers or {}).items():
        if receiver.missing:
            missing = " and ".join(receiver.missing)
            if name in created:
                remarks.append(f"Receiver {name!r} can't be created here. Missing: {missing}.")
            else:
                remarks.append(f"A secret of receiver {name!r} is left as it is. Missing here: {missing}.")
    return remarks


def attempt(context: Context, plan: Plan) -> TriedPlan:
    """Make the changes of a plan, to see whether they can be made and what they do. The caller rolls back.

    Raises as `applying.run`.
    """
    if not plan.changes:
        return TriedPlan(plan)
    is_about_terms = any(
        change.has("retention", "retention.samples", "retention.results")
        for change in plan.changes
        if change.noun in (Noun.ORGANIZATION, Noun.MODEL) and change.stored is not None
    )
    before = _expired(context) if is_about_terms else None
    applied = applying.run(context, plan, is_trial=True)
    after = None if before is None else _expired(context) - before
    return TriedPlan(plan, applied, after)


def _expired(context: Context) -> Counts:
    clock = context.public.execute(text("select now()")).scalar_one()
    terms = organizations.terms(context.public, context.org)
    return expiry.count_expired(context.session, Terms(terms.samples, terms.results, min(datetime.now(UTC), clock)))


def apply(context: Context, wanted: Wanted, fingerprint: str) -> Sequence[Applied]:
    """Plan again, and make the changes if they are those of the plan with this fingerprint.

    Raises Conflict if the organization was changed since then, or as `applying.run`.
    """
    plan = make(context, wanted)
    if plan.fingerprint != fingerprint:
        raise errors.Conflict(
            "The organization was changed after this plan was made, so nothing was applied. Plan again to see what is"
            " left."
        )
    return applying.run(context, plan)


def store(org: str, wanted: Wanted, plan: Plan) -> str:
    """Return a plan as a text to apply later. It has no secrets."""
    stored = {
        "format": STORED_FORMAT, "organization": org, "prune": wanted.prunes, "fingerprint": plan.fingerprint,
        "files": list(wanted.files.files), "document": yaml_writer.write(wanted.files.require().to_data()),
    }  # fmt: skip
    return json.dumps(stored, indent=2, ensure_ascii=False) + "\n"


@dataclass(frozen=True)
class StoredPlan:
    """A plan that was stored: for which organization, from which files, and with which fingerprint."""

    organization: str
    files: ReadFiles
    prunes: bool
    fingerprint: str


def load(content: bytes, name: str) -> StoredPlan:
    """Read a stored plan. Raises InvalidInput."""
    try:
        stored = json.loads(content)
        if stored["format"] != STORED_FORMAT:
            raise ValueError
        files = file_reader.read([Source(f"{name} (document)", str(stored["document"]).encode())])
        return StoredPlan(str(stored["organization"]), files, bool(stored["prune"]), str(stored["fingerprint"]))
    except (ValueError, KeyError, TypeError) as error:
        raise errors.InvalidInput(f"{name} is not a plan that dcmon plan --out has written.") from error
