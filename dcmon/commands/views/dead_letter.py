"""Dead letters as rows, and what became of them."""

from typing import TYPE_CHECKING

from dcmon.commands.operations import dead_letter as operation
from dcmon.commands.operations.dead_letter import ChosenDeadLetters, RetriedDeadLetters
from dcmon.ingestion import dead_letters
from dcmon.output import Fields, Page, Table, shortened
from dcmon.tenancy import organizations

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.ingestion.dead_letters import DeadLetterFilter

COLUMNS = ["id", "topic", "partition", "offset", "org_id", "kind", "target", "bytes", "reason", "created_at", "state"]
NARROW_COLUMNS = ["id", "topic", "offset", "org_id", "reason"]
RETRIED_COLUMNS = ["id", "state", "rows", "stored", "duplicates", "quarantined", "reason"]
NONE_OPEN = "There is no dead letter."
NONE_MATCHES = "No dead letter matches."
LONGEST_BODY = 2_000  # characters that people see
RETRY = '"dcmon dead-letter retry ID" stores one again when its reason is mended.'


def listing(app: "App", chosen: "DeadLetterFilter", limit: int, *, is_of_all: bool) -> Page:
    """List dead letters, the newest first; `is_of_all`: with the name of each one's organization. Raises NotFound."""
    chosen = chosen if is_of_all else operation.in_organization(app, chosen)
    with app.public() as session:
        operation.require_topic(app, session, chosen.topic)
        rows = dead_letters.entries(session, chosen, limit)
        names = {org.id: org.name for org in organizations.entries(session)}
    if is_of_all:
        rows = [{"org": names.get(row["org_id"]), **row} for row in rows]
    is_filtered = (chosen.topic, chosen.reason, chosen.since, chosen.until, chosen.org_id) != (None,) * 5
    shown = rows if app.output.is_data else [{**row, "reason": shortened(row["reason"], 200)} for row in rows]
    empty = NONE_MATCHES if is_filtered else NONE_OPEN
    more = ["org"] if is_of_all else []
    table = Table(shown, [*more, *COLUMNS], empty=empty, unfolded=["id"], narrow=[*more, *NARROW_COLUMNS])
    return Page(rows, [table], [RETRY] if rows else [])


def detail(app: "App", dead_letter_id: int) -> Page:
    """Show a dead letter with its message; people see the beginning of a long one. Raises NotFound."""
    with app.public() as session:
        row = dead_letters.detail(session, dead_letter_id)
    body = row["body"]
    return Page(row, [Fields({**row, "body": body if body is None else shortened(body, LONGEST_BODY)})])


def retried(result: RetriedDeadLetters) -> Page:
    """List what became of retried dead letters, with counts of their rows."""
    rows = [vars(dead_letter) for dead_letter in result.letters]
    columns = RETRIED_COLUMNS if any(dead_letter.reason for dead_letter in result.letters) else RETRIED_COLUMNS[:-1]
    return Page(rows, [Table(rows, columns, empty=NONE_MATCHES)])


def deleted(letters: ChosenDeadLetters, done: int | None) -> Page:
    """Show how many dead letters were deleted, or would be."""
    row = {"deleted": len(letters.ids) if done is None else done, "bytes": letters.size}
    return Page(row, [Fields(row)], [] if letters.ids else [NONE_MATCHES])
