"""Choose, retry and delete dead letters."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dcmon.commands.shared.confirmation import question_of
from dcmon.commands.shared.dry_run_output import would
from dcmon.formatting import count_of
from dcmon.ingestion import dead_letters
from dcmon.ingestion.dead_letter_retries import RetriedDeadLetter, Retry
from dcmon.ingestion.dead_letters import DeadLetterFilter, Resolution
from dcmon.ingestion.target_cache import TargetCache
from dcmon.states import RowKind

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from dcmon.app import App

FAILED, PARTLY_DONE = 3, 8  # exit codes


@dataclass(frozen=True)
class RetriedDeadLetters:
    """What became of dead letters."""

    letters: Sequence[RetriedDeadLetter]

    @property
    def exit_code(self) -> int:
        """0 if all are stored, 3 if all are refused again, 8 if some are."""
        refused = sum(dead_letter.reason is not None for dead_letter in self.letters)
        return 0 if not refused else FAILED if refused == len(self.letters) else PARTLY_DONE


@dataclass(frozen=True)
class ChosenDeadLetters:
    """Dead letters to delete."""

    app: "App"
    ids: Sequence[int]
    size: int

    @property
    def phrases(self) -> list[str]:
        """What is deleted, for people; empty if it is nothing."""
        letters = f"{count_of(len(self.ids), 'dead letter')} ({count_of(self.size, 'byte')})"
        return [f"delete {letters} for ever"] if self.ids else []

    @property
    def question(self) -> str | None:
        """The question to confirm; None if nothing is deleted."""
        return question_of(self.phrases[0]) if self.phrases else None

    def delete(self, by: str) -> int:
        """Delete them, and return how many: not those that another operator has stored or deleted meanwhile."""
        done = 0
        for dead_letter_id in sorted(self.ids):
            with self.app.public() as session:
                dead_letter = dead_letters.find(session, dead_letter_id, is_locked=True)
                if dead_letter.resolution is None:
                    dead_letters.resolve(session, dead_letter, Resolution.DELETED, by)
                    done += 1
        return done


def in_organization(app: "App", chosen: DeadLetterFilter) -> DeadLetterFilter:
    """Return the filter with the organization of --org, if it is given."""
    return chosen if app.typed_org is None else replace(chosen, org_id=app.organization().id)


def require_topic(app: "App", session: "Session", topic: str | None) -> None:
    """Check that there is a topic that was typed. Raises NotFound with the nearest one."""
    if topic is not None:
        dead_letters.require_topic(session, topic, [f"{app.settings.kafka.topic_prefix}.{kind}" for kind in RowKind])


def retry(app: "App", chosen: DeadLetterFilter, by: str, *, dry_run: bool) -> RetriedDeadLetters:
    """Retry dead letters in the order in which they came, each on its own. Raises NotFound."""
    retries = Retry(app.engine, TargetCache(app.engine), by, dry_run)
    ids = sorted(choose(app, chosen).ids)
    with app.output.progress("dead letters", counts=True) as advance:
        letters = list[RetriedDeadLetter]()
        for dead_letter_id in ids:
            letters.append(retries.retry(dead_letter_id))
            advance(len(letters), len(ids))
    stored = sum(dead_letter.stored for dead_letter in letters)
    would(app.output, f"store {count_of(stored, 'row')}" if stored else "")
    return RetriedDeadLetters(letters)


def choose(app: "App", chosen: DeadLetterFilter) -> ChosenDeadLetters:
    """Find the dead letters that are chosen. Raises NotFound."""
    with app.public() as session:
        require_topic(app, session, chosen.topic)
        rows = dead_letters.entries(session, in_organization(app, chosen))
    return ChosenDeadLetters(app, [row["id"] for row in rows], sum(row["bytes"] for row in rows))
