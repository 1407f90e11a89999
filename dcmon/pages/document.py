"""A page as an HTML document: with links to style and scripts of the endpoint, or with both inside, as one file."""

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from markupsafe import Markup

from dcmon.pages import charts
from dcmon.pages.charts import Figure
from dcmon.pages.markup import DIRECTIONS, NOTHING, escape, joined, link

STYLES = ("uplot/uPlot.min.css", "page.css")
SCRIPTS = ("uplot/uPlot.iife.min.js", "page.js")
MEDIA_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8"}
ICON = "data:,"  # otherwise browsers ask the server for /favicon.ico
LIVE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none';"
    " frame-ancestors 'none'"
)


class Crumb(NamedTuple):
    """A page above this one."""

    text: str
    address: str


@dataclass(frozen=True)
class Page:
    """A page. `figures`: what its charts draw, in the order of their numbers. `banner`: beside the crumbs."""

    title: str
    body: Markup
    figures: Sequence[Figure] = ()
    crumbs: Sequence[Crumb] = ()
    banner: Markup = NOTHING


def live(page: Page) -> str:
    """Return the document of a page of the endpoint."""
    styles = joined(Markup('<link rel="stylesheet" href="{}">').format(asset_path(name)) for name in STYLES)
    scripts = joined(Markup('<script src="{}" defer></script>').format(asset_path(name)) for name in SCRIPTS)
    return _document(page, styles + (scripts if page.figures else NOTHING), NOTHING)


def offline(page: Page) -> str:
    """Return the document of a page that needs no network: 80 kB, and what its figures and tables take."""
    styles = [_text(name) for name in STYLES]
    scripts = [f"/*!\n{_text('uplot/LICENSE')}*/\n{_text(SCRIPTS[0])}", _text(SCRIPTS[1])]
    policy = Markup('<meta http-equiv="content-security-policy" content="{}">').format(
        f"default-src 'none'; img-src data:; base-uri 'none'; form-action 'none';"
        f" script-src {_hashes(scripts)}; style-src {_hashes(styles)}"
    )
    head = policy + joined(Markup(f"<style>{style}</style>") for style in styles)
    return _document(page, head, joined(Markup(f"<script>{script}</script>") for script in scripts))


def _document(page: Page, head: Markup, end: Markup) -> str:
    crumbs = joined((link(crumb.text, crumb.address) for crumb in page.crumbs), " / ")
    figures = Markup('<script type="application/json" id="figures">{}</script>').format(
        Markup(charts.figures_json(page.figures))
    )
    hint = Markup(
        '<noscript><p class="none">Charts need JavaScript; the tables are complete without it.</p></noscript>'
    )
    text = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<title>{escape(page.title)}</title>\n<link rel="icon" href="{ICON}">\n{head}\n</head>\n<body>\n'
        '<a class="skip" href="#main">To the content</a>\n'
        f'<header><nav aria-label="Breadcrumbs">{crumbs}</nav>{page.banner}</header>\n'
        f'<main id="main">\n{page.body}\n{hint if page.figures else ""}</main>\n'
        f"{figures if page.figures else ''}{end if page.figures else ''}\n</body>\n</html>\n"
    )
    return text.translate(DIRECTIONS)


@cache
def _text(name: str) -> str:
    return files("dcmon.pages").joinpath(name).read_text(encoding="utf-8")


def _hashes(contents: Sequence[str]) -> str:
    digests = (base64.b64encode(hashlib.sha256(content.encode()).digest()).decode() for content in contents)
    return " ".join(f"'sha256-{digest}'" for digest in digests)


def asset_path(name: str) -> str:
    """Return the path of a style or script, which changes with its content, so that browsers may store it."""
    return f"/pages/{hashlib.sha256(_text(name).encode()).hexdigest()[:12]}/{name.rpartition('/')[2]}"


@cache
def assets() -> dict[str, tuple[str, str]]:
    """Return the media type and the content of each style and script, by path."""
    return {asset_path(name): (MEDIA_TYPES[f".{name.rpartition('.')[2]}"], _text(name)) for name in (*STYLES, *SCRIPTS)}
