"""Plain web pages: no script, nothing from another server, every text escaped."""

import html
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastapi.responses import HTMLResponse

SAFE_HEADERS = {"content-security-policy": "default-src 'none'; style-src 'unsafe-inline'", "cache-control": "no-store"}
NO_PAGE = "dcmon has no page here. Its API is at /api/v1, and the pages /configuration/models and\
 /configuration/alert-rules show models and alert rules."


def page(title: str, body: str, status: int = 200, headers: dict[str, str] | None = None) -> HTMLResponse:
    """Return a page. `body` is HTML: its texts are escaped already."""
    content = (
        f"<!doctype html><html lang='en'><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<body style='font-family:sans-serif;max-width:60em;margin:2em auto'>{body}</body></html>"
    )
    return HTMLResponse(content, status, {**SAFE_HEADERS, **(headers or {})})


class Link(NamedTuple):
    """A cell that leads to another page. `path`: of this server."""

    text: str
    path: str


def table(title: str, rows: Sequence[Sequence[Any]], heads: Sequence[str] = ()) -> str:
    """Return the HTML of a table with a title; empty without rows. `heads`: of its columns, if they need any."""
    lines = (
        "<tr>" + "".join(f"<td style='padding-right:1em'>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    head = f"<tr>{''.join(f'<th align=left>{html.escape(name)}</th>' for name in heads)}</tr>" if heads else ""
    return f"<h3>{html.escape(title)}</h3><table>{head}{''.join(lines)}</table>" if rows else ""


def _cell(cell: Any) -> str:
    if isinstance(cell, Link):
        return f'<a href="{html.escape(cell.path)}">{html.escape(cell.text)}</a>'
    return html.escape("" if cell is None else str(cell))


def log_in(org: str | None, hint: str) -> HTMLResponse:
    """Return a 401, so that a browser asks for a password. `hint`: what else a person can do.

    A browser keeps passwords by realm, so each organization has its own realm.
    """
    realm = re.sub("[^A-Za-z0-9 _.-]", "", f"dcmon {org or ''}").strip()
    return page("Log in", f"<p>{html.escape(hint)}</p>", 401, {"www-authenticate": f'Basic realm="{realm}"'})


def not_found() -> HTMLResponse:
    """Return the page for a path that leads nowhere."""
    return page("Not found", f"<p>{html.escape(NO_PAGE)}</p>", 404)
