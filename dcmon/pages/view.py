"""What sections of pages are rendered with: where their links lead, and the figures of their charts."""

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from dcmon.pages.charts import Figure


class Links(Protocol):
    """The addresses of pages. None: there is no such page here."""

    def models(self) -> str | None: ...
    def model(self, model_id: int) -> str | None: ...
    def monitor(self, monitor_id: int) -> str | None: ...
    def alert(self, alert_id: int) -> str | None: ...
    def features(self, version_id: int) -> str | None: ...
    def data(self, model_id: int) -> str | None: ...


class LiveLinks:
    """The addresses of the endpoint's pages."""

    def models(self) -> str:
        return "/configuration/models"

    def model(self, model_id: int) -> str:
        return f"/models/{model_id}"

    def monitor(self, monitor_id: int) -> str:
        return f"/monitors/{monitor_id}"

    def alert(self, alert_id: int) -> str:
        return f"/alerts/{alert_id}"

    def features(self, version_id: int) -> str:
        return f"/model-versions/{version_id}/features"

    def data(self, model_id: int) -> str:
        return f"/models/{model_id}/data"


@dataclass(frozen=True)
class FileLinks:
    """The anchors of one file, which has the sections of these alerts and versions."""

    alert_ids: Collection[int] = ()
    version_ids: Collection[int] = ()

    def models(self) -> None:
        return None

    def model(self, model_id: int) -> str:
        return "#main"

    def monitor(self, monitor_id: int) -> str:
        return f"#{monitor_anchor(monitor_id)}"

    def alert(self, alert_id: int) -> str | None:
        return f"#{alert_anchor(alert_id)}" if alert_id in self.alert_ids else None

    def features(self, version_id: int) -> str | None:
        return f"#{features_anchor(version_id)}" if version_id in self.version_ids else None

    def data(self, model_id: int) -> str:
        return f"#{DATA_ANCHOR}"


DATA_ANCHOR = "data"


def monitor_anchor(monitor_id: int) -> str:
    """Return the anchor of a monitor's section in a file."""
    return f"monitor-{monitor_id}"


def alert_anchor(alert_id: int) -> str:
    """Return the anchor of an alert's section in a file."""
    return f"alert-{alert_id}"


def features_anchor(version_id: int) -> str:
    """Return the anchor of the section on a version's features in a file."""
    return f"features-{version_id}"


@dataclass(frozen=True)
class View:
    """A page that is being rendered, of an organization. `figures` grows with each chart."""

    organization: str
    links: Links = field(default_factory=LiveLinks)
    figures: list[Figure] = field(default_factory=list)
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
