"""The e-mail with an invitation to an organization."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime, formataddr, localtime

from dcmon.formatting import printable
from dcmon.settings import Smtp

TEXT = """\
{inviter} invites you to the organization {org} of dcmon, which watches machine-learning models.

Open {url}/invitation and enter this code until {until:%Y-%m-%d %H:%M} UTC. It works once:

    {code}

If you do not expect this e-mail, do nothing: the code expires.
"""


@dataclass(frozen=True)
class InvitationEmail:
    """What the e-mail says."""

    to: str
    inviter: str
    org: str
    code: str
    until: datetime
    url: str


def send(smtp: Smtp, invitation: InvitationEmail, timeout: timedelta) -> str | None:
    """Send an invitation. Return None, or why the mail server did not take it."""
    from dcmon.notifications import smtp_delivery

    email = EmailMessage()
    email["Subject"] = f"Invitation to {invitation.org}"
    email["From"] = formataddr(("dcmon", smtp.sender)) if "<" not in smtp.sender else smtp.sender
    email["To"] = invitation.to
    email["Date"] = format_datetime(localtime())
    email.set_content(TEXT.format(**vars(invitation)))
    try:
        refused = smtp_delivery.hand_over(smtp, email, timeout.total_seconds())
    except smtp_delivery.FAILURES as error:
        return printable(f"The mail server: {smtp_delivery.describe_error(error)}", keeps_lines=False)
    return f"The mail server refused {smtp_delivery.describe_refusals(refused)}." if refused else None
