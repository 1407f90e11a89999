"""What a dry run shows: results that say that nothing was changed, and one sentence on what would be."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dcmon.data_formats import Row
from dcmon.output import Fields, Output, Page, Part, Table

if TYPE_CHECKING:
    from dcmon.db.dry_runs import Effects

SECRETS = frozenset({"token", "secret", "code"})  # fields whose values a dry run does not show: they would never work
# Fields that say what was done, and what people read in a dry run.
CONDITIONAL = {word: f"would be {word}" for word in ("deleted", "stored", "removed")}


class DryRunOutput(Output):
    """Shows that nothing was changed: in each row, and with what the dry run counted beside an object.

    `effects` are those of a run whose transactions are rolled back. `phrases`, like "delete model 'credit'", say what a
    command would do that counts by itself in place of running. `own_phrases`: what a command calls changes of a table.
    `is_creating`: ids are those of new objects, which get others when they are created.
    """

    def __init__(self, output: Output, effects: "Effects | None" = None, *, is_creating: bool = False) -> None:
        super().__init__(output.format, quiet=output.quiet, fields=output.fields, color=output.color)
        self.effects, self.phrases, self.own_phrases = effects, list[str](), dict[tuple[str, str], str]()
        self._hidden = SECRETS | {"id"} if is_creating else SECRETS

    @property
    def sentence(self) -> str:
        """Return what would be done, in a sentence."""
        from dcmon.commands.views import effects as view

        return view.sentence(self.phrases if self.effects is None else view.phrases(self.effects, self.own_phrases))

    def table(self, rows: Sequence[Row], columns: Any, **more: Any) -> None:
        super().table([self._marked(row) for row in rows], _headed(columns), **more)

    def page(self, page: Page) -> None:
        from dcmon.commands.views import effects as view

        if isinstance(page.data, Mapping):
            counted = {} if self.effects is None else {"effects": view.data(self.effects)}
            data: Any = {**self._marked(page.data), **counted}
        else:
            data = [self._marked(row) for row in page.data]
        parts = [self._marked_part(part) for part in page.parts]
        # After a run that is rolled back, remarks say what to do after the change.
        super().page(Page(data, parts, page.remarks if self.effects is None else (), self._names(page)))

    def _names(self, page: Page) -> Sequence[str] | None:
        """Return what -o name shows: of a new object without a name nothing, because its id is not known yet."""
        rows = [page.data] if isinstance(page.data, Mapping) else page.data
        if page.names is not None or not any(next(iter(row), None) in self._hidden for row in rows):
            return page.names
        return [str(row["name"]) for row in rows if "name" in row]

    def _marked_part(self, part: Part) -> Part:
        if isinstance(part, Table):
            return replace(part, columns=_headed(part.columns))
        if not isinstance(part, Fields):
            return part
        row = {CONDITIONAL.get(key, key): value for key, value in self._marked(part.row).items()}
        return Fields(row, part.none)

    def _marked(self, row: Row) -> Row:
        return {"dry_run": True, **{key: value for key, value in row.items() if key not in self._hidden}}


def _headed(columns: "Sequence[str] | Mapping[str, str]") -> "Sequence[str] | Mapping[str, str]":
    """Return columns with headings that say what would be done."""
    headings = columns if isinstance(columns, Mapping) else dict.fromkeys(columns, "")
    return {column: heading or CONDITIONAL.get(column, "") for column, heading in headings.items()}


def would(output: Output, *phrases: str) -> None:
    """Note what a dry run would do, for its sentence: "delete 3 rows". Without a dry run nothing happens."""
    if isinstance(output, DryRunOutput):
        output.phrases += [phrase for phrase in phrases if phrase]


def changes_are(output: Output, table: str, phrase: str) -> None:
    """Note what a command does to the rows of a table that it changes, for the sentence of a dry run: "end {}"."""
    if isinstance(output, DryRunOutput):
        output.own_phrases[table, "changed"] = phrase
