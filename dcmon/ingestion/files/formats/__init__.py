"""Formats of files, each read as rows with the fields of a column mapping; unreadable lines are MalformedRow."""

from typing import Any

from dcmon.ingestion.files.csv_records import MalformedRow

Row = dict[str, Any] | MalformedRow
