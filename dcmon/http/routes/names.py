"""Names of models and versions in paths. The SDK does not percent-encode them, so a path may hold any text."""

from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.routing import Match

from dcmon import errors
from dcmon.http.guard import GuardedRoute

BY_VERSION = "/model-versions/"
# The ends of routes of a model: a name that ends so would be taken for them.
TAKEN_ENDS = frozenset(
    {"auto-frequency", "checks", "columns", "data-ingestion", "data-ingestion-alert-rules", "defaults", "members",
     "monitors-set-schedule-time", "notes", "version", "versions"}
)  # fmt: skip


class NameRoute(GuardedRoute):
    """A route whose path ends with a name that may have slashes: only for requests with identifier_kind=name."""

    def matches(self, scope: Any) -> tuple[Match, Any]:
        """Return no match without identifier_kind=name, so that other paths get their 404 and 405."""
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        return super().matches(scope) if query.get("identifier_kind") == ["name"] else (Match.NONE, {})


def require_reachable(what: str, name: str) -> None:
    """Check that clients which put a name into a path as it is can reach the object. Raises Unprocessable."""
    problem = _problem(name)
    if problem is not None:
        raise errors.Unprocessable(
            f"The {what} can't be called {name[:60]!r}: {problem}, and the SDK could never reach it by its name."
            " Choose another name."
        )


def _problem(name: str) -> str | None:
    segments = name.split("/")
    if sign := next((sign for sign in "?#" if sign in name), None):
        return f"in a URL, the path ends at {sign!r}"
    if unquote(name) != name:
        return "in a URL, % and two hexadecimal digits mean another character"
    if {".", ".."} & {*segments}:
        return "in a URL, the segments . and .. are removed"
    if "" in segments:
        return "in a URL, a segment between slashes is not empty"
    if _is_path_of_route(name, segments):
        return "its path is that of another route"
    return None


def _is_path_of_route(name: str, segments: list[str]) -> bool:
    """Return whether another route would take the path: it would even delete a check when a model is meant."""
    if segments[-1] in TAKEN_ENDS and (len(segments) > 1 or name == "data-ingestion"):
        return True
    return BY_VERSION in f"/{name}/" or (len(segments) == 3 and segments[1] == "checks")
