"""A file as a whole: an organization's settings, models, receivers, silences and mute times."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field

from dcmon.declarations.declared_holds import MuteTimeDeclaration, SilenceDeclaration
from dcmon.declarations.declared_models import DefaultSetName, ModelDeclaration
from dcmon.declarations.declared_receivers import ReceiverDeclaration
from dcmon.declarations.values import Declaration, Line, Problem, Term, problem
from dcmon.errors import InvalidInput
from dcmon.tenancy import retention

FORMAT: Literal[1] = 1


class RetentionDeclaration(Declaration):
    """How long an organization keeps rows. A key that is left out is left as it is."""

    samples: Term | None = Field(None, description="How long samples are kept.")
    results: Term | None = Field(None, description="How long results and alerts are kept.")

    def problems(self) -> list[Problem]:
        """Return a problem if results are deleted before their samples."""
        if self.samples is None or self.results is None:
            return []
        try:
            retention.require_longer(retention.parse(self.samples), retention.parse(self.results))
        except InvalidInput as error:
            return [problem(error, "results")]
        return []


class OrganizationDeclaration(Declaration):
    """Settings of the organization. A key that is left out is left as it is."""

    SECTIONS: ClassVar = ("retention",)

    retention: RetentionDeclaration | None = None
    default_monitors: DefaultSetName | None = Field(None, description="Which default monitors new models get.")

    def values(self) -> dict[str, Any]:
        """Return the fields by their keys, those of retention with the key before them."""
        terms = {} if self.retention is None else self.retention.values()
        return {**super().values(), **{f"retention.{name}": term for name, term in terms.items()}}

    def written(self) -> dict[str, Any]:
        """Return what a file has of the settings."""
        terms = {} if self.retention is None else self.retention.written()
        return {**({"retention": terms} if terms else {}), **super().written()}


class Document(Declaration):
    """What dcmon watches, and whom it notifies. A section that is left out is left as it is."""

    format: Literal[1] = Field(FORMAT, description="The version of this format.")
    organization: OrganizationDeclaration | None = None
    models: dict[Line, ModelDeclaration] | None = None
    receivers: dict[Line, ReceiverDeclaration] | None = None
    mute_times: dict[Line, MuteTimeDeclaration] | None = None
    silences: list[SilenceDeclaration] | None = None

    def to_data(self) -> dict[str, Any]:
        """Return the document as plain data, in its one form."""
        data: dict[str, Any] = {"format": FORMAT}
        if self.organization is not None:
            data["organization"] = self.organization.written()
        if self.models is not None:
            data["models"] = {name: _model(model) for name, model in sorted(self.models.items())}
        for name, section in (("receivers", self.receivers), ("mute_times", self.mute_times)):
            if section is not None:
                data[name] = _sorted(section)
        if self.silences is not None:
            data["silences"] = [silence.written() for silence in self.silences]
        return data


def _sorted(section: Mapping[str, Declaration]) -> dict[str, Any]:
    return {name: declared.written() for name, declared in sorted(section.items())}


def _model(model: ModelDeclaration) -> dict[str, Any]:
    data = model.written()
    if model.versions is not None:
        data["versions"] = {name: version.written() for name, version in model.versions.items()}
    if model.checks is not None:
        data["checks"] = _sorted(model.checks)
    if model.monitors is not None:
        data["monitors"] = {
            name: {
                **monitor.written(),
                **({} if monitor.rules is None else {"rules": [rule.written() for rule in monitor.rules]}),
            }
            for name, monitor in sorted(model.monitors.items())
        }
    return data
