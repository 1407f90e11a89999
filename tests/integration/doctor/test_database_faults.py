"""Each fault that a database can have, injected into a healthy one: the doctor finds it, and nothing else."""

import sys
import threading
from datetime import timedelta

import psycopg
import pytest
from pydantic import SecretStr

from dcmon import db
from dcmon.db import encryption
from dcmon.db.locks import LockSpace
from dcmon.doctor import audit_faults, inspection, postgresql_faults
from dcmon.doctor.installation import Installation
from dcmon.embedded import own_key, postgres
from dcmon.health import checks, locked_tables, status
from dcmon.settings import Health, Ping
from dcmon.tenancy import provisioning
from tests.helpers.waiting import PATIENCE, eventually
from tests.integration.doctor.conftest import Healthy

NOTIFICATION = (
    "insert into notifications (webhook_id, kind, body, created_at, {}) select id, 'firing', '{{}}', now() {}"
)
DUE_WINDOW = """insert into due_windows (version_id, window_start, window_end, due_at, touched_at, waits_since, {})
                select id, now() - interval '3 hours', now() - interval '2 hours', now() - interval '2 hours',
                       now() - interval '2 hours', now() - interval '2 hours', {} from versions"""
WINDOW = DUE_WINDOW.format("attempts", "0")
ALERT = """insert into alerts (rule_id, version_id, state, severity, first_window_start, first_window_end,
                               last_window_end, windows, metric, worst_window_end, drivers, n, opened_at)
           select r.id, v.id, 'firing', 'critical', now() - interval '2 days', now() - interval '1 day',
                  now() - interval '1 day', 1, 'Drift', now(), '{}', 9, now() - interval '5 minutes'
             from alert_rules r cross join versions v"""
PROBE = """insert into receiver_probes (webhook_id, address, probed_at, failed_since, failures, error)
           select id, md5(url), now(), now() - interval '1 hour', 2, '{}' from webhooks"""
NOT_PUBLIC = "10.0.0.1 is not public. DCMON_WEBHOOKS__ALLOW can allow it."
RECEIVER = "insert into webhooks (name, kind, url, secret, severities) values ('other', {}, '[\"high\"]')"

QUARANTINED_IN_LEDGER = """
    insert into batches (kind, source, model_id, version_id, taken, stored, duplicates, quarantined)
    select 'samples', 'x', model_id, id, 12, 0, 0, 12 from versions"""
QUARANTINED = f"""
    insert into quarantine (model_id, version_id, kind, reason, field, detail, row, source, position, logged_at)
    select model_id, id, 'samples', 'wrong_type', 'age', 'old is no number.', 'x', '{{}}', n, now() - interval '{{}}'
      from versions cross join generate_series(1, 12) n; {QUARANTINED_IN_LEDGER}"""

LEDGER_LINE = """
    insert into batches (kind, source, model_id, version_id, taken, stored, duplicates, quarantined)
    select 'samples', 'x', model_id, id, 3, 0, 3, 0 from versions"""

