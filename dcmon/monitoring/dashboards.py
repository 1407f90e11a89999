"""The dashboard of an organization, which holds the monitors that the SDK shows."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from dcmon import errors
from dcmon.db.tables.org import Check, Dashboard, Monitor, MonitorWithCheck
from dcmon.storage import sample_tables


def get_or_create(session: Session) -> Dashboard:
    """Return the organization's dashboard, which the first call creates."""
    sample_tables.lock_naming(session, "dashboards")  # otherwise two first calls at once would create two dashboards
    dashboard = session.scalar(select(Dashboard).order_by(Dashboard.id))
    if dashboard is None:
        dashboard = Dashboard()
        session.add(dashboard)
        session.flush()
    return dashboard


def get(session: Session, dashboard_id: int) -> Dashboard:
    """Return the dashboard with an id. Raises NotFound."""
    dashboard = session.get(Dashboard, dashboard_id)
    if dashboard is None:
        raise errors.NotFound(what="dashboard", name=dashboard_id)
    return dashboard


def delete(session: Session, dashboard: Dashboard) -> None:
    """Delete a dashboard; its monitors stay, without a dashboard."""
    session.delete(dashboard)
    session.flush()


def monitors_on(session: Session, dashboard: Dashboard) -> list[MonitorWithCheck]:
    """Return the monitors of a dashboard with their checks, in order of id."""
    statement = select(Monitor, Check).join(Check, Check.id == Monitor.check_id)
    rows = session.execute(statement.where(Monitor.dashboard_id == dashboard.id).order_by(Monitor.id))
    return [MonitorWithCheck(monitor, check) for monitor, check in rows]
