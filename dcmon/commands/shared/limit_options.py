"""The options of `org set`, parsed into one value."""

from typing import Annotated

import typer

from dcmon.commands.shared.option_groups import option_group
from dcmon.nearest import meant


def _limit(help_text: str) -> typer.models.OptionInfo:
    option: typer.models.OptionInfo = typer.Option(metavar="N|none", show_default=False, help=help_text)
    return option


Limit = str | None
Rate = Annotated[Limit, _limit("Limit for one minute.")]
Models = Annotated[Limit, _limit("Most models.")]
Versions = Annotated[Limit, _limit("Most versions of one model.")]
Monitors = Annotated[Limit, _limit("Most monitors of all models.")]
Rules = Annotated[Limit, _limit("Most alert rules of all monitors.")]
Receivers = Annotated[Limit, _limit("Most receivers of notifications.")]
Tokens = Annotated[Limit, _limit("Most tokens that are neither revoked nor expired.")]
Users = Annotated[Limit, _limit("Most members of the organization.")]


def _parse_limits(
    samples_per_minute: Rate = None,
    labels_per_minute: Rate = None,
    sample_bytes_per_minute: Rate = None,
    label_bytes_per_minute: Rate = None,
    max_models: Models = None,
    max_versions_per_model: Versions = None,
    max_monitors: Monitors = None,
    max_rules: Rules = None,
    max_receivers: Receivers = None,
    max_tokens: Tokens = None,
    max_users: Users = None,
) -> dict[str, int | None]:
    """Return the limits that were given; None: no limit. Raises BadParameter."""
    typed = dict(locals())
    return {name: _parse_limit(name, text) for name, text in typed.items() if text is not None}


def _parse_limit(option: str, text: str) -> int | None:
    """Parse a limit; "none" becomes None. Raises BadParameter."""
    if text == "none":
        return None
    try:
        return int(text)
    except ValueError as error:
        hint = "--" + option.replace("_", "-")
        raise typer.BadParameter(
            f"{text!r} is neither a whole number nor none.{meant(text, ['none'])}", param_hint=hint
        ) from error


organization_limits = option_group("limits", _parse_limits)
