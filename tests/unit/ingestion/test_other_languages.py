"""Rows as Node, Go, Java, R and PowerShell write them, and the values that they are."""

from datetime import UTC, datetime
from typing import Any

import pytest

from dcmon.ingestion import raw_rows
from dcmon.ingestion.row_types import sample_row_type
from dcmon.storage import categories
from dcmon.storage.columns import Columns

FEATURES = {"num": "numeric", "flag": "boolean", "cat": "categorical", "when": "datetime", "big": "bigint"}
COLUMNS = Columns("binary", FEATURES, {}, ["0", "1"])
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
CLIENTS: dict[str, tuple[str, list[Any]]] = {
    "Node: Date, a number as a category": (
        '{"_dc_sample_id":1,"_dc_time":"2026-03-01T12:00:00.000Z","_dc_prediction":1,"num":null,"flag":true,"cat":1,'
        '"when":1772366400000,"big":9007199254740991}',
        ["1", NOON, "1", None, True, "1", NOON, 9007199254740991, None],
    ),
    "Node: Date.now, yes, a Float32Array": (
        '{"_dc_sample_id":3,"_dc_time":1772366400000,"_dc_prediction":true,"num":0.30000000000000004,"flag":"yes",'
        '"cat":1e+21,"when":null,"big":"9007199254740993","_dc_prediction_probabilities":{"0":0.25,"1":0.75}}',
        ["3", NOON, "1", 0.1 + 0.2, True, "1000000000000000000000", None, 9007199254740993, [0.25, 0.75]],
    ),
    "Go: RFC3339Nano, float32, big.Int": (
        '{"_dc_sample_id":11,"_dc_time":"2026-03-01T13:00:00.000000499+01:00","_dc_prediction":1,"num":0.1,"flag":1,'
        '"cat":"a\\u0026b","when":"2026-03-01 13:00:00 +0100 CET","big":9223372036854775807,'
        '"_dc_prediction_probabilities":[0.8]}',
        ["11", NOON, "1", 0.1, True, "a&b", NOON, 9223372036854775807, [0.2, 0.8]],
    ),
    "Java: Instant of Jackson, BigDecimal, Double": (
        '{"_dc_sample_id":21,"_dc_time":1772366400.000000000,"_dc_prediction":1.0,"num":1E+3,"flag":"TRUE",'
        '"cat":1.0E7,"when":"2026-03-01T13:00:00+01:00[Europe/Paris]","big":12.0,'
        '"_dc_prediction_probabilities":"[0.2, 0.8]"}',
        ["21", NOON, "1", 1000.0, True, "10000000", NOON, 12, [0.2, 0.8]],
    ),
    "Protobuf: int64 as text": (
        '{"_dc_sample_id":"31","_dc_time":"2026-03-01T12:00:00.000000000Z","_dc_prediction":"0","num":1.5,"flag":false,'
        '"cat":"x","when":"1772366400","big":"9223372036854775807","_dc_prediction_probabilities":0.5}',
        ["31", NOON, "0", 1.5, False, "x", NOON, 9223372036854775807, [0.5, 0.5]],
    ),
    "PowerShell: a byte order mark": (
        '\ufeff[{"_dc_sample_id":"41","_dc_time":"2026-03-01T13:00:00.0000000+01:00","_dc_prediction":"False","num":1,'
        '"flag":true,"cat":null,"when":null,"big":null}]',
        ["41", NOON, "0", 1.0, True, None, None, None, None],
    ),
}  # fmt: skip


@pytest.mark.parametrize("client", CLIENTS)
def test_row_of_another_language_has_its_values(client: str) -> None:
    sent, wanted = CLIENTS[client]
    body = sent if sent.endswith("]") else f"[{sent}]"
    row_type = sample_row_type(COLUMNS)
    (decoded,) = [row for part in row_type.decode_all(raw_rows.split_rows(body.encode())) for row in part]
    assert isinstance(decoded, tuple), decoded
    values = dict(zip(row_type.names, decoded, strict=True))
    values["cat"] = values["cat"] and categories.normalize(values["cat"])
    names = ("_dc_sample_id", "_dc_time", "_dc_prediction", *FEATURES, "_dc_prediction_probabilities")
    assert [values[name] for name in names] == wanted
