"""A model that a file suggests, as a page: the columns with the reasons, and the command that creates the same."""

from collections import Counter
from typing import TYPE_CHECKING, Any

from dcmon.commands.operations import model_document
from dcmon.formatting import shell_argument
from dcmon.ingestion.files.proposal.choices import OPTIONS
from dcmon.ingestion.files.proposal.proposal import Use
from dcmon.output import Copied, Fields, Lines, Page, Part, Remark, Table
from dcmon.storage.columns import LABEL, PROBABILITIES

if TYPE_CHECKING:
    from dcmon.commands.operations.version_addition import Stored
    from dcmon.commands.shared.model_options import FromFile, TypedModel
    from dcmon.ingestion.files.dialect import Dialect
    from dcmon.ingestion.files.proposal.proposal import Proposal, ProposedColumn

MAX_SHOWN = 60  # columns in the table, and options in the command
COLUMNS = ["column", "becomes", "reason"]


def page(proposal: "Proposal", typed: "TypedModel") -> Page:
    """Return the page of a proposal, with questions if there are any."""
    command = None if proposal.questions else model_document.command(typed)
    data: dict[str, Any] = {
        "model": typed.name, "task": proposal.task, "task_reason": proposal.task_reason, "classes": proposal.classes,
        "version": typed.version, "rows_read": proposal.rows,
        "columns": [vars(column) for column in proposal.columns],
        "questions": [vars(question) for question in proposal.questions], "command": command,
    }  # fmt: skip
    questions = [Remark(f"Not certain: {question.sentence}") for question in proposal.questions]
    return Page(data, [Fields(_head(proposal, typed)), _table(proposal), *questions, *_end(proposal, command)])


def with_remark(shown: Page, remark: str) -> Page:
    """Return a page with a further remark."""
    return Page(shown.data, shown.parts, [*shown.remarks, remark])


def _head(proposal: "Proposal", typed: "TypedModel") -> dict[str, Any]:
    rows = f"{proposal.rows:,}" if proposal.is_complete else f"the first {proposal.rows:,}"
    return {
        "model": f"{typed.name}, version {typed.version}",
        "task": f"{proposal.task} ({proposal.task_reason})" if proposal.task else "not known yet",
        "classes": proposal.classes,
        "rows read": f"{rows} of {proposal.path}",
    }


def _table(proposal: "Proposal") -> Table:
    order = list(Use)
    columns = sorted(proposal.columns, key=lambda column: order.index(column.use))
    rows = [
        {"column": column.name, "becomes": _becomes(column), "reason": column.reason} for column in columns[:MAX_SHOWN]
    ]
    if more := columns[MAX_SHOWN:]:
        counts = Counter(_becomes(column) for column in more)
        text = ", ".join(f"{count:,} {becomes}" for becomes, count in counts.most_common())
        rows.append({"column": f"{len(more):,} more", "becomes": "-", "reason": f"{text}. --out FILE.yaml has all"})
    return Table(rows, COLUMNS)


def _becomes(column: "ProposedColumn") -> str:
    if column.use is Use.FIELD:
        return OPTIONS.get(column.target) or f"probability of {column.target[len(PROBABILITIES) + 1 : -1]}"
    return f"{column.use} {column.target}".strip()


def _end(proposal: "Proposal", command: str | None) -> list[Part]:
    parts: list[Part] = []
    if LABEL not in proposal.fields:
        parts.append(Remark("The file has no labels: load them later, from a file with ids and labels."))
    if command is not None:
        count = len(proposal.columns)
        lines = command.splitlines() if count <= MAX_SHOWN else ["--out FILE.sh writes the command."]
        parts.append(Lines([Copied(line) for line in lines], title="The same as a command:"))
    return parts


def unanswered(proposal: "Proposal") -> str:
    """Return the sentences of all questions, as an error."""
    options = ", ".join(dict.fromkeys(f"--{question.option}" for question in proposal.questions))
    sentence = proposal.questions[0].sentence
    return f"{proposal.path} leaves open what the model is; nothing was created. Give {options}. {sentence}"


def next_steps(typed: "TypedModel", file: "FromFile", stored: "Stored") -> list[str]:
    """Return the sentences that say how rows, labels and a reference come in, as far as the version has none."""
    sentences = []
    written = _options(file.dialect)
    names = f"--model {shell_argument(typed.name or '')} --version {shell_argument(typed.version or '')}"
    if not stored.reference:
        sentences.append(
            f"Version {typed.version!r} has no reference yet, so monitors that compare (drift) have no value. Load rows"
            f" that are as they should be: dcmon reference load FILE {names}{written}"
        )
    if not stored.samples:
        model = f"--model {shell_argument(typed.name or '')}"
        sentences.append(f"Next: dcmon ingest file {shell_argument(file.path)} {model}{written}")
    return sentences


def reference_in_place(typed: "TypedModel", path: str) -> str:
    """Return the sentence that says why a file was not loaded as the reference."""
    names = f"--model {shell_argument(typed.name or '')} --version {shell_argument(typed.version or '')}"
    return (
        f"The version has a reference already: {path} was not loaded."
        f" Replace it: dcmon reference load {shell_argument(path)} {names} --replace"
    )


def _options(written: "Dialect") -> str:
    """Return how the file is written as options, as far as the operator said it."""
    options = [
        f" --{name.replace('_', '-')} {shell_argument(str(value))}"
        for name, given in written.given().items()
        for value in (given if isinstance(given, list) else [given])
    ]
    return "".join(options)
