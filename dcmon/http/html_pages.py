"""Plain web pages: no script, nothing from another server, every text escaped."""

import html

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


def not_found() -> HTMLResponse:
    """Return the page for a path that leads nowhere."""
    return page("Not found", f"<p>{html.escape(NO_PAGE)}</p>", 404)
