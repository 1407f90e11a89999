"""The pages of `dcmon serve`: what they show, the log-in, and that no name of a user becomes HTML."""

import asyncio
import base64
import hmac
import re
import time
from collections.abc import Iterator
from http.cookies import SimpleCookie
from pathlib import Path
from urllib.parse import urlencode

import bcrypt
import pytest
import urllib3
from sqlalchemy import select, text

from dcmon import db
from dcmon.app import App
from dcmon.db import encryption
from dcmon.db.tables.public import Token
from dcmon.http import computing
from dcmon.http.page_access import COOKIE, HOME, next_page
from dcmon.monitoring import default_monitors
from dcmon.pages import model_section
from dcmon.pages.view import View
from dcmon.states import TaskType
from dcmon.storage import models
from dcmon.tenancy import imported_tokens, members, page_sessions, tokens
from dcmon.tenancy.imported_tokens import Outcome
from dcmon.tenancy.permissions import Role, Scope
from dcmon.windows import Frequency
from tests.conftest import Acme
from tests.helpers import valued_model
from tests.helpers.browser import BROWSER, chromium
from tests.helpers.endpoint import Endpoint, serving
from tests.helpers.judged_results import create_rule, store_and_judge
from tests.helpers.statements import recorded_statements
from tests.integration.conftest import Target

SCRIPT = "<script>document.body.remove()</script>"
PAGES = (
    HOME, "/models/1", "/models/1/data", "/monitors/1", "/alerts/1", "/model-versions/1/features",
    "/configuration/alert-rules",
)  # fmt: skip


@pytest.fixture
def filled(app: App, acme: Acme, target: Target) -> Target:
    """Return a model with rows, a reference, an alert on the feature "age", and refused rows; all names are scripts."""
    create_rule(target, "> 0.2")
    valued_model.fill(app, target, days=3)
    for number, value in enumerate((0.1, 0.5)):
        store_and_judge(target, number, value)
    app.ingestion.ingest_samples(target.org, target.version_id, [f'{{"age": "{SCRIPT}"}}'.encode()] * 3)
    with db.org_session(app.engine, acme.org) as session:
        for table in ("models", "monitors", "versions"):
            session.execute(text(f"update {table} set name = :name"), {"name": f"{SCRIPT} {table}"})
    return target


@pytest.fixture
def endpoint(app: App, acme: Acme, filled: Target) -> Iterator[Endpoint]:
    """Serve the model."""
    with serving(app, acme.token) as client:
        yield client


def get(endpoint: Endpoint, path: str, **headers: str) -> urllib3.BaseHTTPResponse:
    return endpoint.pool.request(
        "GET", endpoint.url + path, headers=headers, retries=False, redirect=False, timeout=300
    )


def log_in(endpoint: Endpoint, token: str, wanted: str = "", **headers: str) -> urllib3.BaseHTTPResponse:
    form = {"content-type": "application/x-www-form-urlencoded", **headers}
    body = urlencode({"token": token, "next": wanted}).encode()
    return endpoint.pool.request(
        "POST", f"{endpoint.url}/login", body=body, headers=form, retries=False, redirect=False, timeout=300
    )


def session_of(response: urllib3.BaseHTTPResponse) -> str:
    """Return the session that a log-in gave, as a browser sends it."""
    cookie = SimpleCookie(response.headers["set-cookie"])[COOKIE]
    assert (cookie["httponly"], cookie["samesite"].lower(), cookie["path"]) == (True, "strict", "/")
    return f"{COOKIE}={cookie.value}"


def test_pages_show_names_of_users_as_text(endpoint: Endpoint) -> None:
    session = session_of(log_in(endpoint, endpoint.token))
    for path in PAGES:
        page = get(endpoint, path, cookie=session)
        content = page.data.decode()
        assert page.status == 200, (path, content[:500])
        assert "&lt;script&gt;document" in content, path
        assert "<script>document" not in content
        assert not re.search(r"<[^>]+ (style|on\w+)=", content)
        assert re.fullmatch(r"default-src 'none'; script-src 'self'; .*", page.headers["content-security-policy"])
        for source in re.findall(r'(?:src|href)="([^"]*)"', content):
            assert source.startswith(("/", "#", "data:,", "?")), source
            assert not source.startswith("//")


