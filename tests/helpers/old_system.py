"""A database of the shape of the old system, with one organization, and a role that may only read it."""

import json
import random
from datetime import UTC, datetime, timedelta

import psycopg
from psycopg.types.json import Jsonb

START = datetime(2026, 3, 2, tzinfo=UTC)
SCHEMA = "org_acme"
TABLES = """
create type tasktype as enum ('REGRESSION', 'BINARY', 'MULTICLASS');
create type alertseverity as enum ('LOW', 'MEDIUM', 'HIGH', 'CRITICAL');
create type frequency as enum ('HOUR', 'DAY', 'WEEK', 'MONTH');
create table public.organizations (id serial primary key, name text, schema_name text, tier text);
create table public.users (id serial primary key, email text, full_name text, disabled bool default false,
    organization_id int, api_secret_hash text, created_at timestamptz default now());
create table public.roles (id serial primary key, user_id int, role text);
create schema org_acme;
set search_path to org_acme, public;
create table models (id serial primary key, name text, task_type tasktype, description text,
    alerts_delay_labels_ratio float8, alerts_delay_seconds int, obj_store_path text, start_time timestamptz);
create table model_versions (id serial primary key, model_id int, name text, features_columns jsonb,
    additional_data_columns jsonb, feature_importance jsonb, classes jsonb, label_map jsonb, statistics jsonb);
create table model_notes (id serial primary key, model_id int, title text, text text);
create table model_members (user_id int, model_id int, notify bool, primary key (user_id, model_id));
create table checks (id serial primary key, model_id int, name text, config jsonb, is_label_required bool);
create table dashboards (id serial primary key, name text);
create table monitors (id serial primary key, check_id int, name text, dashboard_id int, lookback int,
    aggregation_window int, frequency frequency, description text, data_filters jsonb, additional_kwargs jsonb,
    latest_schedule timestamptz);
create table alert_rules (id serial primary key, monitor_id int, condition jsonb, alert_severity alertseverity,
    is_active bool, start_time timestamptz);
create table alerts (id serial primary key, alert_rule_id int, failed_values jsonb, resolved bool);
create table alert_webhooks (id serial primary key, name text, description text, kind text, http_url text,
    http_method text, http_headers jsonb, notification_levels jsonb, additional_arguments jsonb);
create table data_ingestion_alert_rules (id serial primary key, model_id int, name text, condition jsonb,
    alert_severity alertseverity, is_active bool, alert_type text, frequency frequency);
create table model_3_sample_labels (_dc_sample_id text primary key, _dc_label text);
create table model_3_samples_versions_map (_dc_sample_id text, version_id int);
create table model_3_monitor_data_5 (_dc_sample_id text primary key, _dc_time timestamptz, _dc_prediction text,
    _dc_prediction_probabilities float8[], city text, age float8, job text, _dc_logged_time timestamptz);
create table model_3_ref_data_5 (_dc_prediction text, _dc_prediction_probabilities float8[], city text, age float8,
    job text, _dc_label text, _dc_ref_sample_id serial primary key);
"""
FEATURES = {"age": "numeric", "job": "categorical"}
REFERENCE = "_dc_prediction, _dc_prediction_probabilities, city, age, job, _dc_label"
DRIFT = {"module_name": "deepchecks.tabular.checks", "class_name": "FeatureDrift", "params": {}}


def create(url: str, samples: int = 500, hashed: str | None = None) -> None:
    """Fill an empty database. One sample is without a prediction, so dcmon refuses it; one monitor has no check."""
    generator = random.Random(7)
    with psycopg.connect(url) as connection:
        connection.execute(TABLES)
        run = connection.execute
        run("insert into public.organizations values (4, 'acme', 'org_acme', 'FREE')")
        run("insert into public.users (id, email, full_name, organization_id, api_secret_hash) values"
            " (11, 'ann@acme.example', 'Ann', 4, %s), (12, 'bob@acme.example', 'Bob', 4, null),"
            " (13, 'eve@other.example', 'Eve', null, null)", [hashed])  # fmt: skip
        run("insert into public.roles (user_id, role) values (11, 'OWNER'), (11, 'ADMIN')")
        run("insert into models values (3, 'credit', 'BINARY', 'scores', 0.8, 3600, null)")
        run("insert into model_notes (model_id, title, text) values (3, 'a note', null)")
        run("insert into model_members values (11, 3, true), (12, 3, false)")
        run("insert into model_versions values (5, 3, 'v1', %s, %s, null, %s, null)",
            [Jsonb(FEATURES), Jsonb({"city": "categorical"}), Jsonb(["0", "1"])])  # fmt: skip
        run("insert into checks values (7, 3, 'Drift', %s)", [Jsonb(DRIFT)])
        run("insert into checks values (8, 3, 'Own', %s)", [Jsonb({**DRIFT, "class_name": "OwnCheck"})])
        run("insert into dashboards values (1, 'main')")
        run("insert into monitors values (9, 7, 'Feature drift', 1, 2592000, 1, 'DAY', null, null, null)")
        run("insert into monitors values (10, 8, 'Own', null, 2592000, 1, 'DAY', null, null, null)")
        for number, operator in ((21, "greater_than"), (22, "in")):
            condition = Jsonb({"operator": operator, "value": 0.3})
            run("insert into alert_rules values (%s, 9, %s, 'HIGH', true)", [number, condition])
        run("insert into alerts (alert_rule_id, resolved) values (21, false), (21, true)")
        run("insert into data_ingestion_alert_rules values (1, 3, 'few', %s, 'LOW', true, 'sample_count', 'DAY')",
            [Jsonb({"operator": "less_than", "value": 10})])  # fmt: skip
        more = {"routing_key": "R" * 32, "group": "g"}
        run("insert into alert_webhooks values (2, 'pager', '', 'PAGER_DUTY',"
            " 'https://events.pagerduty.com/v2/enqueue', 'POST', %s, %s, %s)",
            [Jsonb({}), Jsonb(["critical"]), Jsonb(more)])  # fmt: skip
        with connection.cursor().copy("copy model_3_monitor_data_5 from stdin") as copy:
            for number in range(samples):
                time, prediction = START + timedelta(minutes=10 * number), None if number == 17 else str(number % 2)
                age = float("nan") if number == 3 else generator.gauss(40, 9)
                copy.write_row((f"s'{number}", time, prediction, [0.4, 0.6], f"c{number % 3}", age, "j\\1", time))
        with connection.cursor().copy("copy model_3_sample_labels from stdin") as copy:
            for number in range(0, samples, 2):
                copy.write_row((f"s'{number}", str(number // 2 % 2)))
        with connection.cursor().copy(f"copy model_3_ref_data_5 ({REFERENCE}) from stdin") as copy:
            for number in range(200):
                copy.write_row((str(number % 2), [0.5, 0.5], "c1", generator.gauss(40, 9), "j1", str(number % 2)))


def digest(url: str) -> str:
    """Return a text of all rows of all tables."""
    with psycopg.connect(url) as connection:
        tables = connection.execute(
            "select schemaname, tablename from pg_tables where schemaname in ('public', 'org_acme') order by 1, 2"
        ).fetchall()
        contents = {
            f"{schema}.{table}": connection.execute(
                f'select count(*), sum(hashtextextended(t::text, 0)) from {schema}."{table}" t'.encode()
            ).fetchone()
            for schema, table in tables
        }
    return json.dumps(contents, default=str)
