"""Conditions of rules as text, pending alerts, history of alerts, silences, mute times, baselines.

Policy: expand, then contract. The code of the previous revision must keep working while this one is applied.
No long locks; nothing that needs autocommit (CREATE INDEX CONCURRENTLY); never import dcmon.db.tables;
never change run-time tables (samples_N, ids_N, labels_N, …): they have their own layout numbers.
"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

def rule_columns() -> list[sa.Column]:
    return [
        sa.Column("name", sa.Text(), nullable=True),
        sa.Column("condition", sa.Text(), nullable=True),
        sa.Column("warn_severity", sa.Text(), nullable=True),
        sa.Column("for_windows", sa.Integer(), server_default="1", nullable=False),
        sa.Column("keep_firing", sa.Integer(), server_default="0", nullable=False),
        sa.Column("min_n", sa.Integer(), server_default="0", nullable=False),
        sa.Column("no_data", sa.Text(), server_default="keep", nullable=False),
        sa.Column("on_error", sa.Text(), server_default="keep", nullable=False),
        sa.Column("is_inhibited", sa.Boolean(), server_default=sa.text("true"), nullable=False),
        sa.Column("revision", sa.Integer(), server_default="1", nullable=False),
    ]


def alert_columns() -> list[sa.Column]:
    return [
        sa.Column("rule_revision", sa.Integer(), server_default="1", nullable=False),
        sa.Column("fired_window_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("details", sa.JSON(none_as_null=True), server_default="{}", nullable=False),
        sa.Column("told_severity", sa.Text(), nullable=True),
        sa.Column("acknowledged_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("acknowledged_by", sa.Text(), nullable=True),
        sa.Column("acknowledgement", sa.Text(), nullable=True),
    ]


def upgrade() -> None:
    for column in rule_columns():
        op.add_column("alert_rules", column)
    for column in alert_columns():
        op.add_column("alerts", column)
    # An alert about windows without a value has no worst value.
    op.alter_column("alerts", "worst_value", existing_type=sa.Float(), nullable=True)
    op.alter_column("alerts", "current_value", existing_type=sa.Float(), nullable=True)
    op.execute("update alerts set fired_window_end = first_window_end")
    op.execute("update alerts set told_severity = severity where state = 'firing'")
    op.create_table(
        "alert_changes",
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("alert_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=True),
        sa.Column("window_end", sa.DateTime(timezone=True), nullable=True),
        sa.Column("result_revision", sa.Integer(), nullable=True),
        sa.Column("severity", sa.Text(), nullable=False),
        sa.Column("value", sa.Float(), nullable=True),
        sa.Column("note", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["alert_id"], ["alerts.id"], name=op.f("fk_alert_changes_alert_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alert_changes")),
    )
    op.create_index(op.f("ix_alert_changes_alert_id"), "alert_changes", ["alert_id"], unique=False)
    op.create_table(
        "baselines",
        sa.Column("monitor_id", sa.Integer(), nullable=False),
        sa.Column("version_id", sa.Integer(), nullable=False),
        sa.Column("reference_revision", sa.Integer(), nullable=False),
        sa.Column("monitor_revision", sa.Integer(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("metrics", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("entries", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("computed_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.ForeignKeyConstraint(
            ["monitor_id"], ["monitors.id"], name=op.f("fk_baselines_monitor_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["versions.id"], name=op.f("fk_baselines_version_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint(
            "monitor_id", "version_id", "reference_revision", "monitor_revision", name=op.f("pk_baselines")
        ),
    )
    op.create_index(op.f("ix_baselines_version_id"), "baselines", ["version_id"], unique=False)
    op.create_table(
        "silences",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("matchers", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.Column("ends_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_silences")),
    )
    op.create_index(op.f("ix_silences_ends_at"), "silences", ["ends_at"], unique=False)
    op.create_table(
        "mute_times",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("days", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("begins", sa.Integer(), nullable=False),
        sa.Column("ends", sa.Integer(), nullable=False),
        sa.Column("time_zone", sa.Text(), nullable=False),
        sa.Column("matchers", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), server_default=sa.text("now()"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mute_times")),
        sa.UniqueConstraint("name", name=op.f("uq_mute_times_name")),
    )


def downgrade() -> None:
    op.drop_table("mute_times")
    op.drop_index(op.f("ix_silences_ends_at"), table_name="silences")
    op.drop_table("silences")
    op.drop_index(op.f("ix_baselines_version_id"), table_name="baselines")
    op.drop_table("baselines")
    op.drop_index(op.f("ix_alert_changes_alert_id"), table_name="alert_changes")
    op.drop_table("alert_changes")
    # The previous code knows only plain rules, and only firing and resolved alerts.
    op.execute("delete from alerts where state not in ('firing', 'resolved') or worst_value is null")
    op.execute("delete from alerts where current_value is null")
    op.execute("delete from alert_rules where condition is not null")
    op.alter_column("alerts", "current_value", existing_type=sa.Float(), nullable=False)
    op.alter_column("alerts", "worst_value", existing_type=sa.Float(), nullable=False)
    for column in alert_columns():
        op.drop_column("alerts", column.name)
    for column in rule_columns():
        op.drop_column("alert_rules", column.name)
