-- name: postgres_usage
select count(*) as connections, current_setting('max_connections')::int as max_connections,
       (select count(*) from pg_locks) as locks,
       current_setting('max_locks_per_transaction')::int
         * (current_setting('max_connections')::int + current_setting('max_prepared_transactions')::int)
         as max_locks,
       (select age(datfrozenxid) from pg_database where datname = current_database()) as transaction_age,
       min(xact_start) filter (where state like 'idle in transaction%') as idle_since,
       (array_agg(pid order by xact_start) filter (where state like 'idle in transaction%'))[1] as idle_pid
  from pg_stat_activity where backend_type = 'client backend' or backend_type is null

-- name: dead_letters
select count(*) as count, min(created_at) as oldest_at
  from (select * from dead_letters order by id desc limit 1000) newest
 where created_at > now() - interval '1 hour' and resolved_at is null

-- name: parked_messages
select org_id, count(*) as message_count, min(parked_at) as oldest_at from parked_messages group by org_id

-- name: last_stored
select created_at from ingest_spans where partition = :partition
   and topic_id = (select topic_id from ingest_topics where name = :topic) order by id desc limit 1
