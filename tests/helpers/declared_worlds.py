"""Files of monitoring as code on an organization, without commands, and random files."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from dcmon import db
from dcmon.alerting.change_context import Actor
from dcmon.db import Organization
from dcmon.declarations import exporting, file_reader, planner, state, yaml_writer
from dcmon.declarations.applying import Applied, run
from dcmon.declarations.applying_context import Context
from dcmon.declarations.changes import Plan
from dcmon.declarations.file_reader import Source
from dcmon.declarations.planner import Wanted
from dcmon.declarations.state import Scope
from dcmon.settings import Webhooks

FILE = "monitoring.yaml"


@dataclass(frozen=True)
class World:
    """An organization; `environment` has the variables that files may name."""

    engine: Any
    org: Organization
    environment: Mapping[str, str] = field(default_factory=dict)

    @contextmanager
    def transaction(self) -> Iterator[Context]:
        with db.public_session(self.engine) as public, db.org_session(self.engine, self.org) as session:
            actor = Actor(self.org, "ann", "https://dcmon.example", None)
            yield Context(session, public, self.org, actor, Webhooks(), datetime.now(UTC))

    def plan(self, text: str, *, prunes: bool = False) -> Plan:
        with self.transaction() as context:
            return planner.make(context, self.wanted(text, prunes=prunes))

    def wanted(self, text: str, *, prunes: bool = False) -> Wanted:
        files = file_reader.read([Source(FILE, text.encode())])
        return Wanted.of_files(files, self.environment, prunes=prunes)

    def apply(self, text: str, *, prunes: bool = False) -> Sequence[Applied]:
        """Apply a file, and check that nothing is left to do."""
        with self.transaction() as context:
            applied = run(context, planner.make(context, self.wanted(text, prunes=prunes)))
        assert self.plan(text).changes == []
        return applied

    def export(self) -> str:
        with self.transaction() as context:
            return exported(context)


def exported(context: Context) -> str:
    """Return an organization as a file."""
    settings = state.read_settings(context.public, context.org)
    return exporting.to_text(exporting.to_data(state.read(context.session, Scope(), settings, context.now)))


def lines(plan: Plan) -> list[str]:
    """Return the changes of a plan as short texts."""
    return [f"{change.action} {change.noun} {change.name}" for change in plan.changes]


# Names that may be typed: one line of visible characters.
_CHARACTERS = st.characters(categories=["L", "N", "P", "S", "Zs"], include_characters="🙂'\"\\:/#-{}[]&*!|>%@`$ ")
NAMES = st.text(_CHARACTERS, min_size=1, max_size=30).filter(
    lambda name: name.strip() != "" and not name.strip().isdigit() and name.isprintable()
)
PROSE = st.text(st.sampled_from("ab :#-'\"\n\t\\🙂é{}[]$"), max_size=30)
FEATURES = ("age", "job", 'od"d: {name}', "🙂", "x" * 300)
VERSION = {"features": dict.fromkeys(FEATURES, "numeric"), "classes": ["0", "1"], "additional": {"no": "text"}}


def _optional(**keys: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=keys)


def _merged(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda values: {key: value for part in values for key, value in part.items()})


DURATIONS = st.sampled_from(["30m", "1h30m", "7 days", "2w", "90s"])
REPEATS = st.sampled_from(["5m", "1h30m", "2d"])
SEVERITIES = st.sampled_from(["low", "medium", "high", "critical"])
RULES = _merged(
    st.fixed_dictionaries({
        "condition": st.sampled_from(["> 0.2", ">=0.15", "outside 0.1..0.4", "any feature > 0.3", "drop > 20%"])
    }),
    _optional(
        severity=SEVERITIES, keep_firing=st.integers(0, 5), min_n=st.integers(0, 100), inhibit=st.booleans(),
        no_data=st.sampled_from(["keep", "ok", "alert"]), active=st.booleans(), **{"for": st.integers(1, 5)},
    ),
)  # fmt: skip
FILTERS = st.sampled_from(
    ["age >= 30", "job in (1, 2) and age != null", '"od""d: {name}" > 0.5', "time > '2026-01-01'"]
)
MONITORS = _merged(
    st.fixed_dictionaries({
        "check": st.sampled_from(["FeatureDrift", "Own"]), "frequency": st.sampled_from(["HOUR", "DAY", "WEEK"])
    }),
    _optional(
        description=PROSE, aggregation_window=st.integers(1, 3), lookback=DURATIONS, filters=FILTERS,
        rows=st.sampled_from(["all", 1000]), features=st.lists(st.sampled_from(FEATURES), min_size=1, unique=True),
        aggregation=st.sampled_from(["mean", "max"]), on_dashboard=st.booleans(),
        compare=st.sampled_from(["reference", "previous"]), rules=st.lists(RULES, max_size=3),
    ),
)  # fmt: skip
MODELS = _merged(
    st.fixed_dictionaries({
        "task": st.just("binary"), "versions": st.just({"v1": VERSION}),
        "checks": st.fixed_dictionaries({"Own": st.fixed_dictionaries({
            "class": st.just("FeatureDrift"), "parameters": _optional(min_samples=st.integers(1, 500))
        })}),
        "monitors": st.dictionaries(NAMES, MONITORS, max_size=3),
    }),
    _optional(
        time_zone=st.sampled_from(["UTC", "Europe/Berlin"]), label_ratio=st.floats(0, 1), label_delay=DURATIONS,
        lateness=DURATIONS, retention=st.sampled_from(["inherit", "none", "90d"]), description=PROSE,
        default_monitors=st.sampled_from(["all", "sdk", "none"]),
    ),
)  # fmt: skip
RECEIVERS = st.one_of(
    _merged(
        st.just({"url": "https://x.example/${SECRET}", "headers": {"X-A": "${SECRET}"}}),
        _optional(
            severities=st.lists(SEVERITIES, unique=True),
            cap=st.sampled_from(["none", 7]),
            repeat=REPEATS,
        ),
    ),
    st.just({"kind": "slack", "url": "${URL}"}),
    st.just({"kind": "email", "to": ["a@b.example", "c@d.example"], "repeat": "none"}),
    st.just({"kind": "pagerduty", "key": {"secret_from": "env", "name": "SECRET"}, "group": "x"}),
    st.just({"kind": "command", "command": ["/bin/true", "--key", "${SECRET}"], "description": "runs"}),
    st.just({"kind": "deepchecks", "url": "https://x.example/a", "method": "GET"}),
)
MATCHERS = st.lists(st.sampled_from(["model=a b", "severity!=low", "monitor=~.*Drift"]), min_size=1, unique=True)
MUTE_TIMES = st.fixed_dictionaries({
    "hours": st.sampled_from(["22:00-06:00", "9-17"]), "days": st.sampled_from(["daily", "mon-fri"]),
    "time_zone": st.just("Asia/Tokyo"), "matchers": MATCHERS,
})  # fmt: skip
SILENCES = st.fixed_dictionaries({
    "matchers": MATCHERS, "from": st.just("2026-01-01"), "reason": PROSE,
    "until": st.sampled_from(["2100-01-01", "2100-01-02T12:00+02:00"]),
})  # fmt: skip
DOCUMENTS = _optional(
    organization=_optional(
        retention=st.just({"samples": "90d", "results": "2y"}), default_monitors=st.sampled_from(["all", "none"])
    ),
    models=st.dictionaries(NAMES, MODELS, max_size=2),
    receivers=st.dictionaries(NAMES, RECEIVERS, max_size=3),
    mute_times=st.dictionaries(NAMES, MUTE_TIMES, max_size=2),
    silences=st.lists(SILENCES, max_size=2),
)
FILES = DOCUMENTS.map(yaml_writer.write)
ENVIRONMENT = {"SECRET": "s3cret-word-1", "URL": "https://hooks.slack.example/services/T1"}


def with_stored_secrets(context: Context, world: World) -> World:
    """Return the world with the variables that an exported file names, as an operator would set them."""
    current = state.read(context.session, Scope(), None, context.now).document
    known = {
        str(text.written)[2:-1]: text.value or ""
        for receiver in (current.receivers or {}).values()
        for text in receiver.secrets
        if text.is_secret
    }
    return replace(world, environment={**world.environment, **known})
