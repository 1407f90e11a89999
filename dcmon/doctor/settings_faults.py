"""Faults of the settings of this process."""

import re
from collections.abc import Iterator
from pathlib import Path

from dcmon.doctor.faults import Fact, Part, fault
from dcmon.doctor.installation import Installation
from dcmon.embedded import supervisor_state
from dcmon.errors import ServerPackagesMissing
from dcmon.health import running_settings
from dcmon.settings import origins
from dcmon.severity import Severity

SUBJECT = re.compile(r"(?:^|[.?] )(DCMON_\w+)(?= )")  # the variable that a sentence is about, not the one that is meant


@fault("setting-unusable", "A setting can't be used", Part.SETTINGS, Severity.CRITICAL)
def unusable(installation: Installation) -> Iterator[Fact]:
    """Unknown names, values of the wrong type, and a .env that can't be read: no process of dcmon starts."""
    if installation.refusal is not None:
        sentence = str(installation.refusal)
        names = dict.fromkeys(SUBJECT.findall(sentence))
        if names:
            command = f"dcmon config show {' '.join(names)} --origin"
        else:
            is_in_profile = "profile" in sentence or not Path(".env").exists()
            command = "dcmon profile list" if is_in_profile else f"grep -an DCMON_ {Path('.env').absolute()}"
        yield Fact(sentence, command)


@fault("setting-old-name", "A setting has its old name", Part.SETTINGS, Severity.LOW)
def old_names(installation: Installation) -> Iterator[Fact]:
    """Old names still work, and a later release may not read them."""
    for name, origin in origins().items():
        if ", as " in origin and installation.settings is not None:
            place, _, old_name = origin.rpartition(", as ")
            sentence = f"{place} sets {old_name}, whose name is {name} now."
            yield Fact(sentence, f"dcmon config show {name} --origin")


@fault("secret-key-unusable", "A key for secrets can't be used", Part.SETTINGS, Severity.CRITICAL)
def unusable_key(installation: Installation) -> Iterator[Fact]:
    """A key that is not 32 bytes in base64, a key file without a key, or no package that decrypts."""
    if installation.settings is not None and (error := installation.key_error) is not None:
        is_uninstalled = isinstance(error, ServerPackagesMissing)
        yield Fact(
            str(error), "dcmon docs install" if is_uninstalled else "dcmon config show DCMON_SECRET_KEYS --origin"
        )


@fault("health-org-missing", "dcmon's own problems are notified to no receiver", Part.SETTINGS, Severity.LOW)
def no_health_org(installation: Installation) -> Iterator[Fact]:
    """With a dead man's switch, somebody is on call: they want to know more than that the pings stop."""
    settings = installation.settings
    if settings is not None and settings.ping.url is not None and settings.health.org is None:
        sentence = "DCMON_PING__URL is set, and DCMON_HEALTH__ORG is not: problems of dcmon reach no receiver."
        yield Fact(sentence, "export DCMON_HEALTH__ORG=ORG")


@fault("settings-differ", "The running dcmon has other settings than this shell", Part.SETTINGS, Severity.MEDIUM)
def different_settings(installation: Installation) -> Iterator[Fact]:
    """What is tried from this shell, for example a receiver, is not what the processes of `dcmon up` do."""
    if installation.settings is None:
        return
    difference = running_settings.compare(installation.settings, supervisor_state.read(installation.settings))
    if difference is not None:
        yield Fact(difference.sentence, difference.command, since=difference.since)
