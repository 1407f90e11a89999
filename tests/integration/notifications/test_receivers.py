"""Changes of one receiver by two operators at once."""

from concurrent.futures import ThreadPoolExecutor

from dcmon.app import App
from dcmon.commands.operations import receiver as operation
from dcmon.notifications import receivers, signing_secrets
from dcmon.settings import Webhooks
from tests.helpers.waiting import eventually, is_waiting_for_a_lock
from tests.integration.conftest import Target


def test_two_rotations_at_once_keep_the_secret_between(app: App, target: Target) -> None:
    """The second rotation must keep the secret of the first as the old one: the receiver may have it already."""
    with app.org(target.org) as session:
        receivers.add(session, "team", "https://hooks.example.org/x", Webhooks())
    with ThreadPoolExecutor(1) as pool:
        with app.org(target.org) as session:
            first = receivers.rotate_secret(session, receivers.find(session, "team", is_locked=True))
            second = pool.submit(operation.rotate_secret, app, "team")
            assert eventually(lambda: is_waiting_for_a_lock(target.engine))
        rotated = second.result(300)
    with app.org(target.org) as session:
        stored = receivers.find(session, "team")
        assert stored.old_secret is not None
        assert signing_secrets.to_text(stored.old_secret) == first
        assert signing_secrets.to_text(stored.secret) == rotated["secret"]
