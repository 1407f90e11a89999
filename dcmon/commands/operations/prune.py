"""Prune organizations after a confirmation."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dcmon.commands.shared.dry_run_output import would
from dcmon.commands.views import prune as view
from dcmon.jobs import prune as job

if TYPE_CHECKING:
    from dcmon.app import App
    from dcmon.jobs.prune import Pruned


@dataclass(frozen=True)
class PruneRequest:
    """How to prune. `by` is recorded as the operator; `is_fast` omits the pauses; a dry run only counts."""

    by: str
    is_fast: bool
    is_dry_run: bool


def prune(app: "App", request: PruneRequest, confirm: Callable[[str], None]) -> "list[Pruned]":
    """Delete the rows past their retention, after `confirm(question)` if there are any.

    Raises the error of the first organization if all were skipped.
    """
    orgs = app.organizations()
    pruned = job.count_expired(app, orgs)
    would(app.output, *view.phrases(pruned))
    if not request.is_dry_run:
        if (question := view.question(pruned)) is not None:
            confirm(question)
        pruned = job.prune(app, orgs, request.by, is_fast=request.is_fast) or pruned
    skipped = [result.skipped for result in pruned if result.skipped is not None]
    if skipped and len(skipped) == len(pruned):
        raise skipped[0]
    return pruned
