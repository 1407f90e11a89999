-- name: version
select current_setting('server_version_num')::int as number, current_setting('server_version') as version,
       pg_is_in_recovery() as is_standby, current_database() as database,
       current_setting('default_transaction_read_only')::bool as is_read_only,
       (select pg_encoding_to_char(encoding) from pg_database where datname = current_database()) as encoding

-- name: clock
select clock_timestamp() as at

-- name: waiting
-- The first blocker of each session that waits: who is blocked by a blocked session waits for the same one.
select b.pid as blocker, b.application_name as application, b.state, count(*) as count,
       min(w.state_change) as since, extract(epoch from now() - min(w.state_change)) as seconds
  from pg_stat_activity w cross join lateral (select (pg_blocking_pids(w.pid))[1] as pid) first_blocker
       join pg_stat_activity b on b.pid = first_blocker.pid
 where w.wait_event_type = 'Lock' and w.datname = current_database()
   and w.state_change < now() - make_interval(secs => :seconds)
   and b.wait_event_type is distinct from 'Lock'
 group by b.pid, b.application_name, b.state

-- name: long_statements
select pid, application_name as application, query_start as since, left(regexp_replace(query, '\s+', ' ', 'g'), 60) as beginning
  from pg_stat_activity
 where state = 'active' and datname = current_database() and backend_type = 'client backend' and pid <> pg_backend_pid()
   and query_start < now() - make_interval(hours => :hours)

-- name: prepared
select gid as name, owner, prepared as since from pg_prepared_xacts where database = current_database()

-- name: slots
select slot_name as name, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) as size
  from pg_replication_slots
 where not active and restart_lsn is not null and not pg_is_in_recovery()
   and pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn) > :size

-- name: autovacuum
select not (current_setting('autovacuum')::bool and current_setting('track_counts')::bool) as is_off,
       (select array_agg(format('%I.%I', n.nspname, c.relname) order by c.oid)
          from pg_class c join pg_namespace n on n.oid = c.relnamespace
         where c.relkind in ('r', 'p') and n.nspname !~ '^pg_'
           and exists (select 1 from unnest(c.reloptions) as option
                        where option ~ '^autovacuum_enabled=(false|off|no|0)$')) as tables

-- name: bloat
select format('%I.%I', schemaname, relname) as name, n_dead_tup as dead, n_live_tup as live
  from pg_stat_user_tables
 where n_dead_tup > :dead_rows and n_dead_tup > :dead_share * (n_dead_tup + n_live_tup)
 order by n_dead_tup desc limit 5
