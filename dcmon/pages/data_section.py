"""The rows of a model on their way in: how many came, how many have labels, which came late, and which were refused."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from sqlalchemy.orm import Session

from dcmon.db.tables.org import Model, Quarantined, Version
from dcmon.durations import to_text
from dcmon.formatting import count_of
from dcmon.ingestion import quarantine, quarantine_pages, sample_counts
from dcmon.ingestion.field_value import field_value, value_text
from dcmon.ingestion.quarantine_pages import QuarantinePage
from dcmon.ingestion.sample_counts import BucketCounts, BucketUnit
from dcmon.output import shortened
from dcmon.pages import series_charts
from dcmon.pages.charts import MonitorSeries, Point
from dcmon.pages.markup import Markup, details, element, joined, moment, number, paragraph, share, table
from dcmon.pages.view import View
from dcmon.storage import versions
from dcmon.windows import Window

DAYS, HOURS = 60, 72  # of the charts, until the newest sample
LATE = timedelta(hours=1)  # rows that come later after the end of their hour or day are late
TABLE_ROWS, EXAMPLES = 30, 20
LONGEST_VALUE, LONGEST_ROW = 80, 300  # characters of an example
REFUSED_HEADS = ("Reason", "Field", "Value", "What is wrong", "Version", "Received", "Row")
NO_ROW = "No row was refused."


def render(session: Session, view: View, model: Model) -> Markup:
    """Return the flow of a model's rows by day and by hour, and its refused rows."""
    model_versions = versions.entries(session, model)
    newest = max((version.watermark for version in model_versions if version.watermark), default=None)
    earliest = min((version.earliest for version in model_versions if version.earliest), default=None)
    content = paragraph("No row was received yet.", "none")
    if newest is not None and earliest is not None:
        period = Window(earliest, newest)
        content = joined(
            (
                _flow(session, view, model, period, BucketUnit.DAY),
                _flow(session, view, model, period, BucketUnit.HOUR),
            )
        )
    return content + _refused(session, model, model_versions)


def _flow(session: Session, view: View, model: Model, period: Window, unit: BucketUnit) -> Markup:
    is_daily = unit is BucketUnit.DAY
    length = timedelta(days=1) if is_daily else timedelta(hours=1)
    newest = period.end
    start = max(newest - (DAYS if is_daily else HOURS) * length, period.start)
    start = start.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    start = start.replace(hour=0) if is_daily else start
    counted = sample_counts.buckets(session, Window(start, newest), unit, [model.id])
    by_start = {bucket.start: bucket for bucket in counted}
    count = int((newest - start) / length) + 1
    # An hour or a day that is not over yet would look like a loss of rows.
    starts = [begin for place in range(count) if (begin := start + place * length) + length <= view.now] or [start]
    points = [_point(begin, length, by_start.get(begin)) for begin in starts]
    title = "Rows by day" if is_daily else "Rows by hour"
    series = MonitorSeries(title, "day" if is_daily else "hour", points, shown=["rows", "labels"])
    drawn = series_charts.chart(view, series, start, starts[-1] + length)
    rows = [_cells(bucket, length) for bucket in reversed(counted[-TABLE_ROWS:])]
    heads = ("Begins", "Rows", "With a label", "Share with a label", "Last row came")
    late = sum(_is_late(bucket, length) for bucket in counted)
    note = f"Late rows came for {count_of(late, 'day' if is_daily else 'hour')} of this period." if late else ""
    shown = details("The newest as a table", table(heads, rows, title))
    return element(
        "section",
        joined((element("h2", title), paragraph(note, "note") if note else "", element("div", drawn + shown, "card"))),
    )


def _point(start: datetime, length: timedelta, bucket: BucketCounts | None) -> Point:
    rows, labels = (bucket.rows, bucket.labels) if bucket else (0, 0)
    return Point(start, start + length, {"rows": float(rows), "labels": float(labels)}, rows)


def _is_late(bucket: BucketCounts, length: timedelta) -> bool:
    return bucket.logged_at is not None and bucket.logged_at > bucket.start + length + LATE


def _cells(bucket: BucketCounts, length: timedelta) -> list[object]:
    came: object = moment(bucket.logged_at)
    if _is_late(bucket, length):
        assert bucket.logged_at is not None
        delay = timedelta(hours=int((bucket.logged_at - bucket.start - length) / timedelta(hours=1)))
        came = joined((came, element("span", f"{to_text(delay)} late", "open")), ", ")
    ratio = bucket.labels / bucket.rows if bucket.rows else None
    return [moment(bucket.start), number(f"{bucket.rows:,}"), number(f"{bucket.labels:,}"), share(ratio), came]


def _refused(session: Session, model: Model, model_versions: Sequence[Version]) -> Markup:
    counts = quarantine.counts_by_reason(session, model)
    title = element("h2", "Refused rows (quarantine)")
    if not counts:
        return title + paragraph(NO_ROW, "none")
    reasons = sorted(counts.items(), key=lambda entry: -entry[1])
    summary = table(("Reason", "Rows"), [(reason, number(f"{count:,}")) for reason, count in reasons], "Reasons")
    ids = quarantine_pages.row_ids(session, QuarantinePage(model.id, EXAMPLES))
    names = {version.id: version.name for version in model_versions}
    examples = [_example(row, names) for row in quarantine_pages.read_rows(session, ids)]
    heading = element("h3", f"The newest {count_of(len(examples), 'row')}")
    return title + summary + heading + table(REFUSED_HEADS, examples, "Refused rows", stacks=True)


def _example(row: Quarantined, names: dict[int, str]) -> list[object]:
    value = shortened(value_text(field_value(row.row, row.field)), LONGEST_VALUE) if row.field else ""
    version = names.get(row.version_id or 0, "")
    content = shortened(row.row.decode(errors="replace"), LONGEST_ROW)
    return [
        row.reason, row.field, element("code", value) if value else "", row.detail, version, moment(row.logged_at),
        element("code", content),
    ]  # fmt: skip
