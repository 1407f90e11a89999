"""Compare the rows of an adopted organization with those of the old database: numbers, and a checksum of samples."""

from sqlalchemy import Engine, text

from dcmon import db, errors
from dcmon.adoption.old_database import OldDatabase, OldOrganization
from dcmon.db import Organization, sql
from dcmon.storage import models, versions

# The sum of a hash of each sample's id and time, in microseconds.
CHECKSUM = (
    "select coalesce(sum(hashtextextended(_dc_sample_id || '/' ||"
    " cast(extract(epoch from _dc_time) * 1000000 as bigint), 0)::numeric), 0)::text from {table}"
)


class Differs(errors.DcmonError):
    """{name} differs from the old database: {reason}. Rows were logged there meanwhile, most often. What was moved is
    removed; stop what logs rows, and type the command again."""


def compare(old: OldDatabase, source: OldOrganization, engine: Engine, org: Organization) -> None:
    """Compare all versions. Raises Differs, which names the first that differs.

    Each sample is stored or quarantined. Where none is quarantined, ids and times of all of them have one checksum.
    """
    with db.org_session(engine, org, snapshot=True) as session:
        for model in models.entries(session):
            for version in versions.entries(session, model):
                table = f"model_{model.id}_monitor_data_{version.id}"
                if not old.has(source.schema, table):
                    continue
                name, total = f"{model.name}/{version.name}", old.count(source.schema, table)
                stored = session.execute(text(f"select count(*) from samples_{version.relation}")).scalar_one()
                refused = text("select count(*) from quarantine where kind = 'samples' and version_id = :id")
                quarantined = session.execute(refused, {"id": version.id}).scalar_one()
                if stored + quarantined != total:
                    raise Differs(
                        name=name, reason=f"{total} samples there, {stored} stored and {quarantined} quarantined here"
                    )
                if not quarantined:
                    here = session.connection().exec_driver_sql(CHECKSUM.format(table=f"samples_{version.relation}"))
                    expected = old.scalar(CHECKSUM.format(table=f"{sql.identifier(source.schema)}.{table}"))
                    if here.scalar_one() != expected:
                        raise Differs(name=name, reason="ids or times of samples have another checksum")
