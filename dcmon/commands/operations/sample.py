"""Count and delete the samples of a time range."""

from datetime import datetime
from typing import TYPE_CHECKING, NamedTuple

from dcmon.commands.shared.confirmation import question_of
from dcmon.formatting import count_of
from dcmon.ingestion import sample_deletion
from dcmon.storage import models

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.db import Organization
    from dcmon.ingestion.sample_deletion import DeletedCounts, SampleRange


class Deletion(NamedTuple):
    """The samples of a model to delete: a range of each version, and its counts. The keys are names of versions."""

    org: "Organization"
    model: str
    ranges: "dict[str, SampleRange]"
    counts: "dict[str, DeletedCounts]"

    @property
    def samples(self) -> int:
        return sum(count.samples for count in self.counts.values())

    @property
    def phrases(self) -> list[str]:
        """What is deleted, for people; empty if it is nothing."""
        of_versions = f"{count_of(self.samples, 'sample')} of {count_of(len(self.ranges), 'version')}"
        return [f"delete {of_versions} of model {self.model!r}"] if self.samples else []

    @property
    def question(self) -> str | None:
        """The question to confirm; None if nothing is deleted."""
        return question_of(self.phrases[0]) if self.phrases else None


def prepare_deletion(app: "App", model: str | None, version: str | None, start: datetime, end: datetime) -> Deletion:
    """Count the samples in [start, end) of one version, or of all. `model`: None: the only one.

    Raises NotFound or InvalidInput.
    """
    org = app.organization()
    with app.org(org, snapshot=True) as session:
        of_model = models.find_or_only(session, model)
        ranges = sample_deletion.sample_ranges(session, of_model, version, start, end)
        counts = {name: sample_deletion.count_samples(session, sample_range) for name, sample_range in ranges.items()}
    return Deletion(org, of_model.name, ranges, counts)


def delete(app: "App", deletion: Deletion, by: str, *, with_labels: bool) -> "dict[str, DeletedCounts]":
    """Delete the samples; return the deleted counts of each version that had samples."""
    return {
        version: sample_deletion.delete_samples(app.engine, deletion.org, sample_range, by, with_labels=with_labels)
        for version, sample_range in deletion.ranges.items()
        if deletion.counts[version].samples
    }
