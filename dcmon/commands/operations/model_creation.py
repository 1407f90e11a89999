"""Create a model: from typed options, from a file that suggests it, or from a document that describes it."""

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from dcmon import errors, file_errors
from dcmon.commands.operations import model as model_operation
from dcmon.commands.operations import model_document, reference, version_addition
from dcmon.commands.views import effects as effects_view
from dcmon.commands.views import model_proposal as view
from dcmon.formatting import listed, shell_argument
from dcmon.ingestion.files.proposal import proposal as proposals
from dcmon.ingestion.files.proposal.choices import OPTIONS, Choices
from dcmon.output import Fields, Page, Remark
from dcmon.storage.models import NewModel
from dcmon.storage.versions import NewVersion
from dcmon.wrapping import wrapped

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.commands.shared.model_options import FromFile, TypedModel
    from dcmon.ingestion.files.proposal.proposal import Proposal

Confirm = Callable[[str], None]
YAML = (".yaml", ".yml")
DEFAULT_VERSION = "v1"
EXISTED = 'Model {name} existed already, and keeps its settings: "dcmon model set {name}" changes them.'


def create(app: "App", typed: "TypedModel", confirm: Confirm) -> Page:
    """Create a model after `confirm(question)` if a file suggests it. Return what to show; a dry run asks nothing.

    Raises InvalidInput, Conflict, or NotFound and FileRefused if the file can't be read.
    """
    file = typed.file
    is_document = file is not None and Path(file.path).suffix.lower() in YAML
    if file is not None and not is_document:
        return _from_file(app, typed, file, confirm)
    if file is None:
        _confirm_addition(app, typed, None, confirm)
        row = _create(app, typed)
        return Page(row, [Fields(row)], _about_existing(row))
    if file.write is not None:
        raise errors.InvalidInput(f"{file.path} describes a model already: --out has no meaning for it.")
    typed = model_document.read(typed)
    _confirm_addition(app, typed, file.reference, confirm)
    row = _create(app, typed, _reference(file))
    return Page(row, [Fields(row), *map(Remark, _about_reference(row, typed, file))], _about_existing(row))


def _about_existing(row: dict[str, Any]) -> list[str]:
    return [] if row["created"] else [EXISTED.format(name=shell_argument(row["name"]))]


def _confirm_addition(app: "App", typed: "TypedModel", reference_path: str | None, confirm: Confirm) -> None:
    """Ask before a model that exists gets a version, a reference, or other default monitors and rules."""
    if app.effects is not None:
        return
    question = version_addition.question(app, typed)
    if question is None and version_addition.exists(app, typed.name):
        with app.for_dry_run(app.output) as dry_app:
            _create(dry_app, typed)
        changes = [] if dry_app.effects is None else [*effects_view.phrases(dry_app.effects)]
        if reference_path is not None and version_addition.lacks_reference(app, typed):
            changes.append(f"load {reference_path} as the reference of version {typed.version!r}")
        question = f"Model {typed.name!r} exists already. This would {listed(changes)}. Continue?" if changes else None
    if question is not None:
        confirm(question)


def _from_file(app: "App", typed: "TypedModel", file: "FromFile", confirm: Confirm) -> Page:
    if file.write is not None and Path(file.write).suffix.lower() not in (*YAML, model_document.COMMAND_SUFFIX):
        raise errors.InvalidInput(f"--out {file.write}: name a file *.yaml, or *.sh for a command.")
    if file.write is not None:
        file_errors.require_free(Path(file.write), is_replaced=file.is_replaced)
    choices = _choices(typed, file)
    proposal = _propose(file, choices)
    while (chosen := _ask(app, proposal, choices)) is not None:
        choices = chosen
        proposal = _propose(file, choices)
    complete = _complete(typed, file, proposal)
    page = view.page(proposal, complete)
    if file.write is not None and not proposal.questions:
        model_document.write(Path(file.write), complete)
        return view.with_remark(page, f"{file.write} has the proposal. Nothing was created.")
    if app.effects is not None:
        if not proposal.questions:
            _create(app, complete, _reference(file))
        return page
    if not app.output.is_data:
        app.output.page(page)
    if proposal.questions:
        raise errors.InvalidInput(view.unanswered(proposal))
    if version_addition.exists(app, complete.name):
        _confirm_addition(app, complete, file.reference, confirm)
    else:
        confirm(f"Create model {complete.name!r}?")
    row = _create(app, complete, _reference(file))
    steps = view.next_steps(complete, file, version_addition.stored(app, row["version_id"]))
    remarks = map(Remark, [*_about_reference(row, complete, file), *steps])
    data = {**page.data, **row} if isinstance(page.data, dict) else row
    return Page(data, [Fields(row), *remarks], _about_existing(row))


