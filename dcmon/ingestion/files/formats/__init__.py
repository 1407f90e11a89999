"""Formats of files, each read as rows with the fields of a layout; what is no row is Malformed and costs itself."""

from typing import Any

from dcmon.ingestion.files.csv_records import Malformed

Row = dict[str, Any] | Malformed
