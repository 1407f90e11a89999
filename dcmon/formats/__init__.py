"""Formats of files, each read as rows with the fields of a layout; what is no row is Malformed and costs itself."""

from typing import Any

from dcmon.delimited import Malformed

Row = dict[str, Any] | Malformed
