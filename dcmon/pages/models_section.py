"""All models of an organization at a glance."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from dcmon.alerting import alert_views
from dcmon.alerting.alert_views import AlertView
from dcmon.formatting import count_of
from dcmon.ingestion import quarantine_pages
from dcmon.monitoring import overview
from dcmon.monitoring.overview import ModelOverview
from dcmon.pages.markup import EMPTY, Markup, badge, element, joined, link, moment, number, paragraph, table
from dcmon.pages.view import View
from dcmon.severity import Severity

MODELS_AT_ONCE = 200
ALERTS_AT_ONCE = 10  # above the models, the most severe first
ALERT_HEADS = ("Alert", "Severity", "Model", "Monitor", "Since", "Value now", "Rule")
HEADS = ("Model", "Alerts", "Newest sample", "Rows", "With a label", "Refused", "Monitors", "Versions", "Task")
NO_MODEL = 'There is no model yet. "dcmon model create" creates one, and so does the SDK.'


def render(session: Session, view: View, page: int) -> Markup:
    """Return a page of models, those with the most severe firing alerts first. `page`: from 1 on."""
    models = sorted(overview.of_models(session), key=_urgency)
    shown = models[(page - 1) * MODELS_AT_ONCE : page * MODELS_AT_ONCE]
    refused = quarantine_pages.count_by_model(session, [model.model.id for model in shown])
    title = element("h1", f"Models of {view.organization}")
    if not shown:
        return title + paragraph(NO_MODEL)
    firing = sum(sum(model.alerts.values()) for model in models)
    lead = paragraph(f"{count_of(firing, 'alert')} firing" if firing else "No alert fires.", "lead")
    if firing and page == 1:
        lead += _firing(session, view, firing)
    lead += paragraph(link("Alert rules", "/configuration/alert-rules"))
    rows = [_cells(view, model, refused.get(model.model.id, 0)) for model in shown]
    return title + lead + table(HEADS, rows, "Models", stacks=True) + page_links(page, len(models), MODELS_AT_ONCE)


def _firing(session: Session, view: View, count: int) -> Markup:
    """Return the most severe firing alerts: a reader needs no second page to learn what broke, and since when."""
    alerts = alert_views.worst_firing(session, ALERTS_AT_ONCE)
    shown = table(ALERT_HEADS, [_alert_cells(view, alert) for alert in alerts], "Firing alerts", stacks=True)
    others = count - len(alerts)
    return shown + (paragraph(f"{count_of(others, 'more alert')}: see the models below.", "hint") if others > 0 else "")


def _alert_cells(view: View, shown: AlertView) -> list[object]:
    alert, address = shown.alert, view.links.alert(shown.alert.id)
    return [
        link(shown.driver or shown.failed_metric, address),
        badge(alert.severity, alert.severity),
        link(shown.model.name, view.links.model(shown.model.id)),
        link(shown.monitor.name, view.links.monitor(shown.monitor.id)),
        moment(alert.first_window_start),
        number(alert.current_value),
        alert_views.condition(shown.rule),
    ]


def _urgency(model: ModelOverview) -> tuple[list[int], str]:
    return [-model.alerts[severity] for severity in reversed(Severity)], model.model.name


def _cells(view: View, model: ModelOverview, refused: int) -> list[object]:
    model_id = model.model.id
    return [
        link(model.model.name, view.links.model(model_id)),
        _state(model),
        moment(model.end),
        number(f"{model.rows:,}"),
        number(f"{model.labels:,}"),
        link(f"{refused:,} refused", view.links.data(model_id)) if refused else number("0"),
        number(str(model.monitors)),
        number(str(len(model.versions))),
        model.model.task_type,
    ]


def _state(model: ModelOverview) -> Markup:
    """Return the firing alerts by severity; without any "ok", if there is something that could fire."""
    firing = [(severity, model.alerts[severity]) for severity in reversed(Severity) if model.alerts[severity]]
    if firing:
        return joined((badge(f"{count} {severity}", severity) for severity, count in firing), " ")
    if not model.monitors:
        return badge("no monitor", "none")
    return badge("ok", "ok") if model.rows else badge("no rows", "none")


def page_links(page: int, count: int, size: int) -> Markup:
    """Return links to the pages of a list; nothing if there is one page."""
    last = max(1, -(-count // size))
    if last == 1:
        return Markup("")
    parts: Sequence[object] = (
        link("Previous", f"?page={page - 1}") if page > 1 else EMPTY,
        f"page {page} of {last}",
        link("Next", f"?page={page + 1}") if page < last else EMPTY,
    )
    return Markup('<nav class="pages" aria-label="Pages">{}</nav>').format(
        joined(element("span", part) for part in parts)
    )
