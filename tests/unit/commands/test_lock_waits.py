"""Commands that wait for locks: which of them give up, and what they say."""

from types import SimpleNamespace

from dcmon.app import App
from dcmon.commands.shared import arguments
from dcmon.db import lock_waits
from tests.helpers.command_tree import leaves


def test_only_commands_that_read_give_up_on_a_lock() -> None:
    """A change may wait as long as its operator likes; a process that serves must never give up."""
    limited = set()
    for name, command in leaves().items():
        context = SimpleNamespace(command=command, command_path=f"dcmon {name}", obj=App(), params={})
        arguments._limit_waits(context)
        if context.obj.lock_wait is not None:
            limited.add(name)
    assert {
        "alert list",
        "alert show",
        "monitor history",
        "export",
        "plan",
        "report",
        "rule backtest",
        "migrate status",
    } <= limited
    assert not {"serve", "up", "worker start", "demo", "wait", "apply", "rule set", "migrate", "prune"} & limited


def test_work_of_dcmon_itself_is_not_to_be_ended() -> None:
    """Who ends a migration halfway, because another command waits for it, has more to mend than before."""
    migration = lock_waits._sentence(7, "dcmon 0.1.0 (Python 3.11)", "active", None, None)
    assert "pg_terminate_backend" not in migration
    assert "the wait is over when its work is done" in migration
    assert "pg_terminate_backend(7)" in lock_waits._sentence(7, "psql", "idle in transaction", None, None)