# By code: statements that cause the fault. Other faults are injected below, in test_kafka_faults.py, or in
# test_local_faults.py. Where nothing but a year of writing could cause a fault, its limit is lowered instead.
FAULTS = {
    "no-leader": "update scheduler_runs set started_at = now() - interval '1 hour' where name = 'clock'",
    "no-worker": "delete from workers where kind = 'evaluate'",
    "no-endpoint": "update workers set seen_at = now() - interval '5 minutes' where kind = 'serve'",
    "worker-hangs": "update workers set polled_at = now() - interval '1 hour' where kind = 'notify'",
    "crashes": """insert into workers (id, kind, host, pid, seen_at)
                  select gen_random_uuid(), 'evaluate', 'elsewhere', n, now() - interval '9 minutes'
                    from generate_series(1, 3) n""",
    "missed-scheduler-run": "update scheduler_runs set succeeded_at = now() - interval '13 hours' where name = 'prune'",
    "evaluation-stuck": WINDOW + "; update results set computed_at = now() - interval '1 day'",
    "evaluation-behind": WINDOW + "; update results set computed_at = now() + interval '1 hour'",
    "window-fails": DUE_WINDOW.format("attempts, lease_until", "3, now() + interval '1 hour'"),
    "rules-fail": """update results set how = jsonb_build_object('rule_failures', jsonb_build_object(
                       (select id from alert_rules limit 1)::text, 'It divided by zero.'))""",
    "monitor-fails": "update results set state = 'ERROR', reason = 'It needs more memory.'",
    "monitor-without-values": "update results set state = 'NO_DATA', reason = 'No row has a label.'",
    "labels-missing": """
        insert into checks (model_id, name, module_name, class_name, params, needs_labels, needs_reference)
        select id, 'Accuracy', 'deepchecks.tabular.checks', 'SingleDatasetPerformance', '{}', true, false from models;
        insert into monitors (check_id, name, frequency, aggregation_window, lookback)
        select id, 'Accuracy', 'DAY', 1, '30 days' from checks where name = 'Accuracy';
        insert into quarter_hours (version_id, at, n, logged_at, is_touched)
        select id, now() - interval '9 days', 40, now() - interval '9 days', false from versions""",
    "reference-unlike-production": """
        update results set compared_start = null, how = '{"changes": {"income": {"nulls": [0, 0.01],
                           "mean": [41.2, 40870], "deviation": [9.1, 9054]}}}';
        insert into results (monitor_id, version_id, window_start, window_end, revision, state, metrics, entries, n,
                             n_rows, n_labelled, rows_revision, labels_revision, reference_revision, monitor_revision,
                             duration, how)
        select monitor_id, version_id, min(window_start) - interval '1 day', min(window_start), 1, 'OK',
               '{"Drift": 0.1}', '{}', 9, 9, 0, 1, 1, 1, 1, '1 s', max(how::text)::json
          from results group by monitor_id, version_id""",
    "no-reference": "update results set state = 'NO_DATA'; update versions set reference_revision = 0",
    "model-without-monitors": "delete from monitors",
    "version-without-rows": """update versions set created_at = now() - interval '2 days', newest_logged_at = null""",
    "notifications-stuck": NOTIFICATION.format("tried_at", "- interval '20 minutes', null from webhooks"),
    "notifications-given-up": NOTIFICATION.format("dead_at", "- interval '4 days', now() from webhooks"),
    "receiver-fails": NOTIFICATION.format(
        "attempts, last_status, last_error", ", 1, 404, 'The receiver answered 404.' from webhooks"
    ),
    "receiver-paused": "update webhooks set paused_at = now(), paused_because = 'The receiver answered 410 (Gone).'",
    "receiver-not-reachable": RECEIVER.format("'webhook', 'https://10.0.0.1/hook', ''"),
    "email-without-server": RECEIVER.format("'email', '', ''"),
    "no-critical-receiver": "update webhooks set severities = '[\"low\"]'",
    "secrets-in-plain": "update webhooks set secret = 'whsec_plain'",
    "secret-unreadable": "update webhooks set secret = 'dcmon1:gAAAAA'",
    "alert-undelivered": ALERT,
    "dead-letters": """insert into dead_letters (topic_id, partition, at_offset, reason)
                       values (gen_random_uuid(), 0, 7, 'It is no JSON.')""",
    "parked": """insert into parked_messages (topic_id, partition, at_offset, org_id, body, reason, parked_at)
                 values (gen_random_uuid(), 0, 7, 1, 'x', 'Locked.', now() - interval '20 minutes')""",
    "quarantine-grows": QUARANTINED.format("http", "0 hours"),
    "source-loses-rows": """insert into sources (name, url, kind, model_id, mapping)
                            select 'lake', '/lake', 'samples', id, '{}' from models;
                            insert into ingested_files (source_id, kind, model_id, version_id, path, digest, taken,
                                                        quarantined, finished_at)
                            select s.id, 'samples', v.model_id, v.id, 'may.csv', 'd1', 12, 12, now()
                              from sources s cross join versions v;"""
    + QUARANTINED.format("file/d1", "3 hours"),
    "rows-differ": QUARANTINED_IN_LEDGER,
    "time-zone-unknown": "update models set time_zone = 'Mars/Olympus_Mons'",
    "source-fails": """insert into sources (name, url, kind, model_id, mapping, last_error)
                       select 'lake', '/no/such', 'samples', id, '{}', 'There is no directory /no/such.' from models""",
    "schema-behind": "update org_1.alembic_version set version_num = '0001'",
    "schema-ahead": "update org_1.alembic_version set version_num = '9999'",
    "schema-public-behind": "update public.alembic_version set version_num = '0001'",
    "schema-public-ahead": "update public.alembic_version set version_num = '9999'",
    "organization-half-deleted": "update organizations set deleted_at = now() - interval '1 hour'",
    "schema-without-organization": "create schema org_77; create table org_77.alembic_version (version_num text)",
    "organization-without-schema": """insert into organizations (name, schema_name, created_at)
                                      values ('ghost', 'org_99', now() - interval '1 hour')""",
    "role-missing": "alter schema org_1 owner to current_user",
    "index-missing": """do $$ declare name text; begin
                          select indexrelid::regclass into name from pg_index
                           where indrelid = (select oid from pg_class where relname ~ '^samples_[0-9]+$');
                          execute 'drop index ' || name;
                        end $$""",
    "autovacuum-off": "alter table org_1.models set (autovacuum_enabled = false)",
    "failed-logins": "insert into failed_logins values (date_trunc('hour', now()), 101)",
    "token-expired": """update tokens set expires_at = now() - interval '1 day',
                                          last_used_at = now() - interval '2 days'""",
    "token-expires": "update tokens set expires_at = now() + interval '2 days', last_used_at = now()",
}


