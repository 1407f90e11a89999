"""Generated files: their text, or where they were written."""

from typing import TYPE_CHECKING

from dcmon.output import Document, Page, Part, Table

if TYPE_CHECKING:
    from dcmon.commands.operations.generate import Generated


def files(generated: "Generated") -> Page:
    """Show the files as they are, one below the other; or list those that were written."""
    if generated.written:
        rows = [{"file": path, "bytes": path.stat().st_size} for path in generated.written]
        return Page(rows, [Table(rows, ["file", "bytes"])])
    data = [{"file": name, "content": text} for name, text in generated.files.items()]
    several = len(generated.files) > 1
    texts = [f"# {name}\n{text}\n" if several else text for name, text in generated.files.items()]
    parts: list[Part] = [Document("".join(texts))]
    return Page(data, parts)