def _choices(typed: "TypedModel", file: "FromFile") -> Choices:
    by_option = {option: name for name, option in OPTIONS.items()}
    fields = {name: column for column, name in typed.file_fields.items() if name}
    if unknown := fields.keys() - OPTIONS.keys():
        raise errors.InvalidInput(
            f"--map {fields[min(unknown)]}={min(unknown)}: with --from, a column becomes one of {', '.join(OPTIONS)}."
        )
    fields |= {by_option[option]: column for option, column in file.fields.items()}
    ignored = frozenset(column for column, name in typed.file_fields.items() if not name)
    return Choices(typed.task, fields, typed.features, typed.additional, ignored, typed.classes)


def _propose(file: "FromFile", choices: Choices) -> "Proposal":
    return proposals.of_path(file.path, file.format, file.dialect, choices)


def _ask(app: "App", proposal: "Proposal", choices: Choices) -> Choices | None:
    """Ask the first question that has few answers, on a terminal. Return None if there is no such question."""
    by_option = {option: name for name, option in OPTIONS.items()}
    open_questions = [question for question in proposal.questions if question.option in (*by_option, "task")]
    if not sys.stdin.isatty() or app.output.is_data or not open_questions:
        return None
    question = next((question for question in open_questions if question.values), None)
    if question is None:
        return None
    for value in question.values:
        app.output.remark(f"  {value}")
    typed_value = ""
    while typed_value not in question.values:
        typed_value = typer.prompt(wrapped(question.sentence, beside=2), err=True)
    if question.option == "task":
        return replace(choices, task=typed_value)
    return replace(choices, fields={**choices.fields, by_option[question.option]: typed_value})


def _complete(typed: "TypedModel", file: "FromFile", proposal: "Proposal") -> "TypedModel":
    """Return the model as it would be typed without a file."""
    version = proposal.version(typed.version or DEFAULT_VERSION)
    return replace(
        typed, name=typed.name or _name(file.path), task=proposal.task, version=version.name,
        features=version.features, additional=version.additional,
        classes=None if version.classes is None else list(version.classes), file_fields=version.file_columns or {},
    )  # fmt: skip


def _name(path: str) -> str:
    if path == "-":
        raise errors.InvalidInput("Name the model: dcmon model create NAME --from -")
    return Path(path).name.split(".")[0] or path


def _reference(file: "FromFile") -> reference.ReferenceFile | None:
    if file.reference is None:
        return None
    return reference.ReferenceFile(
        Path(file.reference), renames={}, dialect=file.dialect, constants={}, replaces=False, is_dry_run=False
    )


def _create(app: "App", typed: "TypedModel", file: reference.ReferenceFile | None = None) -> dict[str, Any]:
    settings = typed.settings
    new = NewModel(
        typed.name or "", typed.task or "", settings.description, settings.label_ratio, settings.label_delay,
        settings.time_zone,
    )  # fmt: skip
    version = None
    if typed.version is not None:
        version = NewVersion(
            typed.version, typed.features, typed.additional, classes=typed.classes,
            file_columns=typed.file_fields or None,
        )  # fmt: skip
    return model_operation.create(app, new, version, settings.frequency, settings.defaults, file)


def _about_reference(row: dict[str, Any], typed: "TypedModel", file: "FromFile") -> list[str]:
    """Return the sentence that says what became of --reference; none without the option."""
    if file.reference is None:
        return []
    if row["reference"] is None:
        return [view.reference_in_place(typed, file.reference)]
    return [f"{file.reference} is the reference: {row['reference']:,} rows."]