def test_healthy_installation_has_no_finding(healthy: Healthy) -> None:
    assert [(finding.fault.code, finding.fact.sentence) for finding in healthy.findings()] == []


@pytest.mark.parametrize("code", FAULTS)
def test_fault_is_the_only_finding(healthy: Healthy, code: str) -> None:
    healthy.execute(FAULTS[code])

    findings = healthy.findings()

    assert sorted({finding.fault.code for finding in findings}) == [code]
    assert all(finding.fact.sentence for finding in findings)


SECOND = """insert into org_1.webhooks (name, kind, url, secret, severities)
            values ('other', 'command', '', 'whsec_plain', '["low", "critical"]')"""


def test_plain_secrets_are_one_finding(healthy: Healthy) -> None:
    """Its command has all steps, as long as no key is set; then it is the only step."""
    healthy.execute(FAULTS["secrets-in-plain"])
    healthy.execute(SECOND)
    with_key = healthy.with_settings(secret_keys=SecretStr(encryption.new_key()))

    (without,) = healthy.findings()
    (with_one,) = with_key.findings()

    assert without.fact.sentence.startswith("2 receivers with plain secrets, of acme (pager, other).")
    assert without.fact.command == "dcmon docs secure#encrypt-the-secrets-of-receivers"
    assert (without.severity, with_one.severity) == ("high", "high")
    assert with_one.fact.command == "dcmon secret-key rotate"
    assert with_one.fact.sentence == "2 receivers with plain secrets, of acme (pager, other)."


