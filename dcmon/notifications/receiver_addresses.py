"""Addresses of stored receivers, which may be encrypted with a key that this process does not have."""

from collections.abc import Mapping
from typing import Any

from dcmon import errors
from dcmon.db.tables.org import Webhook
from dcmon.notifications.integrations import registry
from dcmon.notifications.integrations.base import StoredAddress

UNREADABLE = "(encrypted with a key that is missing: see DCMON_SECRET_KEYS)"


def shown(receiver: Webhook) -> str:
    """Return a receiver's address without its secrets; UNREADABLE where it can't be decrypted."""
    try:
        return registry.find(receiver.kind).display_address(receiver.url, receiver.options)
    except errors.SecretUnreadable:
        return UNREADABLE


def shown_options(receiver: Webhook) -> Mapping[str, Any]:
    """Return a receiver's options without addresses and arguments; none where they can't be decrypted."""
    try:
        return {key: value for key, value in receiver.options.items() if key not in ("argv", "to")}
    except errors.SecretUnreadable:
        return {}


def readable(receiver: Webhook) -> StoredAddress:
    """Return the address of a receiver; an empty one where it can't be decrypted, so that it can be entered again."""
    try:
        return StoredAddress(receiver.url, receiver.options, receiver.credentials)
    except errors.SecretUnreadable:
        return StoredAddress()
