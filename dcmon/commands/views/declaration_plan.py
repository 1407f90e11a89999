"""Show plans of monitoring as code: what is created, changed and deleted, and what that does."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from dcmon.declarations import applying
from dcmon.declarations.changes import Action
from dcmon.formatting import count_of, printable, some_of
from dcmon.output import Document, Page

if TYPE_CHECKING:
    from dcmon.db import Organization
    from dcmon.declarations.applying import Applied
    from dcmon.declarations.changes import Change
    from dcmon.declarations.planner import TriedPlan

SIGNS = {Action.CREATE: "+", Action.CHANGE: "~", Action.DELETE: "-"}
SHOWN_UNMANAGED = 20
MAX_VALUE = 200  # characters of a value


def page(org: "Organization", tried: "TriedPlan") -> Page:
    """Return a plan to show."""
    names = [change.name for change in tried.plan.changes]
    return Page(_data(org, tried), [Document("\n".join(lines(tried)))], tried.plan.remarks, names)


def applied_page(org: "Organization", tried: "TriedPlan") -> Page:
    """Return what was applied."""
    data = {**_data(org, tried), "applied": True}
    done = f"Applied: {_counts_text(tried, 'created', 'changed', 'deleted')}."
    effects = _effects_text(applying.total(tried.applied))
    return Page(data, [Document(f"{done} {effects}".strip())])


def question(org: "Organization", tried: "TriedPlan") -> str:
    """Return the question before a plan is applied."""
    number = len(tried.plan.changes)
    expired = f" {_expired_text(tried)}" if tried.expired else ""
    return f"Make {'this change' if number == 1 else f'these {number:,} changes'} in {org.name!r}?{expired}"


def phrases(tried: "TriedPlan") -> list[str]:
    """Return what a plan does, by kind of change."""
    counts = tried.plan.counts
    return [f"{action} {count_of(counts[action], 'object')}" for action in Action if counts[action]]


def lines(tried: "TriedPlan") -> list[str]:
    """Return a plan as lines, the counts last."""
    shown = [line for entry in tried.applied for line in _change(entry)]
    if not tried.plan.changes:
        shown.append("No changes: the organization is as the files say.")
    else:
        shown.append(f"Plan: {_counts_text(tried, 'to create', 'to change', 'to delete')}.")
        effects = [_effects_text(applying.total(tried.applied)), _expired_text(tried) if tried.expired else ""]
        shown += [" ".join(filter(None, effects))] if any(effects) else []
    return [*shown, *_unmanaged(tried)]


def _change(entry: "Applied") -> Iterator[str]:
    change = entry.change
    yield f"{SIGNS[change.action]} {change.noun} {_one_line(change.name)}".rstrip()
    for field in change.fields:
        after = _value(field.after)
        text = after if change.action is Action.CREATE else f"{_value(field.before)} → {after}"
        yield f"    {field.name}: {text}"
    if effects := _effects_text(entry.effects):
        yield f"    ({effects.removesuffix('.')})"


def _unmanaged(tried: "TriedPlan") -> Iterator[str]:
    left = tried.plan.unmanaged
    if not left:
        return
    names = [f"{entry.noun} {_one_line('/'.join(entry.path))}" for entry in left]
    yield f"Unmanaged, so left as they are: {len(left):,}: {some_of(names, SHOWN_UNMANAGED)}."


def _counts_text(tried: "TriedPlan", created: str, changed: str, deleted: str) -> str:
    counts = tried.plan.counts
    named = ((Action.CREATE, created), (Action.CHANGE, changed), (Action.DELETE, deleted))
    return ", ".join(f"{counts[action]:,} {word}" for action, word in named)


def _effects_text(effects: Mapping[str, int]) -> str:
    counted = [f"{count:,} {_singular(name) if count == 1 else name}" for name, count in effects.items() if count]
    return f"{', '.join(counted)}." if counted else ""


def _singular(name: str) -> str:
    noun, space, participle = name.partition(" ")
    return f"{noun.removesuffix('s')}{space}{participle}"


def _expired_text(tried: "TriedPlan") -> str:
    by_table = Counter[str]()
    for place, count in (tried.expired or {}).items():
        by_table[place.table] += count
    listed = ", ".join(f"{count:,} {table}" for table, count in by_table.items())
    return f"The next prune, within an hour, deletes {listed} for ever."


def _value(value: Any) -> str:
    if value is None:
        return "default"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    shown = _one_line(text) or '""'
    return shown if len(shown) <= MAX_VALUE else f"{shown[:MAX_VALUE]}…"


def _one_line(text: str) -> str:
    return printable(text, keeps_lines=False)


def _data(org: "Organization", tried: "TriedPlan") -> dict[str, Any]:
    applied = [_row(entry) for entry in tried.applied]
    return {
        "organization": org.name,
        "counts": dict(tried.plan.counts),
        "changes": applied,
        "effects": dict(applying.total(tried.applied)),
        "unmanaged": [{"kind": str(entry.noun), "name": "/".join(entry.path)} for entry in tried.plan.unmanaged],
    }


def _row(entry: "Applied") -> dict[str, Any]:
    change: Change = entry.change
    fields = {field.name: {"before": field.before, "after": field.after} for field in change.fields}
    effects = {name: count for name, count in entry.effects.items() if count}
    return {
        "action": str(change.action), "kind": str(change.noun), "name": change.name, "fields": fields,
        "effects": effects,
    }  # fmt: skip
