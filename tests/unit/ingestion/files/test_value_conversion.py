"""Values of files become values of a version's columns."""

from dcmon.ingestion.files import value_conversion
from dcmon.ingestion.values.rules import ValueRules


def test_null_words_of_a_file_are_null_in_each_column() -> None:
    rules = ValueRules(null_words=frozenset({"NA", "-999"}))
    for kind in ("categorical", "text", "numeric", "boolean", "datetime"):
        for convert in (value_conversion.text_converter(kind, rules), value_conversion.value_converter(kind, rules)):
            assert convert("NA") is None
            assert convert("-999") is None
    assert value_conversion.text_converter("categorical", rules)("na") == "na"
    assert value_conversion.text_converter("numeric", rules)("5") == 5
