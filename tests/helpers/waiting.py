"""Waiting for a fact instead of for a time."""

from collections.abc import Callable

from dcmon.embedded.process import wait_until

PATIENCE = 300.0  # seconds: with four busy loops beside it a test may take ten times as long as alone


def eventually(is_true: Callable[[], bool], every: float = 0.05) -> bool:
    """Wait until something is true, however busy the machine is; False if it is not after PATIENCE seconds."""
    return wait_until(is_true, PATIENCE, every=every)
