"""Secrets are removed from texts, what a reader needs stays."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcmon.commands.operations.redaction import Redactor
from tests.helpers.examples import examples


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("postgresql://me:p@ss/w@host:5432/db", "postgresql://(secret)@host:5432/db"),
        ("Authorization: Basic YWJjZGVmZ2g=", "Authorization: Basic (secret)"),
        ('{"password": "a\\"b", "token": null}', '{"password": "(secret)", "token": null}'),
        ("password='x y' host=h", "password='(secret)' host=h"),
        ("https://hooks.slack.com/services/T0/B0/x1.", "https://hooks.slack.com/(secret)"),
        ("GET http://127.0.0.1:8000/health/live 200", "GET http://127.0.0.1:8000/health/live 200"),
        ("GET /hook?api_key=abc&page=1", "GET /hook?api_key=(secret)&page=1"),
        ("alter role x password 'it''s'", "alter role x password '(secret)'"),
        ("AKIAIOSFODNN7EXAMPLE", "(secret)"),
        ("stored 17 rows of credit in 12 ms", "stored 17 rows of credit in 12 ms"),
        ("-----BEGIN PRIVATE KEY-----\nabc\n-----END PRIVATE KEY-----\nx", "(secret)\nx"),
    ],
)
def test_what_looks_like_a_secret_is_removed(text: str, cleaned: str) -> None:
    assert Redactor([]).clean(text) == cleaned


@settings(max_examples=examples(100))
@given(st.text(min_size=8, max_size=40), st.text(max_size=10), st.text(max_size=10))
def test_known_secret_is_removed_from_any_text(secret: str, before: str, after: str) -> None:
    cleaned = Redactor([secret]).clean(before + secret + after)
    assert secret not in cleaned or secret in "(secret)"


@settings(max_examples=examples(50))
@given(st.dictionaries(st.sampled_from(["password", "name", "api_key", "url"]), st.text() | st.integers() | st.none()))
def test_json_stays_json(document: dict[str, object]) -> None:
    for ensure_ascii in (True, False):
        cleaned = Redactor(["nothing of it"]).clean(json.dumps(document, ensure_ascii=ensure_ascii))
        assert json.loads(cleaned).keys() == document.keys()
