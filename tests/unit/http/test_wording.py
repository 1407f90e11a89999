"""Error messages for clients that have no command line."""

import importlib

import pytest

from dcmon import errors
from dcmon.http import api, wording

PATHS = {
    f"{method} {prefix}{route.path}"
    for prefix, router in api.routers()
    for route in router.routes
    for method in getattr(route, "methods", ())
}


@pytest.mark.parametrize(("command", "route"), wording.ROUTES.items())
def test_route_in_place_of_a_command_exists(command: str, route: str) -> None:
    group, name = command.split()
    app = importlib.import_module(f"dcmon.commands.{group}").app
    assert name in {entry.name or entry.callback.__name__ for entry in app.registered_commands}
    shapes = {"{id}" if "{" in part else part for part in route.split("/")}
    assert any(
        {"{id}" if "{" in part else part for part in path.split("/")} == shapes
        for path in PATHS
        if path.split()[0] == route.split()[0]
    )


def test_message_names_routes_for_clients() -> None:
    assert wording.for_clients(str(errors.ReceiverNotFound(name=7))) == (
        'There is no receiver 7. "GET /api/v1/alert-webhooks" lists the receivers.'
    )
    assert '"GET /api/v1/models/{id}/versions"' in wording.for_clients(str(errors.VersionNotFound(name="v", model="m")))
    assert wording.for_clients('Type "dcmon migrate" or "dcmon prune --dry-run".').count("dcmon") == 2
