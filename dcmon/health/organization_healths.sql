-- name: changes
-- How often rows of an organization's tables were changed. These counters take 0.1 s for 2,000 organizations; a change is
-- in them after ten seconds at most. After a crash they start from 0: then all organizations count as changed.
select n.nspname as schema,
       sum(pg_stat_get_tuples_inserted(c.oid) + pg_stat_get_tuples_updated(c.oid) + pg_stat_get_tuples_deleted(c.oid))
  from pg_class c join pg_namespace n on n.oid = c.relnamespace
 where c.relkind = 'r' and c.relname = any(cast(:tables as name[]))
 group by n.nspname

-- name: store
-- An organization that was deleted meanwhile has no row any more.
insert into organization_health (org_id, read_at, changes, health)
select o.id, :read_at, r.changes, cast(r.health as json)
  from unnest(cast(:ids as int[]), cast(:changes as bigint[]), cast(:healths as text[])) r (id, changes, health)
  join organizations o on o.id = r.id
 order by o.id
    on conflict (org_id) do update
   set read_at = excluded.read_at, changes = excluded.changes, health = excluded.health