def test_plain_secrets_need_the_package_first(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    healthy.execute(FAULTS["secrets-in-plain"])
    monkeypatch.setitem(sys.modules, "cryptography", None)

    (finding,) = healthy.findings()

    assert "first install dcmon's wheel again with the extra [server]" in finding.fact.sentence


def test_key_needs_the_package_to_be_used(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    """To look at the key mends nothing then; nor does another key where a secret is encrypted."""
    healthy.execute(FAULTS["secret-unreadable"])
    monkeypatch.setitem(sys.modules, "cryptography", None)

    (unreadable,) = healthy.findings()
    (unusable,) = healthy.with_settings(secret_keys=SecretStr("x")).findings()

    assert "first install dcmon's wheel again with the extra [server]" in unreadable.fact.sentence
    assert (unusable.fault.code, unusable.fact.command) == ("secret-key-unusable", "dcmon docs install")


def test_plain_secrets_beside_their_key_are_light(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    """`dcmon up` without the package has no key: a fresh installation has no finding."""
    healthy.execute(FAULTS["secrets-in-plain"])
    monkeypatch.setattr(postgres, "url", lambda _: healthy.url)
    own = healthy.with_settings(database_url=None)

    assert own.codes() == []

    healthy.settings.data_dir.mkdir(0o700)
    own_key.create(own.settings)
    (finding,) = own.findings()

    assert (finding.severity, finding.fact.command) == ("low", "dcmon secret-key rotate")


def test_read_only_database_is_found(healthy: Healthy) -> None:
    name = healthy.url.rpartition("/")[2].partition("?")[0]
    healthy.execute(f"alter database {name} set default_transaction_read_only = on")

    assert healthy.codes() == ["postgresql-read-only"]


def test_invalid_index_is_found(healthy: Healthy) -> None:
    healthy.execute("create table org_1.doubled (number int)")
    healthy.execute("insert into org_1.doubled values (1), (1)")
    with pytest.raises(psycopg.errors.UniqueViolation):
        healthy.execute("create unique index concurrently doubled_number on org_1.doubled (number)")

    (finding,) = [finding for finding in healthy.findings() if finding.fault.code == "index-invalid"]
    assert "org_1.doubled_number" in finding.fact.sentence


def test_bloated_table_is_found(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    """A reader with an old snapshot stops every vacuum from removing the rows: autovacuum may come at any time."""
    monkeypatch.setattr(postgresql_faults, "DEAD_ROWS", 500)
    healthy.execute("create table public.churn (number int) with (autovacuum_enabled = true)")
    healthy.execute("insert into public.churn select generate_series(1, 1000)")
    with psycopg.connect(healthy.url) as reader:
        reader.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        reader.execute("select count(*) from public.churn")
        healthy.execute("delete from public.churn")

        assert eventually(lambda: "table-bloated" in healthy.codes())


def test_process_of_another_release_is_found(healthy: Healthy) -> None:
    with psycopg.connect(healthy.url, application_name="dcmon 0.0.1 (Python 3.9)"):
        (finding,) = healthy.findings()

    assert finding.fault.code == "releases-mixed"
    assert "dcmon 0.0.1 (Python 3.9) (1 connection)" in finding.fact.sentence


def test_idle_transaction_is_found(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "LONG_TRANSACTION", timedelta())
    with psycopg.connect(healthy.url) as connection:
        connection.execute("select 1")

        assert healthy.codes() == ["long-transaction"]


def test_session_that_others_wait_for_is_named(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_faults, "LOCK_SECONDS", 0)
    with psycopg.connect(healthy.url) as holder, psycopg.connect(healthy.url, autocommit=True) as waiter:
        holder.execute("create table churn (number int)")
        holder.commit()
        holder.execute("lock table churn")
        waiting = threading.Thread(target=waiter.execute, args=["select * from churn"])
        waiting.start()

        def blockers() -> list[str]:
            return [f.fact.command for f in healthy.findings() if f.fault.code == "locks-waiting"]

        assert eventually(lambda: len(blockers()) == 1)
        assert f"pg_terminate_backend({holder.info.backend_pid})" in blockers()[0]
        holder.rollback()
        waiting.join()


def test_locked_table_of_all_organizations_is_found(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The status names the session, too, where it can read nothing else."""
    monkeypatch.setattr(locked_tables, "SECONDS", 0.0)
    with psycopg.connect(healthy.url) as holder:
        holder.execute("lock table public.alembic_version")
        pid = holder.info.backend_pid

        (finding,) = healthy.findings()
        engine = db.engine(healthy.url, lock_wait=timedelta(milliseconds=100))
        current = status.collect(engine, healthy.settings, None)
        engine.dispose()

    assert finding.fault.code == "table-locked"
    assert f"pg_terminate_backend({pid})" in finding.fact.command
    assert [problem.name for problem in current.problems] == ["table locked"]
    assert str(current.failure) == current.problems[0].sentence
    assert f"Session {pid}" in current.problems[0].sentence


def test_long_statement_is_found(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_faults, "STATEMENT_HOURS", 0)
    with psycopg.connect(healthy.url, autocommit=True) as connection:

        def run() -> None:
            with pytest.raises(psycopg.errors.QueryCanceled):
                connection.execute("select pg_sleep(600), 'a report'")

        def reports() -> list[str]:
            findings = [finding for finding in healthy.findings() if finding.fault.code == "statement-long"]
            return [finding.fact.sentence for finding in findings if "a report" in finding.fact.sentence]

        running = threading.Thread(target=run)
        running.start()
        assert eventually(reports)
        connection.cancel_safe()
        running.join()


def test_slot_without_a_consumer_is_found(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_faults, "SLOT_BYTES", 0)
    healthy.execute("select pg_create_physical_replication_slot('standby', true)")
    try:
        healthy.execute("create table public.churn (number int)")

        (finding,) = healthy.findings()

        assert finding.fault.code == "replication-slot"
        assert "Slot standby has no consumer" in finding.fact.sentence
    finally:
        healthy.execute("select pg_drop_replication_slot('standby')")


def test_prepared_transaction_is_found(healthy: Healthy) -> None:
    healthy.execute("begin; create table public.churn (number int); prepare transaction 'two phases'")
    try:
        (finding,) = healthy.findings()
    finally:
        healthy.execute("rollback prepared 'two phases'")

    assert finding.fault.code == "prepared-transaction"
    assert "rollback prepared" in finding.fact.command


def test_full_postgresql_is_found(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The share is lowered: other tests would fail with a server that is full."""
    monkeypatch.setattr(checks, "USAGE_LIMIT", 0.0)

    assert healthy.codes() == ["postgresql-full"]


def test_database_that_must_be_frozen_is_found(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is lowered: 1,500 million transactions would take days."""
    monkeypatch.setattr(checks, "FREEZE_AGE_LIMIT", 0)

    (finding,) = healthy.findings()

    assert (finding.fault.code, finding.severity) == ("wraparound", "critical")


def test_locked_organization_is_found(healthy: Healthy) -> None:
    """Its lock and a table are held as by a migration."""
    with psycopg.connect(healthy.url) as migration:
        migration.execute("lock table org_1.alembic_version")
        migration.execute("select pg_advisory_xact_lock(%s, 1)", [LockSpace.ORGANIZATION])

        (finding,) = healthy.findings()

    assert (finding.fault.code, finding.fact.organization) == ("locked", "acme")


def test_pause_without_an_end_is_told_once(healthy: Healthy) -> None:
    """The status has it, too, if something is missed; the doctor names also a receiver that misses nothing."""
    healthy.execute(RECEIVER.format("'command', '', ''"))
    healthy.execute("update webhooks set paused_at = now() - interval '1 hour'")

    findings = healthy.findings()

    assert sorted((finding.fact.command, finding.fault.code, finding.severity) for finding in findings) == [
        ("dcmon --org acme receiver resume other", "receiver-paused", "medium"),
        ("dcmon --org acme receiver resume pager", "receiver-paused", "high"),
    ]


def test_receiver_paused_for_its_answer_is_told_once(healthy: Healthy) -> None:
    """It is gone, so dcmon paused it: the command that changes its address also resumes it."""
    healthy.execute("update webhooks set paused_at = now(), paused_because = 'The receiver answered 410 (Gone).'")
    healthy.execute(
        NOTIFICATION.format("attempts, last_status, last_error", ", 1, 410, 'It answered 410.' from webhooks")
    )

    (finding,) = healthy.findings()

    assert finding.fault.code == "receiver-fails"
    assert finding.fact.command.endswith(" && dcmon --org acme receiver resume pager")


def test_ping_that_fails_is_found(healthy: Healthy) -> None:
    healthy.execute("""insert into public.scheduler_runs (name, started_at, failed_at, message)
                       values ('ping', now(), now(), 'It answered 404.')""")
    ping = Ping(url=SecretStr("https://hc.example/1"))

    (finding,) = healthy.with_settings(ping=ping, health=Health(org="acme")).findings()

    assert finding.fault.code == "ping-fails"
    assert "It answered 404." in finding.fact.sentence


def test_fault_that_can_not_be_looked_for_is_told(healthy: Healthy) -> None:
    """A table is missing: the other faults are looked for all the same."""
    healthy.execute("drop table public.failed_logins")
    healthy.execute("update webhooks set paused_at = now()")

    codes = healthy.codes()

    assert {"look-failed", "receiver-paused"} <= set(codes)


def test_bad_receiver_is_told_once(healthy: Healthy) -> None:
    """Its address can't be used, and a message to it was refused: one cause, one finding."""
    healthy.execute("update webhooks set kind = 'webhook', url = 'https://10.0.0.1/hook'")
    healthy.execute(
        NOTIFICATION.format("attempts, last_error", f"- interval '20 minutes', 3, '{NOT_PUBLIC}' from webhooks")
    )

    assert healthy.codes() == ["receiver-fails"]


def test_receiver_that_no_worker_reaches_is_told_once(healthy: Healthy) -> None:
    """This process can't use its address either: what the worker found says since when."""
    healthy.execute("update webhooks set kind = 'webhook', url = 'https://10.0.0.1/hook'")
    healthy.execute(PROBE.format(NOT_PUBLIC))

    (finding,) = healthy.findings()

    assert (finding.fault.code, finding.severity) == ("receiver-not-reachable", "critical")
    assert finding.fact.since is not None
    assert (
        finding.fact.command
        == "dcmon config show DCMON_WEBHOOKS__ALLOW --origin && dcmon --org acme receiver test pager"
    )


def test_receiver_that_only_a_worker_does_not_reach_is_found(healthy: Healthy) -> None:
    """Nothing listens at its address, which this process does not try."""
    healthy.execute("update webhooks set kind = 'webhook', url = 'https://93.184.215.14/hook'")
    healthy.execute(PROBE.format("[Errno 111] Connection refused"))

    (finding,) = healthy.findings()

    assert finding.fault.code == "receiver-not-reachable"
    assert "Connection refused. It was never reached" in finding.fact.sentence
    assert finding.fact.command == "dcmon --org acme receiver set pager URL && dcmon --org acme receiver test pager"


def test_audit_without_time_is_a_remark(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit_faults, "SECONDS", -1.0)
    healthy.execute(LEDGER_LINE)
    installation = Installation(healthy.settings)
    try:
        assert inspection.examine(installation, PATIENCE) == []
        (remark,) = installation.remarks
        assert remark.startswith("1 organization left out of the audit")
    finally:
        installation.close()


def test_organization_too_large_to_count_is_a_remark(healthy: Healthy) -> None:
    """Its statements are canceled: here because another session holds a table."""
    with psycopg.connect(healthy.url) as holder:
        healthy.execute(LEDGER_LINE)
        holder.execute("lock table org_1.quarantine")
        installation = Installation(healthy.settings)
        try:
            assert list(audit_faults.differences(installation)) == []
            assert len(installation.remarks) == 1
        finally:
            installation.close()


def test_clock_skew_is_found(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    real = postgresql_faults.now
    monkeypatch.setattr(postgresql_faults, "now", lambda: real() + timedelta(hours=1))

    (finding,) = healthy.findings()

    assert finding.fault.code == "clock-skew"
    assert "ahead of" in finding.fact.sentence


def test_old_server_is_found(healthy: Healthy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgresql_faults, "OLDEST_VERSION", 99)

    assert healthy.codes() == ["postgresql-old"]


def test_health_organization_that_does_not_exist_is_found(healthy: Healthy) -> None:
    assert healthy.with_settings(health=Health(org="ops")).codes() == ["unknown-health-organization"]


def test_ping_without_health_organization_is_found(healthy: Healthy) -> None:
    ping = Ping(url=SecretStr("https://hc.example/1"))
    assert healthy.with_settings(ping=ping).codes() == ["health-org-missing"]


def test_findings_name_their_organization(healthy: Healthy) -> None:
    healthy.execute(FAULTS["no-reference"])

    (finding,) = healthy.findings()

    assert finding.fact.organization == "acme"
    assert finding.fact.command == ("dcmon reference load FILE --org acme --model credit --version v1")


WRONG_REFERENCE = FAULTS["reference-unlike-production"]


def test_wrong_reference_says_how_many_windows_were_read(healthy: Healthy) -> None:
    healthy.execute(WRONG_REFERENCE)

    (finding,) = healthy.findings()

    assert "differs entirely from production in each of 5 windows that were looked at" in finding.fact.sentence


@pytest.mark.parametrize(
    "change",
    [
        """how = '{"changes": {"age": {"nulls": [0, 0.2]}}}'""",  # income is not among the largest changes
        "how = '{}'",  # no drift at all
        "revision = 2, reference_revision = 0",  # of an earlier reference: too few others are left
        "state = 'NO_DATA', how = '{}'",
    ],
)
def test_reference_like_some_window_is_no_finding(healthy: Healthy, change: str) -> None:
    healthy.execute(WRONG_REFERENCE)
    healthy.execute(f"update results set {change} where window_end = (select min(window_end) from results)")

    assert healthy.codes() == []


def test_wrong_reference_is_seen_by_several_monitors(healthy: Healthy) -> None:
    """They look at other features in as many windows: all of these are named."""
    healthy.execute(WRONG_REFERENCE)
    healthy.execute("""with other as (
                         insert into monitors (check_id, name, frequency, aggregation_window, lookback)
                         select check_id, 'Other', frequency, 1, lookback from monitors where name = 'Drift'
                         returning id)
                       insert into results (monitor_id, version_id, window_start, window_end, revision, state, metrics,
                                            entries, n, n_rows, n_labelled, rows_revision, labels_revision,
                                            reference_revision, monitor_revision, duration, how)
                       select other.id, version_id, window_start, window_end, 1, 'OK', metrics, '{}', n, n_rows,
                              n_labelled, 1, 1, 1, 1, duration, replace(how::text, 'income', 'age')::json
                         from results cross join other where how::text like '%income%'""")

    (finding,) = healthy.findings()

    assert finding.fact.sentence.startswith("2 features of the reference of credit v1 in acme differ entirely")


def test_newest_result_of_a_window_counts(healthy: Healthy) -> None:
    """The window was evaluated again, and it is like the reference."""
    healthy.execute(WRONG_REFERENCE)
    healthy.execute("""insert into results (monitor_id, version_id, window_start, window_end, revision, state, metrics,
                                            entries, n, n_rows, n_labelled, rows_revision, labels_revision,
                                            reference_revision, monitor_revision, duration)
                       select monitor_id, version_id, window_start, window_end, 2, 'OK', metrics, '{}', n, n_rows,
                              n_labelled, 2, 1, 1, 1, duration
                         from results where window_end = (select max(window_end) from results)""")

    assert healthy.codes() == []


def test_alert_that_a_silence_holds_back_is_no_finding(healthy: Healthy) -> None:
    healthy.execute(ALERT)
    healthy.execute("""insert into notifications (alert_id, webhook_id, kind, body, held_because)
                       select a.id, w.id, 'firing', '{}', 'silence 1' from alerts a cross join webhooks w""")

    assert healthy.codes() == []


def test_database_in_another_encoding_is_found(healthy: Healthy, server_url: str) -> None:
    name = "dcmon_test_latin"
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database if exists {name}".encode())
        connection.execute(f"create database {name} encoding 'SQL_ASCII' locale 'C' template template0".encode())
    url = f"{server_url.rpartition('/')[0]}/{name}"

    codes = healthy.with_settings(database_url=SecretStr(url)).codes()

    assert {"database-not-utf8", "schema-public-behind"} <= set(codes)
    db.engine(url).dispose()
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(f"drop database {name} with (force)".encode())


def test_organization_that_can_not_be_read_is_found(healthy: Healthy) -> None:
    """A table is missing, as after a restore that ended halfway."""
    healthy.execute("alter table alerts rename to old_alerts")

    facts = {finding.fault.code: finding.fact for finding in healthy.findings()}

    assert facts["organization-unreadable"].organization == "acme"
    assert 'relation "alerts" does not exist' in facts["organization-unreadable"].sentence


def test_organization_that_is_not_read_leaves_out_no_other(healthy: Healthy) -> None:
    """It is named, and what is wrong in the others is found all the same."""
    engine = db.engine(healthy.url)
    provisioning.create_organization(engine, "beta", "b@beta.example")
    engine.dispose()
    with psycopg.connect(healthy.url) as holder, psycopg.connect(healthy.url, autocommit=True) as connection:
        connection.execute(
            "insert into org_2.webhooks (name, kind, url, secret, severities) values ('pager', 'command', '', '', '[]')"
        )
        holder.execute("lock table org_1.webhooks in access exclusive mode")
        codes = {(finding.fault.code, finding.fact.organization) for finding in healthy.findings()}

    assert {("table-locked", "acme"), ("look-failed", "acme"), ("no-critical-receiver", "beta")} <= codes
    assert [code for code, _ in codes].count("look-failed") == 1
