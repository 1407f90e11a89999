-- name: half_deleted
select name, schema_name as schema, deleted_at from organizations
 where deleted_at is not null and to_regnamespace(quote_ident(schema_name)) is not null
   and deleted_at < now() - interval '10 minutes'

-- name: without_organization
select n.nspname as schema, count(*) as tables
  from pg_namespace n join pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'p')
 where n.nspname ~ '^org_[0-9]+$' and not exists (select 1 from organizations o where o.schema_name = n.nspname)
   and exists (select 1 from pg_class v where v.relnamespace = n.oid and v.relname = 'alembic_version')
 group by n.nspname order by n.nspname

-- name: without_schema
select name, schema_name as schema from organizations
 where deleted_at is null and to_regnamespace(quote_ident(schema_name)) is null
   and created_at < now() - interval '1 minute'

-- name: missing_indexes
-- The index on the first columns of each table of samples, as storage.sample_tables creates it.
select n.nspname as schema, c.relname as name, '_dc_level, _dc_time, _dc_hash' as columns
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'p' and c.relname ~ '^samples_[0-9]+$' and n.nspname ~ '^org_'
   and not exists (select 1 from pg_index i where i.indrelid = c.oid and i.indisvalid)
 order by c.oid limit 20

-- name: invalid_indexes
select format('%I.%I', n.nspname, c.relname) as name
  from pg_index i join pg_class c on c.oid = i.indexrelid join pg_namespace n on n.oid = c.relnamespace
 where not i.indisvalid and c.relkind = 'i' and n.nspname !~ '^pg_'
 order by 1 limit 20

-- name: applications
select application_name as application, count(*) as count from pg_stat_activity
 where datname = current_database() and application_name ~ '^dcmon [0-9]' group by 1 order by 1
