"""Write the report on a model."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dcmon.file_errors import FileUnwritable, require_free
from dcmon.monitoring.results import Span
from dcmon.storage import models

if TYPE_CHECKING:
    from dcmon.app import App

STDOUT = "-"
NO_NAME = re.compile(r"[^\w.-]+")  # characters that a name of a file does not need


def write(app: "App", name: str, file: str | None, span: Span, *, is_replaced: bool) -> dict[str, Any] | None:
    """Write the report on a model to a file, and return what was written; to stdout, return None.

    The file is complete as soon as it has its name. Raises ModelNotFound, FileUnwritable, or Conflict if the file
    exists, unless `is_replaced`.
    """
    from dcmon.pages import report

    path = Path(file or f"{NO_NAME.sub('_', name).strip('._') or 'model'}.html")
    if file != STDOUT:
        require_free(path, is_replaced=is_replaced)
    org = app.organization()
    with app.org(org, snapshot=True) as session:
        model = models.find(session, name)
        contents = report.read(session, org, model, span)
        text = report.render(contents)
        counts = {"monitors": len(contents.series.monitors), "alerts": len(contents.series.alerts)}
    if file == STDOUT:
        app.output.document(text)
        return None
    try:
        report.write(path, text)
    except OSError as error:
        raise FileUnwritable(path=path, reason=error.strerror or str(error)) from error
    return {"model": name, "file": str(path), "bytes": len(text.encode()), **counts}
