"""Set how long rows are kept, and count first what the next prune deletes for it."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dcmon.commands.shared.arguments import of_option
from dcmon.commands.views import prune as view
from dcmon.formatting import some_of
from dcmon.jobs import prune
from dcmon.storage import expiry, models
from dcmon.tenancy import organizations, retention

if TYPE_CHECKING:
    from datetime import timedelta

    from dcmon.app import App
    from dcmon.storage.expiry import Counts


@dataclass(frozen=True)
class RetentionChange:
    """A change of terms. `expired`: what the next prune deletes, with what it would delete anyway."""

    row: dict[str, Any]
    expired: "Counts"
    apply: Callable[[], None]

    @property
    def question(self) -> str | None:
        """Return the question to confirm; None if the next prune deletes nothing."""
        return question(self.expired, [str(self.row["name"])]) if self.expired else None

    @property
    def phrases(self) -> list[str]:
        """Return what a dry run says of the change."""
        terms = [
            f"keep {key.removesuffix('_kept')} of {self.row['name']!r} for {term or 'ever'}"
            for key, term in self.row.items()
            if key.endswith("_kept")
        ]
        return [*terms, *expired_phrases(self.expired)]

    def counted_row(self) -> dict[str, Any]:
        """Return the row with the counts, by table."""
        by_table = Counter[str]()
        for place, count in self.expired.items():
            by_table[place.table] += count
        return {**self.row, "expired": dict(by_table)}


def question(expired: "Counts", names: Sequence[str]) -> str:
    """Return the question to confirm that the next prune deletes rows of models or organizations."""
    deleted, whose = view.count_text(expired), some_of([repr(name) for name in names])
    return f"The next prune, within an hour, deletes {deleted} of {whose} for ever. Continue?"


def expired_phrases(expired: "Counts") -> list[str]:
    """Return what a dry run says of the rows that the next prune deletes; nothing if there are none."""
    return [f"let the next prune delete {view.count_text(expired)}"] if expired else []


def of_model(app: "App", name: str, text: str) -> RetentionChange:
    """Prepare a model's own term; "inherit": that of its organization. Raises ModelNotFound or InvalidInput."""
    org = app.organization()
    own = None if text.strip().lower() == "inherit" else retention.parse(text) or retention.FOR_EVER
    terms = prune.terms(app, org)
    with app.org(org) as session:
        model = models.find(session, name)
        models.set_retention(session, model, own)
        expired = expiry.count_expired(session, terms)
        session.rollback()  # only counted
    effective = retention.format_term(retention.effective_term(own, org.retention))

    def apply() -> None:
        with app.org(org) as session:
            models.set_retention(session, models.find(session, name), own)

    of_others = {place for place in expired if place.model != name}
    counted = Counter({place: count for place, count in expired.items() if place not in of_others})
    return RetentionChange({"name": name, "samples_kept": effective, "own": own is not None}, counted, apply)


def of_organization(app: "App", name: str | None, samples: str | None, results: str | None) -> RetentionChange:
    """Prepare the terms that are not None. Raises InvalidInput or OrganizationNotFound."""
    org = app.organization(name)
    now = prune.terms(app, org)
    new = replace(
        now, samples=_term("--samples", samples, now.samples), results=_term("--results", results, now.results)
    )
    retention.require_longer(new.samples, new.results)
    with app.org(org) as session:
        expired = expiry.count_expired(session, new)

    def apply() -> None:
        with app.public() as session:
            organizations.set_terms(session, org, new.samples, new.results)

    row = {
        "name": org.name,
        "samples_kept": retention.format_term(new.samples),
        "results_kept": retention.format_term(new.results),
    }
    return RetentionChange(row, expired, apply)


def _term(option: str, text: str | None, now: "timedelta | None") -> "timedelta | None":
    return of_option(option, retention.parse, text) if text else now
