"""Names in the matchers of silences and mute times that nothing has: most often they are mistyped.

A silence for a model that will exist is possible, so an operator is asked.
"""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from dcmon import severity
from dcmon.commands.shared.confirmation import confirm
from dcmon.db.tables.org import Alert, AlertRule, Check, Model, Monitor, Version
from dcmon.health.problem import ProblemName
from dcmon.nearest import meant
from dcmon.notifications import matchers
from dcmon.notifications.matchers import Matcher, MatchOperator

if TYPE_CHECKING:
    from dcmon.app import App

OWN_MODEL = "dcmon"  # the label "model" of problems of dcmon itself


def unknown(session: Session, texts: Sequence[str]) -> list[str]:
    """Return a sentence for each name that nothing has, with the nearest one; for !~ there is none.

    Of a monitor, only the models of the other matchers count. Raises InvalidInput for a severity that does not exist.
    """
    parsed = [matchers.parse(text) for text in texts]
    models = [
        matcher.value for matcher in parsed if matcher.label == "model" and matcher.operator == MatchOperator.EQUAL
    ]
    checked = [matcher for matcher in parsed if matcher.operator != MatchOperator.NO_MATCH]
    for matcher in checked:
        if matcher.label == "severity" and not matcher.operator.is_regex:
            severity.parse(matcher.value)
    if OWN_MODEL in models:  # its rules and monitors are problems, with a subject after them
        return []
    sentences = (_sentence(matcher, _known(session, matcher, models)) for matcher in checked)
    return [sentence for sentence in sentences if sentence is not None]


def ask(app: "App", sentences: Sequence[str], action: str, *, yes: bool) -> None:
    """Ask whether to do `action`, like "create the silence", or only say so. Raises InvalidInput after a no."""
    if not sentences:
        return
    if yes or app.effects is not None:
        app.output.remark(" ".join(sentences))
    else:
        confirm(f"{' '.join(sentences)} {action.capitalize()} all the same?", yes=False)


def _sentence(matcher: Matcher, known: Sequence[str]) -> str | None:
    plain = Matcher(
        matcher.label, MatchOperator.MATCH if matcher.operator.is_regex else MatchOperator.EQUAL, matcher.value
    )
    if any(plain.matches({matcher.label: name}) for name in known):
        return None
    if matcher.operator.is_regex:
        return f"No {matcher.label} matches {matcher.value!r}."
    return f"There is no {matcher.label} {matcher.value!r}.{meant(matcher.value, known)}"


def _known(session: Session, matcher: Matcher, models: Sequence[str]) -> list[str]:
    """Return the names that a label can have now."""
    if matcher.label == "severity":
        return list(severity.Severity)
    if matcher.label == "monitor":
        return [*_monitors(session, models), *_problems(matcher.value)]
    if matcher.label == "rule":
        rows = session.execute(select(AlertRule.id, AlertRule.name))
        return [*(str(name) for row in rows for name in row if name is not None), *ProblemName]
    if matcher.label == "alert":
        return [str(alert_id) for alert_id in session.scalars(select(Alert.id))]
    names: dict[str, Select[tuple[str]]] = {
        "model": select(Model.name), "version": select(Version.name), "check": select(Check.name),
    }  # fmt: skip
    own = [OWN_MODEL] if matcher.label == "model" else []
    return [*session.scalars(names[matcher.label].distinct()), *own]


def _monitors(session: Session, models: Sequence[str]) -> Iterable[str]:
    """Return the monitors of the given models, or of all, by both of their names."""
    statement = select(Model.name, Monitor.name).select_from(Monitor).join(Check).join(Model)
    for model, monitor in session.execute(statement.where(Model.name.in_(models)) if models else statement):
        yield from (monitor, f"{model}/{monitor}")


def _problems(value: str) -> list[str]:
    """Return the names of problems; one with a subject, such as "no worker: evaluate", is a name too."""
    return [*ProblemName, *([value] if value.partition(":")[0] in tuple(ProblemName) else [])]