def test_alert_page_begins_with_feature_time_and_values(endpoint: Endpoint) -> None:
    content = get(endpoint, "/alerts/1", authorization=f"Basic {endpoint.token}").data.decode()
    head, _, moved = content.partition("What moved")
    shown = re.sub(r"<[^>]*>", "", head)
    assert "age and job" in shown
    assert "Since 2026-03-03" in shown
    assert "0.5 now" in shown
    assert moved.count("<svg") >= 3
    for side in ("Reference", "Before: 2026-03-02", "Now: 2026-03-03"):
        assert side in moved


def test_first_page_says_what_broke_and_since_when(endpoint: Endpoint) -> None:
    """An owner who comes without a link reads feature, severity, time and value before the list of models."""
    content = get(endpoint, HOME, authorization=f"Basic {endpoint.token}").data.decode()
    firing, _, models_below = content.partition("Alert rules")
    shown = re.sub(r"<[^>]*>", " ", firing)
    for expected in ("1 alert firing", "age", "high", "2026-03-03", "0.5", "&gt; 0.2"):
        assert expected in shown, expected
    assert 'href="/alerts/1"' in firing
    assert "1 high" in models_below


def test_model_without_rows_is_not_called_ok(endpoint: Endpoint, app: App, acme: Acme) -> None:
    with db.org_session(app.engine, acme.org) as session:
        number = models.create(session, models.NewModel("empty", TaskType.BINARY)).id
        default_monitors.create_defaults(session, models.get(session, number), Frequency.DAY)
        models.create(session, models.NewModel("unwatched", TaskType.BINARY))
    token = f"Basic {endpoint.token}"
    content = get(endpoint, HOME, authorization=token).data.decode()
    assert "no rows" in content.partition(">empty<")[2][:200]
    assert "no monitor" in content.partition(">unwatched<")[2][:200]
    page = get(endpoint, f"/models/{number}", authorization=token).data.decode()
    assert "No row was received yet." in page
    assert "Period" not in page
    assert "data-figure" not in page


def test_log_in_gives_a_session_and_leads_to_the_page(endpoint: Endpoint) -> None:
    asked = get(endpoint, "/alerts/1?org=acme")
    assert asked.status == 401
    assert 'name="next" value="/alerts/1?org=acme"' in asked.data.decode()
    answer = log_in(endpoint, f" {endpoint.token} ", "/alerts/1?org=acme")
    assert (answer.status, answer.headers["location"]) == (303, "/alerts/1?org=acme")
    session = session_of(answer)
    assert endpoint.token not in session
    assert get(endpoint, "/alerts/1?org=acme", cookie=session).status == 200
    assert get(endpoint, "/alerts/1?org=other", cookie=session).status == 401
    assert get(endpoint, "/api/v1/connected-models", cookie=session).status == 401, "a session reads pages only"
    out = endpoint.pool.request("POST", f"{endpoint.url}/logout", headers={"cookie": session}, redirect=False)
    assert out.status == 303
    assert f'{COOKIE}=""' in out.headers["set-cookie"]


def test_session_ends_with_its_token(endpoint: Endpoint, app: App, acme: Acme) -> None:
    session = session_of(log_in(endpoint, endpoint.token))
    assert get(endpoint, HOME, cookie=session).status == 200
    with app.public() as public:
        tokens.revoke(public, acme.org.id, endpoint.token)
    refused = get(endpoint, HOME, cookie=session)
    assert refused.status == 401
    assert "Your session has ended." in refused.data.decode()
    assert "Your session has ended." not in get(endpoint, HOME).data.decode()


