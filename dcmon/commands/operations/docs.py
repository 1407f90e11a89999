"""Read the pages of the documentation: from the wheel, or from the repository."""

import re
from pathlib import Path

from dcmon import errors
from dcmon.output import Markdown, Page, Table

PACKAGE = Path(__file__).parents[2]
COMMENT = re.compile(r"<!--.*?-->\n?", re.DOTALL)  # for tests that follow a page
HEADING = re.compile(r"^(#+) (.*)$", re.MULTILINE)
CODE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)  # a comment of a shell is no heading


def directory() -> Path:
    """Return where the pages are."""
    return next(path for path in (PACKAGE / "docs", PACKAGE.parent / "docs") if (path / "README.md").is_file())


def names() -> list[str]:
    """Return the names of the pages."""
    return sorted(path.stem for path in directory().glob("*.md") if path.stem != "README")


def show(typed: str | None) -> Page:
    """Show a page, or a section of it; without a name, list the pages. Raises UnknownChoice."""
    return pages() if typed is None else page(typed)


def pages() -> Page:
    """Show the pages with their titles."""
    rows = [{"page": name, "title": _title(_text(name))} for name in names()]
    return Page(rows, [Table(rows, ["page", "title"], unfolded=["page"])], ['"dcmon docs PAGE" shows a page.'])


def page(typed: str) -> Page:
    """Show a page, or the section of it after a #. Raises UnknownChoice."""
    name, _, section = typed.partition("#")
    name = name.removeprefix("docs/").removesuffix(".md")
    if name not in names():
        raise errors.UnknownChoice("page", name, names())
    text = _text(name)
    shown = _section(text, name, section) if section else text
    return Page({"page": name, "title": _title(text), "text": shown}, [Markdown(shown)])


def sections(name: str) -> list[str]:
    """Return the sections of a page, as they are written after a #."""
    return [anchor(heading[2]) for heading in _headings(_text(name))]


def anchor(heading: str) -> str:
    """Return what a link to a heading ends in: words with - between them."""
    words = "".join(sign for sign in heading.lower() if sign.isalnum() or sign in " -_")
    return words.strip().replace(" ", "-")


def _text(name: str) -> str:
    return COMMENT.sub("", (directory() / f"{name}.md").read_text(encoding="utf-8"))


def _title(text: str) -> str:
    return text.partition("\n")[0].removeprefix("# ")


def _headings(text: str) -> list[re.Match[str]]:
    blocks = [block.span() for block in CODE.finditer(text)]
    return [
        heading
        for heading in HEADING.finditer(text)
        if not any(start <= heading.start() < end for start, end in blocks)
    ]


def _section(text: str, name: str, section: str) -> str:
    headings = _headings(text)
    first = next((heading for heading in headings if anchor(heading[2]) == section.lower()), None)
    if first is None:
        raise errors.UnknownChoice(f"section of page {name!r}", section, [anchor(heading[2]) for heading in headings])
    after = (other.start() for other in headings if other.start() > first.start() and len(other[1]) <= len(first[1]))
    return text[first.start() : next(after, len(text))].rstrip() + "\n"
