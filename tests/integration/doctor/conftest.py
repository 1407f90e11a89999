"""A healthy installation: a database with a model that is watched, workers that run, and nothing that is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
from pydantic import SecretStr

from dcmon import db
from dcmon.db import encryption
from dcmon.db.leader_lock import Leadership
from dcmon.doctor import inspection
from dcmon.doctor.faults import Finding
from dcmon.doctor.installation import Installation
from dcmon.settings import Settings
from tests.conftest import TemplateWithAcme, copied_database
from tests.helpers.ports import free_port
from tests.helpers.typed_commands import require_mending
from tests.helpers.waiting import PATIENCE
from tests.integration.conftest import new_target

# Times are an hour ahead, so that nothing becomes old while tests run. One result of each monitor is enough to be well.
HEALTHY = """
    insert into public.workers (id, kind, host, pid, started_at, seen_at, polled_at)
    select gen_random_uuid(), kind, 'elsewhere', 17, now() - interval '1 day', now() + interval '1 hour',
           now() + interval '1 hour'
      from unnest(array['evaluate', 'notify', 'scheduler', 'serve', 'ingest']) as kind;
    insert into public.scheduler_runs (name, started_at, succeeded_at)
    select name, now() + interval '1 hour', now() + interval '1 hour'
      from unnest(array['clock', 'prune', 'check health']) as name;
    insert into public.scheduler_runs (name, started_at) values ('lead', now() - interval '1 day');
    update versions set earliest = now() - interval '1 day', watermark = now(), newest_logged_at = now(),
                        reference_revision = 1;
    insert into checks (model_id, name, module_name, class_name, params, needs_labels, needs_reference)
    select id, 'Drift', 'deepchecks.tabular.checks', 'FeatureDrift', '{}', false, true from models;
    insert into monitors (check_id, name, frequency, aggregation_window, lookback)
    select id, 'Drift', 'DAY', 1, '30 days' from checks where name = 'Drift';
    insert into alert_rules (monitor_id, operator, threshold, severity)
    select id, 'greater_than', 0.2, 'critical' from monitors where name = 'Drift';
    insert into results (monitor_id, version_id, window_start, window_end, revision, state, metrics, entries, n, n_rows,
                         n_labelled, rows_revision, labels_revision, reference_revision, monitor_revision, duration)
    select m.id, v.id, date_trunc('day', now()) - day * interval '1 day',
           date_trunc('day', now()) - (day - 1) * interval '1 day',
           1, 'OK', '{"Drift": 0.1}', '{}', 9, 9, 0, 1, 1, 1, 1, '1 s'
      from monitors m cross join versions v cross join generate_series(1, 4) as day;
    insert into webhooks (name, kind, url, secret, severities)
    values ('pager', 'command', '', '', '["low", "medium", "high", "critical"]');
"""


@dataclass
class Healthy:
    """A healthy installation in which a test injects one fault. `settings`: with its database and data directory."""

    url: str
    settings: Settings

    def execute(self, statement: str) -> None:
        """Run statements in the schema of the organization; "public" follows in the search path."""
        with psycopg.connect(self.url, autocommit=True, options="-c search_path=org_1,public") as connection:
            connection.execute(statement.encode())

    def with_settings(self, **changes: Any) -> "Healthy":
        return Healthy(self.url, self.settings.model_copy(update=changes))

    def findings(self, seconds: float = PATIENCE) -> list[Finding]:
        """Return what is wrong; the command of each finding must be one that can be typed and that mends."""
        installation = Installation(self.settings)
        try:
            findings = inspection.examine(installation, seconds)
        finally:
            installation.close()
        for finding in findings:
            require_mending(finding.fact.command)
        return findings

    def codes(self, seconds: float = PATIENCE) -> list[str]:
        return sorted({finding.fault.code for finding in self.findings(seconds)})


@pytest.fixture(scope="module")
def healthy_template(server_url: str, template_with_acme: TemplateWithAcme) -> Iterator[str]:
    """Create the healthy database once; each test gets a copy."""
    with copied_database(server_url, template_with_acme.name) as url:
        engine = db.engine(url)
        new_target(engine, template_with_acme.acme.org)
        engine.dispose()
        with psycopg.connect(url, autocommit=True, options="-c search_path=org_1,public") as connection:
            connection.execute(HEALTHY.encode())
        yield url.rpartition("/")[2].partition("?")[0]


@pytest.fixture
def healthy(server_url: str, healthy_template: str, tmp_path: Path) -> Iterator[Healthy]:
    """Yield a healthy installation; a scheduler leads in it."""
    with copied_database(server_url, healthy_template) as url:
        engine = db.engine(url)
        leadership = Leadership(engine)
        assert leadership.holds()
        settings = Settings(database_url=SecretStr(url), data_dir=tmp_path / "data")
        http = settings.http.model_copy(update={"port": free_port()})
        yield Healthy(url, settings.model_copy(update={"http": http}))
        leadership.release()
        engine.dispose()
        encryption.use_keys([])
