"""Sentences for clients of the endpoint, who have no command line: routes in place of dcmon's commands."""

import re

# What an error advises to type, and the route that does the same. Other commands are for an operator only.
ROUTES = {
    "alert list": "GET /api/v1/alert-rules/{id}/alerts",
    "member list": "GET /api/v1/organization/members",
    "model create": "POST /api/v1/models",
    "model list": "GET /api/v1/available-models",
    "model show": "GET /api/v1/models/{id}/versions",
    "monitor list": "GET /api/v1/dashboards",
    "org show": "GET /api/v1/organization",
    "receiver create": "POST /api/v1/alert-webhooks",
    "receiver delete": "DELETE /api/v1/alert-webhooks/{id}",
    "receiver list": "GET /api/v1/alert-webhooks",
    "receiver set": "PUT /api/v1/alert-webhooks/{id}",
    "receiver test": "POST /api/v1/alert-webhooks/{id}/test",
    "reference load": "POST /api/v1/model-versions/{id}/reference",
    "rule create": "POST /api/v1/monitors/{id}/alert-rules",
    "rule list": "GET /api/v1/alert-rules",
    "rule set": "PUT /api/v1/alert-rules/{id}",
    "token list": "GET /api/v1/tokens",
    "version list": "GET /api/v1/models/{id}/versions",
}
_COMMAND = re.compile(r'"dcmon ([a-z-]+ [a-z-]+)( [^"]*)?"')


def for_clients(message: str) -> str:
    """Return an error message with routes in place of the commands that do the same."""
    return _COMMAND.sub(lambda command: f'"{ROUTES[command[1]]}"' if command[1] in ROUTES else command[0], message)
