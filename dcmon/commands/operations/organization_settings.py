"""Set limits, retention and default monitors of organizations: all is tried and counted before the first changes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from dcmon.commands.operations import organization, retention
from dcmon.commands.shared.confirmation import ask_and_run
from dcmon.commands.shared.several import MOST_NAMED, Shown, find_all
from dcmon.commands.shared.wording import NO_END
from dcmon.tenancy import object_limits, organizations, rate_limits

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.commands.operations.retention import RetentionChange
    from dcmon.output import Page
    from dcmon.states import DefaultSet

PRUNE_FOLLOWS = (
    'The scheduler deletes these rows within an hour; "dcmon prune --dry-run" lists them by model and version.'
)


@dataclass(frozen=True)
class Wanted:
    """What an operator typed. `limits`: None removes one; `samples`, `results`: terms of retention."""

    limits: Mapping[str, int | None]
    samples: str | None = None
    results: str | None = None
    defaults: "DefaultSet | None" = None

    @property
    def is_nothing(self) -> bool:
        return not self.limits and (self.samples, self.results, self.defaults) == (None, None, None)


@dataclass(frozen=True)
class _Change:
    """What changes of an organization. `row`: what it has afterwards."""

    name: str
    row: Mapping[str, Any]
    retention: "RetentionChange | None"

    def phrases(self, wanted: Wanted) -> list[str]:
        """Return what a dry run says of it."""
        phrases = [f"set {name} of {self.name!r} to {limit or 'none'}" for name, limit in wanted.limits.items()]
        if wanted.defaults is not None:
            phrases.append(f"give new models of {self.name!r} the default monitors {str(wanted.defaults)!r}")
        return [*phrases, *([] if self.retention is None else self.retention.phrases)]


def change(app: "App", names: Sequence[str | None], wanted: Wanted, *, yes: bool) -> "Page":
    """Change organizations, and show what they have afterwards; None: the only one.

    Asks first if the next prune deletes rows for it. Raises InvalidInput or OrganizationNotFound.
    """
    changes = [_try(app, name, wanted) for name in find_all(names, partial(organization.find, app))]
    terms = [tried.retention for tried in changes if tried.retention is not None]
    expired = sum((Counter(term.expired) for term in terms), Counter[Any]())
    losing = [tried.name for tried in changes if tried.retention is not None and tried.retention.expired]
    question = retention.question(expired, losing) if losing else None
    phrases = [phrase for tried in changes for phrase in tried.phrases(wanted)]
    if len(changes) > MOST_NAMED:
        phrases = [f"change the {len(changes):,} that are listed", *retention.expired_phrases(expired)]
    apply = partial(_apply, app, changes, wanted)
    rows = ask_and_run(app.output, question, apply, phrases=phrases, yes=yes) or [tried.row for tried in changes]
    remark = PRUNE_FOLLOWS if expired and app.output.is_change else None
    return Shown(lambda _: remark, NO_END).page(rows, is_one=len(rows) == 1)


def _try(app: "App", name: str, wanted: Wanted) -> _Change:
    """Make a change and take it back, so that what can't be is refused before the first organization changes."""
    row = {"name": name, **_set(app, name, wanted, is_tried=True)}
    if wanted.samples is None and wanted.results is None:
        return _Change(name, row, None)
    terms = retention.of_organization(app, name, wanted.samples, wanted.results)
    return _Change(name, {**row, **terms.counted_row()}, terms)


def _apply(app: "App", changes: Sequence[_Change], wanted: Wanted) -> list[Mapping[str, Any]]:
    for tried in changes:
        _set(app, tried.name, wanted, is_tried=False)
        if tried.retention is not None:
            tried.retention.apply()
    return [tried.row for tried in changes]


def _set(app: "App", name: str, wanted: Wanted, *, is_tried: bool) -> dict[str, Any]:
    """Set limits and default monitors. `is_tried`: the transaction is rolled back."""
    org, row = app.organization(name), dict[str, Any]()
    of_objects = {key: limit for key, limit in wanted.limits.items() if key in object_limits.NAMES}
    of_rows = {key: limit for key, limit in wanted.limits.items() if key not in of_objects}
    with app.public() as session:
        if wanted.limits:
            row |= asdict(rate_limits.change(session, org.id, of_rows))
            row |= object_limits.change(session, org.id, of_objects)
        if wanted.defaults is not None:
            organizations.set_default_monitors(session, org, wanted.defaults)
            row["default_monitors"] = wanted.defaults
        if is_tried:
            session.rollback()
    return row
