"""Routes that list alert rules with counts of their alerts."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel

from dcmon.alerting import rule_lists
from dcmon.alerting.rule_lists import CountedRule, RuleFilter, SortKey
from dcmon.http.auth import Access, Reader
from dcmon.http.fields import MAX_ID, Time, Timestamp, timestamp
from dcmon.http.paging import Page, Paged
from dcmon.http.routes import rules as rule_routes
from dcmon.http.routes.rules import ConditionView, RuleView
from dcmon.monitoring import monitors
from dcmon.severity import Severity

router = APIRouter(tags=["alert rules"])
Ids = list[Annotated[int, Query(ge=0, le=MAX_ID)]]
SeveritySort = Literal[SortKey.SEVERITY_ASC, SortKey.SEVERITY_DESC]


class ListedRuleView(RuleView):
    """A rule with its model, and what its matching alerts are. max_end_time: the end of the last one."""

    model_id: int
    alerts_count: int
    max_end_time: Timestamp | None


class ConfiguredRuleView(BaseModel):
    """A rule as a page of settings shows it. name: of its monitor; recent_alert: when its newest alert was opened."""

    id: int
    name: str
    frequency: str
    condition: ConditionView
    alert_severity: Severity
    total_alerts: int | None
    non_resolved_alerts: int | None
    recent_alert: Timestamp | None
    user: None
    check_name: str
    model_id: int
    monitor_id: int
    is_active: bool
    text: str


class Choice:
    """Which models and severities a client asks for. The names of lists may end with []."""

    def __init__(
        self,
        models: Annotated[Ids, Query(max_length=1000)] = [],  # noqa: B006
        severity: Annotated[list[Severity], Query(max_length=1000)] = [],  # noqa: B006
        bracketed_models: Annotated[Ids, Query(alias="models[]", max_length=1000, include_in_schema=False)] = [],  # noqa: B006
        bracketed_severity: Annotated[
            list[Severity], Query(alias="severity[]", max_length=1000, include_in_schema=False)
        ] = [],  # noqa: B006
    ) -> None:
        self.models, self.severities = [*models, *bracketed_models], [*severity, *bracketed_severity]


class AlertChoice(Choice):
    """Which alerts a client asks for beside: they begin at or after start, and end at or before end."""

    def __init__(
        self,
        choice: Annotated[Choice, Depends()],
        start: Time | None = None,
        end: Time | None = None,
        is_active: bool | None = None,
        resolved: bool | None = None,
        all: Annotated[bool, Query(description="Also list rules without such an alert.")] = False,
    ) -> None:
        self.models, self.severities = choice.models, choice.severities
        self.start, self.end, self.is_active, self.resolved, self.all = start, end, is_active, resolved, all

    def to_filter(self, monitor_id: int | None = None) -> RuleFilter:
        """Return the filter for the list."""
        return RuleFilter(
            monitor_id, self.models, self.severities, self.is_active, self.start, self.end, self.resolved, not self.all
        )


class Order:
    """What a list is sorted by."""

    def __init__(
        self,
        sortby: Annotated[list[SortKey], Query(max_length=10)] = [],  # noqa: B006
        bracketed: Annotated[list[SortKey], Query(alias="sortby[]", max_length=10, include_in_schema=False)] = [],  # noqa: B006
    ) -> None:
        self.keys = [*sortby, *bracketed] or list(rule_lists.DEFAULT_ORDER)


@router.get("/alert-rules", response_model=list[ListedRuleView])
def entries(
    access: Reader, choice: Annotated[AlertChoice, Depends()], order: Annotated[Order, Depends()], page: Paged
) -> list[dict[str, Any]]:
    """List the rules that have a matching alert, or with all=true all rules: the most severe first."""
    return _listed(access, choice.to_filter(), order, page)


@router.get("/monitors/{monitor_id}/alert-rules", response_model=list[ListedRuleView])
def entries_of_monitor(
    access: Reader,
    monitor_id: int,
    choice: Annotated[AlertChoice, Depends()],
    order: Annotated[Order, Depends()],
    page: Paged,
) -> list[dict[str, Any]]:
    """List the rules of a monitor that have a matching alert, or with all=true all its rules."""
    with access.session() as session:
        monitors.get(session, monitor_id)
    return _listed(access, choice.to_filter(monitor_id), order, page)


@router.get("/config/alert-rules", response_model=list[ConfiguredRuleView])
def configuration(
    access: Reader,
    choice: Annotated[Choice, Depends()],
    page: Paged,
    sortby: Annotated[list[SeveritySort], Query(max_length=10)] = [],  # noqa: B006
    bracketed: Annotated[list[SeveritySort], Query(alias="sortby[]", max_length=10, include_in_schema=False)] = [],  # noqa: B006
) -> list[dict[str, Any]]:
    """List all rules with counts of their alerts; the counts are null without alerts."""
    wanted = RuleFilter(model_ids=choice.models, severities=choice.severities, has_alerts=False)
    with access.session() as session:
        counted = rule_lists.counted_rules(session, wanted, [*sortby, *bracketed], page.limit, page.offset)
        return [_configured(rule) for rule in counted]


def _listed(access: Access, wanted: RuleFilter, order: Order, page: Page) -> list[dict[str, Any]]:
    with access.session() as session:
        counted: Sequence[CountedRule] = rule_lists.counted_rules(session, wanted, order.keys, page.limit, page.offset)
        return [
            {
                **rule_routes.describe(entry.rule),
                "model_id": entry.model_id,
                "alerts_count": entry.alerts,
                "max_end_time": timestamp(entry.last_end),
            }
            for entry in counted
        ]


def _configured(entry: CountedRule) -> dict[str, Any]:
    rule = rule_routes.describe(entry.rule)
    return {
        **{name: rule[name] for name in ("id", "monitor_id", "condition", "alert_severity", "is_active", "text")},
        "name": entry.monitor.name,
        "frequency": entry.monitor.frequency,
        "total_alerts": entry.alerts or None,
        "non_resolved_alerts": entry.unresolved if entry.alerts else None,
        "recent_alert": timestamp(entry.last_opened),
        "user": None,
        "check_name": entry.check_name,
        "model_id": entry.model_id,
    }
