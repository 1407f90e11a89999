"""Which failed attempts reached the receiver, and which fail again with the same settings."""

import pytest

from dcmon.notifications import attempt


@pytest.mark.parametrize(
    ("status", "error", "is_refusal", "is_permanent"),
    [
        (500, "The receiver answered 500.", True, False),
        (403, "The receiver answered 403.", True, True),
        (None, "The command ended with exit code 1: no.", True, False),
        (None, "The command was killed by signal 9.", True, False),
        (None, "The command can't be started: No such file or directory.", False, False),
        (None, "The command did not end within 10 s and was killed.", False, False),
        (None, "The mail server: 550 5.7.1 Relaying denied", True, True),
        (None, "The mail server: 421 Try again later", True, False),
        (None, "The mail server: it refused ann@acme.example (550 No such user)", True, True),
        (None, "The mail server refused ann@acme.example (451 Greylisted).", True, False),
        (None, "The mail server: [Errno 111] Connection refused", False, True),
        (None, "The mail server: timed out", False, False),
        (None, None, False, False),
    ],
)
def test_failure_is_a_refusal_or_not_and_lasts_or_not(
    status: int | None, error: str | None, is_refusal: bool, is_permanent: bool
) -> None:
    assert attempt.is_refusal(status, error) == is_refusal
    assert attempt.is_permanent(status, error) == is_permanent
