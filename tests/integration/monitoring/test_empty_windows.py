"""Each minute an index finds out if an empty window has a result, for any number of results."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from dcmon.app import App
from dcmon.monitoring import elapsed_windows, model_checks, monitors
from dcmon.monitoring.monitor_spec import MonitorSpec
from dcmon.storage import models
from dcmon.windows import Frequency, Window
from tests.integration.conftest import Target

MANY = 60_000
END = datetime(2026, 3, 1, tzinfo=UTC)
PUT = text("""
    insert into results (monitor_id, version_id, window_start, window_end, revision, state, metrics, entries, n, n_rows,
                         n_labelled, rows_revision, labels_revision, reference_revision, monitor_revision, duration)
    select :monitor, :version, t - interval '1 hour', t, 1, 'OK', '{}', '{}', 1, 1, 0, 1, 0, 0, 1, interval '1 s'
      from generate_series(cast(:end as timestamptz) - :many * interval '1 hour', cast(:end as timestamptz),
                           interval '1 hour') t
""")
# The bound values have the types of the original statement.
EXPLAIN = text(f"explain {elapsed_windows.HANDLED_WINDOWS.text}").bindparams(*elapsed_windows.WINDOW_PARAMETERS)


def test_handled_windows_are_found_by_the_index(app: App, target: Target) -> None:
    with app.org(target.org) as session:
        check = model_checks.get_or_create_check(session, models.get(session, target.model_id), "MixedNulls")
        monitor = monitors.create(session, check, MonitorSpec("A", Frequency.HOUR)).id
        session.execute(PUT, {"monitor": monitor, "version": target.version_id, "end": END, "many": MANY})
        session.execute(text("analyze results"))
        hour = timedelta(hours=1)
        windows = {(target.version_id, Window(END + (n - 1) * hour, END + n * hour)) for n in range(-2, 3)}
        judged = elapsed_windows.handled_windows(session, windows, is_flow=False)
        assert {window.end for _, window in judged} == {END + n * hour for n in range(-2, 1)}
        assert elapsed_windows.handled_windows(session, windows, is_flow=True) == set()
        plan = "\n".join(session.scalars(EXPLAIN, elapsed_windows.window_parameters(windows, is_flow=False)))
        assert "Seq Scan on results" not in plan
        assert "ix_results_version_window" in plan
