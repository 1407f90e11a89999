"""Names of objects for completion, read from PostgreSQL in a few milliseconds, or none.

This goes past dcmon.db, which loads SQLAlchemy: a shell waits for these names while a person holds the tab key.
"""

import re
import signal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dcmon.app import App

LONGEST = 1.0  # seconds
MOST = 1_000  # names

QUERIES = {
    "orgs": "select name from public.organizations where deleted_at is null order by name",
    "members": "select u.email from public.members m join public.users u on u.id = m.user_id"
    " join public.organizations o on o.id = m.org_id where o.name = %(org)s order by 1",
    "tokens": "select t.prefix from public.tokens t join public.organizations o on o.id = t.org_id"
    " where o.name = %(org)s and t.revoked_at is null order by 1",
    "invitations": "select i.email from public.invitations i join public.organizations o on o.id = i.org_id"
    " where o.name = %(org)s order by 1",
    "models": "select name from models order by name",
    "versions": "select distinct v.name from versions v join models m on m.id = v.model_id"
    " where %(model)s::text is null or m.name = %(model)s order by 1",
    "full_versions": "select m.name || '/' || v.name from versions v join models m on m.id = v.model_id order by 1",
    "features": "select distinct f from versions v join models m on m.id = v.model_id,"
    " json_object_keys(v.features::json) f where %(model)s::text is null or m.name = %(model)s order by 1",
    "monitors": "select m.name || '/' || o.name from monitors o join checks c on c.id = o.check_id"
    " join models m on m.id = c.model_id order by 1",
    "monitors_of_models": "select m.name || '/' || o.name from monitors o join checks c on c.id = o.check_id"
    " join models m on m.id = c.model_id union select name from models order by 1",
    "checks_of_models": "select distinct name from checks order by 1",
    "rules": "select coalesce(name, id::text) from alert_rules order by 1",
    "receivers": "select name from webhooks order by name",
    "sources": "select name from sources order by name",
    "mute_times": "select name from mute_times order by name",
    "open_alerts": "select id::text from alerts where state <> 'resolved' order by id desc",
    "alerts": "select id::text from alerts order by id desc",
    "silences": "select id::text from silences where ends_at > now() order by id",
    "notifications": "select left(id::text, 8) from notifications order by created_at desc",
    "quarantined": "select id::text from quarantine order by id desc",
}
_ORGANIZATIONS = (
    "select name, schema_name from public.organizations where deleted_at is null"
    " and (%(org)s::text is null or name = %(org)s) limit 2"
)
_ENTER = (
    "select set_config('search_path', quote_ident(n.nspname), true),"
    " set_config('role', coalesce(pg_get_userbyid(n.nspowner), 'none'), true)"
    " from pg_namespace n where n.nspname = %s"
)


PUBLIC = frozenset({"orgs", "members", "tokens", "invitations"})  # in the schema that all organizations share


def read(app: "App", kind: str, org: str | None, model: str | None, typed: str = "") -> list[str]:
    """Return the first MOST names of a kind of object that may begin as `typed`, in lower or upper case.

    None when the database can't be read, or not within LONGEST.
    """
    try:
        import psycopg  # before the time is taken

        url, chosen = app.database_url.replace("+psycopg", ""), org or app.settings.org
        signal.signal(signal.SIGALRM, _stop)
        signal.setitimer(signal.ITIMER_REAL, LONGEST)
        with psycopg.connect(url, prepare_threshold=None) as connection:
            connection.read_only = True
            return _read(connection, kind, {"org": chosen, "model": model, "typed": _beginning(typed)})
    except Exception:  # a completion says nothing about what is wrong
        return []
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def _stop(*_: object) -> None:
    raise TimeoutError


def _beginning(typed: str) -> str:
    """Return the part of what is typed that PostgreSQL surely compares as dcmon does: ASCII, in lower case."""
    matched = re.match("[\x00-\x7f]*", typed)
    return matched[0].lower() if matched else ""


def _read(connection: Any, kind: str, values: dict[str, str | None]) -> list[str]:
    """Read names. `values`: of the parameters of the query, `org` as it is chosen."""
    name = None
    if kind != "orgs":
        rows = connection.execute(_ORGANIZATIONS, values).fetchall()
        if len(rows) != 1:
            return []
        name, schema = rows[0]
        if kind not in PUBLIC:
            connection.execute(_ENTER, [schema])
    # Only what matches is counted: of 2,000 organizations, the last ones are completed, too.
    query = f"select * from ({QUERIES[kind]}) names (name) where starts_with(lower(name), %(typed)s) limit {MOST}"
    return [value for (value,) in connection.execute(query, {**values, "org": name})]
