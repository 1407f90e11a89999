"""Samples, as rows."""

import json
from typing import TYPE_CHECKING, Any

from dcmon.output import Fields, Page
from dcmon.storage import models, sample_lookup

if TYPE_CHECKING:
    from dcmon.app import App


def detail(app: "App", model: str | None, sample_id: str) -> Page:
    """Show where a sample is stored or quarantined, and labels that wait for it. `model`: None: the only one.

    Raises ModelNotFound, NotFound or InvalidInput.
    """
    with app.org() as session:
        rows = sample_lookup.find(session, models.find_or_only(session, model), sample_id)
    return Page(rows, [Fields({name: _exact(value) for name, value in row.items()}) for row in rows])


def _exact(value: Any) -> Any:
    """Write an object or a number as JSON, so that it is not rounded."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | float) else value
