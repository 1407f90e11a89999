"""Receivers of notifications as files declare them."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field

from dcmon import durations
from dcmon.declarations.declared_monitors import SeverityName
from dcmon.declarations.secret_text import SecretText
from dcmon.declarations.values import NONE, Declaration, DurationOrNone, Line, Problem, Prose, problem
from dcmon.notifications.receivers import DEFAULT_CAP, DEFAULT_REPEAT, SHORTEST_REPEAT
from dcmon.severity import Severity
from dcmon.states import ReceiverKind

KindName = Literal["webhook", "pagerduty", "slack", "teams", "email", "command", "deepchecks"]
assert {*get_args(KindName)} == {*ReceiverKind}
URL_KINDS = (ReceiverKind.WEBHOOK, ReceiverKind.SLACK, ReceiverKind.TEAMS, ReceiverKind.DEEPCHECKS)
# The kinds that have a key; the first ones need it.
KINDS_OF_KEY = {
    "url": (*URL_KINDS, ReceiverKind.PAGERDUTY),
    "headers": (ReceiverKind.WEBHOOK, ReceiverKind.DEEPCHECKS, ReceiverKind.PAGERDUTY),
    "key": (ReceiverKind.PAGERDUTY,),
    "group": (ReceiverKind.PAGERDUTY,),
    "event_class": (ReceiverKind.PAGERDUTY,),
    "method": (ReceiverKind.DEEPCHECKS,),
    "to": (ReceiverKind.EMAIL,),
    "command": (ReceiverKind.COMMAND,),
    "signing_secret": (ReceiverKind.WEBHOOK,),
}
NEEDED = {
    **dict.fromkeys(URL_KINDS, "url"),
    ReceiverKind.PAGERDUTY: "key",
    ReceiverKind.EMAIL: "to",
    ReceiverKind.COMMAND: "command",
}


class ReceiverDeclaration(Declaration):
    """A receiver of notifications. A key that is left out has its default."""

    ALWAYS: ClassVar = ("kind",)

    renamed_from: Line | None = Field(None, description="Former name: the receiver is renamed, with its secrets.")
    kind: KindName = "webhook"
    description: Prose = ""
    url: SecretText | None = Field(None, description="Where messages go. A secret is written as ${NAME}.")
    headers: dict[Line, SecretText] = Field({}, description="Headers of its own.")
    key: SecretText | None = Field(None, description="PagerDuty's integration key.")
    group: str | None = Field(None, description="PagerDuty's group.")
    event_class: str | None = Field(None, description="PagerDuty's class.")
    method: Literal["POST", "GET"] | None = Field(None, description="Of kind deepchecks; default: POST.")
    to: list[Line] | None = Field(None, description="E-mail addresses.")
    command: list[SecretText] | None = Field(None, description="A program and its arguments.")
    signing_secret: SecretText | None = Field(
        None, description="Signs messages: whsec_ and base64. Left out: as it is; a new receiver gets a random one."
    )
    severities: list[SeverityName] = Field(list(get_args(SeverityName)), description="Only alerts of these.")
    models: list[Line] | None = Field(None, description="Only alerts of these models.")
    cap: Annotated[int, Field(ge=1)] | Literal["none"] = Field(DEFAULT_CAP, description="Messages in a minute.")
    repeat: DurationOrNone = Field(
        durations.to_text(DEFAULT_REPEAT), description="How often a firing alert is sent again."
    )

    def problems(self) -> list[Problem]:
        """Return the keys that its kind does not have, or needs."""
        problems = [
            problem(f"A receiver of kind {self.kind} has no {name}; kinds with it: {', '.join(kinds)}.", name)
            for name, kinds in KINDS_OF_KEY.items()
            if getattr(self, name) and self.kind not in kinds
        ]
        needed = NEEDED[ReceiverKind(self.kind)]
        if not getattr(self, needed):
            problems.append(problem(f"A receiver of kind {self.kind} needs the key {needed!r}."))
        if self.is_repeated and durations.parse(self.repeat) < SHORTEST_REPEAT:
            shortest = durations.to_text(SHORTEST_REPEAT)
            problems.append(problem(f"A notification can't be repeated more often than every {shortest}.", "repeat"))
        return problems

    def values(self) -> dict[str, Any]:
        """Return the fields by their keys; severities in ascending order, and models by name."""
        severities = [str(level) for level in Severity if level in self.severities]
        models = None if self.models is None else sorted(set(self.models))
        method = None if self.method == "POST" else self.method
        return {**super().values(), "severities": severities, "models": models, "method": method}

    @property
    def secrets(self) -> list[SecretText]:
        """The texts that may have references."""
        single = (self.url, self.key, self.signing_secret)
        return [*filter(None, single), *self.headers.values(), *(self.command or ())]

    @property
    def missing(self) -> list[str]:
        """What is not known here of its secrets: variables that are not set, and files that can't be read."""
        return list(dict.fromkeys(text.missing for text in self.secrets if text.value is None and text.missing))

    @property
    def most_messages(self) -> int | None:
        """The cap as receivers store it; None: no cap."""
        return self.cap if isinstance(self.cap, int) else None

    @property
    def is_repeated(self) -> bool:
        """True if a firing alert is sent again."""
        return self.repeat != NONE
