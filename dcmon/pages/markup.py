"""Pieces of HTML. A text becomes HTML only here, where MarkupSafe escapes it; what is Markup already stays."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime

from markupsafe import Markup, escape

from dcmon.formatting import format_number, format_time

__all__ = ["Markup", "escape"]

Cell = object  # a text, a number or a time, which is escaped; Markup stays
NOTHING = Markup("")
EMPTY = "–"
# Characters that would turn the direction of the text after them: names show them as terminals do.
DIRECTIONS = {code: f"\\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))}


def joined(parts: Iterable[Cell], separator: str = "") -> Markup:
    """Return parts one after another, each escaped."""
    return Markup(escape(separator).join(escape(part) for part in parts))


def element(tag: str, content: Cell, style: str = "") -> Markup:
    """Return an element with a class, or without one."""
    # Joined as text, because a page has thousands of elements, and Markup.format takes four times as long.
    css = f' class="{escape(style)}"' if style else ""
    return Markup(f"<{tag}{css}>{escape(content)}</{tag}>")


def link(text: Cell, address: str | None, style: str = "") -> Markup:
    """Return a link; without an address only its text."""
    if address is None:
        return escape(text)
    css = Markup(' class="{}"').format(style) if style else NOTHING
    return Markup('<a href="{}"{}>{}</a>').format(address, css, text)


def badge(label: str, style: str) -> Markup:
    """Return a word in the color of a severity or a state. The word says all: the color only repeats it."""
    return element("span", label, f"badge {style.lower().replace(' ', '-')}")


def number(value: float | str | None) -> Markup:
    """Return a number with four significant digits; a text as it is."""
    return element("span", value if isinstance(value, str) else format_number(value), "number")


def share(value: float | None) -> Markup:
    """Return a share in percent."""
    return number(EMPTY if value is None else f"{100 * value:.3g} %")


def moment(time: datetime | None) -> Markup:
    """Return a time in UTC."""
    if time is None:
        return escape(EMPTY)
    time = time.astimezone(UTC)
    return Markup(f'<time datetime="{time:%Y-%m-%dT%H:%M}Z">{escape(format_time(time))}</time>')


def fields(entries: Mapping[str, Cell]) -> Markup:
    """Return names with their values. A value that is None or an empty text is left out."""
    shown = [(name, value) for name, value in entries.items() if value is not None and value != ""]
    return element("dl", joined(Markup("<div><dt>{}</dt><dd>{}</dd></div>").format(*entry) for entry in shown))


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[Cell]],
    caption: str = "",
    *,
    stacks: bool = False,
    short: Sequence[str] = (),
) -> Markup:
    """Return a table that scrolls in itself where it is wider than the page. Its first column names the row.

    `stacks`: on a phone its cells are one below the other, with the heads of their columns, or with the
    `short` ones.
    """
    title = Markup('<caption class="hidden">{}</caption>').format(caption) if caption else NOTHING
    head = joined(Markup('<th scope="col">{}</th>').format(name) for name in heads)
    body = joined(_row(row, (short or heads[1:]) if stacks else ()) for row in rows)
    style = Markup(' class="stacks"') if stacks else NOTHING
    return Markup(
        '<div class="scroll" tabindex="0" role="region" aria-label="{}"><table{}>{}<thead><tr>{}</tr></thead>'
        "<tbody>{}</tbody></table></div>"
    ).format(caption or "Table", style, title, head, body)


def _row(row: Sequence[Cell], labels: Sequence[str]) -> Markup:
    first, *others = (EMPTY if cell is None or cell == "" else cell for cell in row)
    head = Markup(f'<th scope="row">{escape(first)}</th>')
    if not labels:
        return element("tr", head + joined(element("td", cell) for cell in others))
    pairs = zip(labels, others, strict=True)
    cells = (Markup(f'<td data-label="{escape(label)}">{escape(cell)}</td>') for label, cell in pairs)
    return element("tr", head + joined(cells))


def details(summary: Cell, content: Cell) -> Markup:
    """Return content that a reader opens."""
    return Markup("<details><summary>{}</summary>{}</details>").format(summary, content)


def items(lines: Iterable[Cell]) -> Markup:
    """Return a list; nothing without lines."""
    shown = [element("li", line) for line in lines]
    return element("ul", joined(shown)) if shown else NOTHING


def paragraph(text: Cell, style: str = "") -> Markup:
    """Return a paragraph."""
    return element("p", text, style)


def section(title: Cell, content: Cell, anchor: str = "") -> Markup:
    """Return a section with a heading."""
    mark = Markup(' id="{}"').format(anchor) if anchor else NOTHING
    return Markup("<section{}><h2>{}</h2>{}</section>").format(mark, title, content)


def form_button(label: str, action: str) -> Markup:
    """Return a button that posts an empty form."""
    return Markup('<form method="post" action="{}"><button>{}</button></form>').format(action, label)