def test_forged_or_old_session_is_refused(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part of a session is signed, also with the secret keys; one that has expired is none."""
    session = session_of(log_in(endpoint, endpoint.token))
    prefix, expires, signature = session.split(".")
    for forged in (
        f"{prefix}.{int(expires) + 60}.{signature}", f"{prefix[:-1]}x.{expires}.{signature}",
        f"{prefix}.{expires}.{'0' * 64}", f"{prefix}.{expires}", f"{COOKIE}=",
    ):  # fmt: skip
        assert get(endpoint, HOME, cookie=forged).status == 401
    with monkeypatch.context() as patched:
        patched.setattr(encryption, "_keys", ("another key",))
        assert get(endpoint, HOME, cookie=session).status == 401
    monkeypatch.setattr(page_sessions, "LIFETIME", -page_sessions.LIFETIME)
    assert get(endpoint, HOME, cookie=session_of(log_in(endpoint, endpoint.token))).status == 401


@pytest.mark.parametrize(("scope", "status"), [(Scope.READ, 303), (Scope.INGEST, 403)])
def test_log_in_needs_a_token_that_may_read(
    endpoint: Endpoint, app: App, acme: Acme, scope: Scope, status: int
) -> None:
    with app.public() as public:
        user = members.add(public, acme.org.id, "ann@acme.example", Role.MEMBER)
        token = tokens.create(public, acme.org.id, user, "ann", scope=scope)
    answer = log_in(endpoint, token)
    assert answer.status == status
    assert ("set-cookie" in answer.headers) == (status == 303)


def test_wrong_tokens_are_throttled(endpoint: Endpoint) -> None:
    statuses = [log_in(endpoint, "dcm_wrong").status for _ in range(40)]
    assert statuses[0] == 401
    assert statuses[-1] == 429
    assert log_in(endpoint, "", **{"sec-fetch-site": "cross-site"}).status == 403


def test_link_of_another_site_loads_once_more(endpoint: Endpoint) -> None:
    """A browser sends no strict cookie with the first request; the second one comes from the page itself."""
    assert get(endpoint, "/alerts/1", **{"sec-fetch-site": "cross-site"}).headers["refresh"] == "0"
    assert "refresh" not in get(endpoint, "/alerts/1", **{"sec-fetch-site": "same-origin"}).headers


@pytest.mark.parametrize(
    "text", ["https://x.example", "//x.example", "/\\x.example", "x", "/a\nb", "/" + "a" * 600, "http://["]
)
def test_log_in_leads_to_no_other_site(text: str) -> None:
    assert next_page(text) == HOME


def test_page_of_an_unknown_object_is_not_found(endpoint: Endpoint) -> None:
    for path in (
        "/models/99",
        "/models/99/data",
        "/monitors/99",
        "/alerts/99",
        "/model-versions/99/features",
        "/alerts/x",
    ):
        page = get(endpoint, path, authorization=f"Basic {endpoint.token}")
        assert (page.status, page.headers["content-type"]) == (404, "text/html; charset=utf-8"), path
        assert "/api/v1" not in page.data.decode(), "the reader of a page sends no requests"
    root = get(endpoint, "/", accept="text/html")
    assert (root.status, root.headers["location"]) == (303, HOME)


def _rendered(app: App, target: Target) -> tuple[int, str]:
    """Return how many statements a page of the model sends, and the page."""
    with db.org_session(app.engine, target.org) as session, recorded_statements() as recorded:
        shown = model_section.render(session, View("acme"), models.get(session, target.model_id), 2)
    return len(recorded), shown


def test_number_of_statements_does_not_grow_with_monitors(app: App, filled: Target) -> None:
    """The page of a model with 1,000 monitors is read in as many statements as that of a model with one."""
    few, _ = _rendered(app, filled)
    with db.org_session(app.engine, filled.org) as session:
        session.execute(
            text(
                "insert into monitors (check_id, name, frequency, aggregation_window, lookback)"
                " select check_id, 'more ' || n, frequency, 1, lookback"
                " from (select * from monitors order by id limit 1) m, generate_series(1, 1000) n"
            )
        )
    many, page = _rendered(app, filled)
    assert few == many < 12
    assert "page 2 of 21" in page


@pytest.mark.skipif(BROWSER is None, reason="no Chromium is installed here")
def test_reader_logs_in_and_follows_links(endpoint: Endpoint, tmp_path: Path) -> None:
    """With the keyboard, from the link of a notification to the features; no request goes to another server."""
    with chromium(tmp_path / "profile") as browser:
        browser.show("phone", dark=True)
        browser.open(f"{endpoint.url}/alerts/1?org=acme")
        browser.call("Input.insertText", text=endpoint.token)  # the field has the focus
        browser.key("Enter")
        browser.wait_for("document.title.startsWith('Alert 1')")
        browser.errors.clear()  # the answer 401 is noted as an error
        browser.wait_for("document.querySelectorAll('canvas').length === 1")
        assert browser.run("document.documentElement.scrollWidth") == 360
        browser.key("Tab")
        assert browser.run("document.activeElement.className") == "skip"
        for link in ("/models/1", "/model-versions/1/features"):
            browser.run(f"document.querySelector('a[href=\"{link}\"]').click()")
            browser.wait_for(f"location.pathname === '{link}' && document.readyState === 'complete'")
        assert browser.run("document.querySelectorAll('figure svg').length") >= 2
        browser.run("document.querySelector('header form button').click()")
        browser.wait_for("location.pathname === '/login'")
        assert browser.errors == []
        assert [url for url in browser.requests if not url.startswith((endpoint.url, "data:"))] == []
        assert not any(endpoint.token in url for url in browser.requests)


def test_a_session_is_not_forged_before_a_first_use(endpoint: Endpoint, app: App, acme: Acme) -> None:
    """A token that was imported by its hash has no SHA-256 yet, and its prefix follows from the user's e-mail."""
    name, secret = "ann@acme.example", "AbCdEfGhIjKlMnOpQrSt-_"
    hashed = bcrypt.hashpw(secret.encode(), bcrypt.gensalt(4)).decode()
    with app.public() as session:
        (imported,) = imported_tokens.import_lines(session, acme.org.id, [f"{name},{hashed}"], Role.MEMBER)
    expires = int(time.time()) + 3600
    with app.public() as session:
        (key,) = page_sessions._keys(session)
    forged = f"{imported.prefix}.{expires}.{page_sessions._signature(key, b'', str(imported.prefix), expires)}"
    assert get(endpoint, HOME, cookie=f"{COOKIE}={forged}").status == 401
    used = session_of(log_in(endpoint, f"{base64.urlsafe_b64encode(name.encode()).decode()}.{secret}"))
    assert get(endpoint, HOME, cookie=used).status == 200
    assert get(endpoint, HOME, cookie=f"{COOKIE}={forged}").status == 401


def test_stored_hash_of_a_token_makes_no_session(endpoint: Endpoint, app: App) -> None:
    """The hash is in backups and exports; the key of the database, which has to sign too, is in none."""
    with app.public() as session:
        token = session.scalars(select(Token)).one()
        (key,) = page_sessions._keys(session)
    expires = int(time.time()) + 3600
    known = hmac.digest(b"", page_sessions.PURPOSE.encode(), "sha256")
    for signed_with, status in ((known, 401), (b"", 401), (key, 200)):
        signature = page_sessions._signature(signed_with, token.digest, token.prefix, expires)
        forged = f"{COOKIE}={token.prefix}.{expires}.{signature}"
        assert get(endpoint, HOME, cookie=forged).status == status


def test_longest_imported_token_logs_in(endpoint: Endpoint, app: App, acme: Acme) -> None:
    """Its hash is compared before the transaction that gives the session, so that no connection waits for it."""
    name, secret = f"{'a' * 64}@{'b' * 181}.example", "A" * 72
    hashed = bcrypt.hashpw(secret.encode(), bcrypt.gensalt(4)).decode()
    with app.public() as session:
        (imported,) = imported_tokens.import_lines(session, acme.org.id, [f"{name},{hashed}"], Role.MEMBER)
    assert imported.outcome == Outcome.IMPORTED, imported.remark
    token = f"{base64.urlsafe_b64encode(name.encode()).decode()}.{secret}"
    assert len(token) > 400
    with recorded_statements() as recorded:
        assert log_in(endpoint, token).status == 303
    assert "tenancy/imported_tokens.py: compare_before" in recorded.by_sender


def test_heavy_pages_wait_for_a_slot(endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages that read many rows are refused where too many computations wait; others are not."""
    monkeypatch.setattr(computing, "MAX_WAITING", 0)
    monkeypatch.setattr(asyncio.Semaphore, "locked", lambda self: True)
    statuses = {path: get(endpoint, path, authorization=f"Basic {endpoint.token}").status for path in PAGES}
    heavy = {"/models/1", "/alerts/1", "/model-versions/1/features"}
    assert {path for path, status in statuses.items() if status == 503} == heavy
    assert {status for path, status in statuses.items() if path not in heavy} == {200}
