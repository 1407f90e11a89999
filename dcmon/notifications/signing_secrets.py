"""The secrets that sign messages of webhooks, as texts: whsec_ and base64, as Standard Webhooks says."""

import base64

from dcmon import errors

PREFIX = "whsec_"
FEWEST_BYTES, MOST_BYTES = 24, 64  # the bounds of Standard Webhooks


def to_text(secret: bytes) -> str:
    """Return a secret as text; empty where messages are not signed."""
    return PREFIX + base64.b64encode(secret).decode() if secret else ""


def parse(text: str) -> bytes:
    """Return the bytes of a secret. Raises InvalidInput, without the text."""
    try:
        secret = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except ValueError as error:
        raise errors.InvalidInput(f"A signing secret is {PREFIX} and base64.") from error
    if not FEWEST_BYTES <= len(secret) <= MOST_BYTES:
        raise errors.InvalidInput(f"A signing secret has {FEWEST_BYTES} to {MOST_BYTES} bytes, not {len(secret)}.")
    return secret
