"""Remove secrets from texts: those that are known, in all their encodings, and all that looks like one."""

import base64
import json
import re
from collections.abc import Iterable, Iterator
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

MASK = "(secret)"
SHORTEST = 4  # characters of a known secret that is looked for; a shorter one is a part of too many words
SHORTEST_OF_PATH = 8  # characters of a part of a URL; shorter ones are words
SHORTEST_CORE = 8  # characters of the base64 of a secret
OPEN_PATHS = ("/health/live", "/health/ready", "/metrics")  # paths of URLs that stay
SECRET_NAMES = (
    r"passw(?:or)?d|passphrase|passfile|pwd|secret|token|api[_.-]?key|access[_.-]?key|private[_.-]?key|routing[_.-]?key"
    r"|credential|authori[sz]ation|signature|sasl[_.]jaas|cookie|x-key"
)
PATTERNS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), MASK),
    # The password of a URL, up to the last @ before the host's end: it may have an unencoded @ or / itself.
    (re.compile(r"\b([A-Za-z][A-Za-z0-9+.-]*://)[^\s\"'<>]*@"), rf"\1{MASK}@"),
    (re.compile(r"\b(dcm_[A-Za-z0-9]{10})[.:_-]?[A-Za-z0-9_-]{20,}"), rf"\1{MASK}"),
    (re.compile(r"\beyJ[\w-]{8,}\.[\w-]{8,}(?:\.[\w-]*)?"), MASK),  # a JWT
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), MASK),
    (re.compile(r"(?i)\b(basic|bearer|digest)\s+[A-Za-z0-9._~+/=:-]{6,}"), rf"\1 {MASK}"),
    (re.compile(r"(?i)\b(password\s+)(?:e?'(?:[^']|'')*')"), rf"\1'{MASK}'"),  # in SQL
)
NAMED = re.compile(
    rf"(?i)(?P<name>(?:{SECRET_NAMES})[\w.-]*\\?[\"']?\s*(?:[=:]|=>)\s*(?:(?:basic|bearer)\s+)?)"
    r"(?P<value>\\?\"(?:[^\"\\]|\\.)*\\?\"|'[^']*'|[^\s,;&\]}\"']+)"
)
WEB_URL = re.compile(r"\b(https?://[^\s/\"'<>\\?#]+)([/?#][^\s\"'<>\\]*)")
PLAIN_VALUE = re.compile(r"(?:null|none|true|false|\"\"|'')", re.IGNORECASE)  # of a name that sounds like a secret's


class Redactor:
    """Removes secrets from texts. `secrets`: those that are known; their encodings are removed as well."""

    def __init__(self, secrets: Iterable[str]) -> None:
        forms = {form for secret in secrets for form in encodings(secret)}
        self._known = re.compile(_trie_pattern(forms)) if forms else None

    def clean(self, text: str) -> str:
        """Return a text with MASK in place of each secret. Its lines stay, and JSON stays JSON."""
        if self._known is not None:
            text = self._known.sub(MASK, text)
        for pattern, replacement in PATTERNS:
            text = pattern.sub(replacement, text)
        text = NAMED.sub(_masked_value, text)
        return WEB_URL.sub(_masked_url, text)


def encodings(secret: str) -> Iterator[str]:
    """Yield the forms of a secret that can be told from other texts: as it is, in URLs, JSON, base64 and hexadecimal.

    A form in base64 is the part of it that does not depend on what is encoded before and after the secret.
    """
    if len(secret) < SHORTEST:
        return
    encoded = secret.encode(errors="surrogatepass")
    yield from (secret, quote(secret, safe=""), quote(secret), quote_plus(secret), json.dumps(secret)[1:-1])
    yield from (repr(secret)[1:-1], encoded.hex(), encoded.hex().upper())
    for skipped in range(3):
        text = base64.b64encode(b"\0" * skipped + encoded).decode()
        first, last = -(-skipped * 8 // 6), (skipped + len(encoded)) * 8 // 6
        core = text[first:last]
        if len(core) >= SHORTEST_CORE:
            yield from (core, core.replace("+", "-").replace("/", "_"))


def of_url(url: str) -> Iterator[str]:
    """Yield the secrets of a URL: its password, as it is written and decoded, and of a web page its path and query."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return
    if password:
        yield from (password, unquote(password))
    if parts.scheme in ("http", "https"):
        path = parts.path.strip("/")
        texts = [path, path.rpartition("/")[2], parts.query, *(value for _, value in parse_qsl(parts.query))]
        yield from (text for text in texts if len(text) >= SHORTEST_OF_PATH)


def _masked_value(match: re.Match[str]) -> str:
    value = match["value"]
    if PLAIN_VALUE.fullmatch(value) or MASK in value:
        return match[0]
    quoting = re.match(r"\\?[\"']", value)
    mark = quoting[0] if quoting else '"' if match["name"].rstrip(" :=>").endswith('"') else ""
    return f"{match['name']}{mark}{MASK}{mark}"


def _masked_url(match: re.Match[str]) -> str:
    return match[0] if match[2].rstrip(".,;:)") in (*OPEN_PATHS, "/") else f"{match[1]}/{MASK}"


def _trie_pattern(words: Iterable[str]) -> str:
    """Return a regular expression for any of the words, the longest first. Its time hardly grows with them."""
    root: dict[str, dict[str, object]] = {}
    for word in words:
        node = root
        for sign in word:
            node = node.setdefault(sign, {})  # type: ignore[assignment]
        node[""] = {}
    return _pattern_of(root)


def _pattern_of(root: dict[str, dict[str, object]]) -> str:
    """Write a trie as an expression, without recursion: a secret may have any length."""
    done: dict[int, str] = {}
    pending: list[tuple[dict[str, dict[str, object]], bool]] = [(root, False)]
    while pending:
        node, is_ready = pending.pop()
        children = [(sign, child) for sign, child in node.items() if sign]
        if not is_ready:
            pending.append((node, True))
            pending += [(child, False) for _, child in children]  # type: ignore[misc]
            continue
        branches = [re.escape(sign) + done.pop(id(child)) for sign, child in children]
        joined = branches[0] if len(branches) == 1 and "" not in node else f"(?:{'|'.join(branches)})"
        done[id(node)] = (joined + ("?" if "" in node else "")) if branches else ""
    return done[id(root)]
