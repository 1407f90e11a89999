"""E-mail with a password, sent by the worker that `dcmon up` starts."""

import base64
import json
from dataclasses import replace
from pathlib import Path

from tests.helpers.installed import Dcmon
from tests.helpers.waiting import eventually
from tests.integration.notifications.test_integrations import mail_server

PASSWORD = 's3cret, "with" $igns and spaces'


def test_mail_with_a_password_is_sent_by_the_worker(dcmon: Dcmon, data_dir: Path) -> None:
    """The worker logs in with the password of the settings, though the command has none of these settings."""
    with mail_server() as server:
        smtp = {
            "HOST": "127.0.0.1", "PORT": str(server.port), "SECURITY": "none", "USERNAME": "dcmon",
            "PASSWORD": PASSWORD, "SENDER": "dcmon@acme.example",
        }  # fmt: skip
        mailing = replace(dcmon, settings={f"DCMON_SMTP__{name}": value for name, value in smtp.items()})
        started = mailing("up")
        assert started.returncode == 0, started.stderr
        assert dcmon("org", "create", "acme").returncode == 0
        added = dcmon("receiver", "create", "mail", "ann@acme.example", "--kind", "email")
        assert added.returncode == 0, added.stderr

        assert eventually(lambda: dcmon("receiver", "test", "mail").returncode == 0, every=1)

        log_ins = [base64.b64decode(line.split()[2]) for line in server.lines if line.startswith("AUTH PLAIN ")]
        assert set(log_ins) == {f"\0dcmon\0{PASSWORD}".encode()}
        assert "To: ann@acme.example" in server.mails[-1]
        assert json.loads(dcmon("-o", "json", "receiver", "test", "mail", "--here").stdout)["delivered"] is False
    assert PASSWORD not in "".join(path.read_text() for path in (data_dir / "logs").iterdir())
