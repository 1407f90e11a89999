"""References that are unlike production from the first window on: a wrong file, other units, other spellings."""

from collections import ChainMap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from math import isclose, sqrt
from typing import Any

from sqlalchemy import text

from dcmon import db, errors
from dcmon.db import sql
from dcmon.doctor.faults import Fact, Part, fault
from dcmon.doctor.installation import Installation
from dcmon.formatting import command_prefix, count_of, shell_argument
from dcmon.notifications.integrations.feature_change import feature_change
from dcmon.severity import Severity

SQL = sql.read(__name__)
COMPARED_WINDOWS = text(SQL.statement("compared_windows"))
FEW = 5  # windows of a monitor: the fewest that say something
NEWEST, OLDEST = 40, 10  # results of a monitor that are read: of its newest windows and of its oldest
SHOWN = 3  # features
FAR = 4.0  # distance of means, in standard deviations, that no drift from the first window on has
ALL_NULL, SOME_VALUES = 0.99, 0.5  # shares of nulls on one side, and on the other
MOST = 0.5  # share of rows in categories that only one side has


@fault("reference-unlike-production", "A reference is unlike all windows", Part.ORGANIZATIONS, Severity.MEDIUM)
def unlike_references(installation: Installation) -> Iterator[Fact]:
    """Every window drifts since the reference was loaded: it is the wrong one. Only stored results are read."""
    for org in installation.organizations_with("results"):
        try:
            with db.org_session(installation.engine, org) as session:
                rows = session.execute(COMPARED_WINDOWS, {"newest": NEWEST, "oldest": OLDEST}).all()
        except errors.DcmonError:
            continue  # the health says why
        for (model, version), of_version in groupby(rows, key=lambda row: (row.model, row.version)):
            by_monitor = groupby(of_version, key=lambda row: row.monitor_id)
            monitors = [[row.changes for row in windows] for _, windows in by_monitor]
            matches = [(unlike, len(windows)) for windows in monitors if (unlike := unlike_features(windows))]
            if matches:
                unlike = dict(ChainMap(*(features for features, _ in matches)))
                sentence = _sentence(f"{model} {version} in {org.name}", unlike, min(n for _, n in matches))
                target = f"--model {shell_argument(model)} --version {shell_argument(version)}"
                yield Fact(sentence, f"{command_prefix(org.name)} reference load FILE {target} --replace", org.name)


def unlike_features(windows: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the features that differ entirely from the reference in each window, with the newest change.

    `windows`: the changes that one monitor stored, by feature (dcmon.statistics.description), newest first. A window
    has those of its largest entries only (dcmon.checks.descriptions): a feature that is not among them counts as like
    the reference, so that a few bad windows are no wrong reference. Where more features are unlike than a window
    describes, some of them can be missed.
    """
    if len(windows) < FEW:
        return {}
    return {
        name: change
        for name, change in windows[0].items()
        if all(name in changes and is_unlike(changes[name]) for changes in windows)
    }


def is_unlike(change: Mapping[str, Any]) -> bool:
    """Return True if both sides have next to nothing in common."""
    nulls = change.get("nulls") or (0.0, 0.0)
    if max(nulls) >= ALL_NULL:
        return bool(min(nulls) <= SOME_VALUES)
    if "mean" in change:
        return _are_far(change["mean"], change.get("deviation") or (None, None))
    return _are_other_categories(change)


def _are_far(means: Sequence[float | None], deviations: Sequence[float | None]) -> bool:
    """Compare the means with the deviations of both sides: with other units, one of these is much larger."""
    before, now = means
    if before is None or now is None:
        return False
    known = [deviation for deviation in deviations if deviation]
    scale = sqrt(known[0] * known[1]) if len(known) > 1 else sum(known)
    return not isclose(before, now) and abs(now - before) > FAR * scale


def _are_other_categories(change: Mapping[str, Any]) -> bool:
    """Look at the categories that changed most: each has rows on one side only."""
    shares = list((change.get("shares") or {}).values())
    if not shares or not change.get("came") or not change.get("went"):
        return False
    return all(not min(pair) for pair in shares) and sum(map(max, shares)) >= MOST


def _sentence(target: str, unlike: Mapping[str, Mapping[str, Any]], windows: int) -> str:
    shown = [f"{name} ({feature_change(change)})" for name, change in list(unlike.items())[:SHOWN]]
    more = f" and {count_of(len(unlike) - SHOWN, 'other feature')}" if len(unlike) > SHOWN else ""
    features = f"{count_of(len(unlike), 'feature')} of the reference of {target}"
    differ = "differs" if len(unlike) == 1 else "differ"
    return (
        f"{features} {differ} entirely from production in each of {windows} windows that were looked at,"
        f" reference → production: "
        f"{'; '.join(shown)}{more}. It may be of other units or spellings, or the wrong file."
    )
