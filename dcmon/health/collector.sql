-- name: organization
-- What waits and fails in an organization, in one statement. The fragments are those of monitoring and alerting.
select (select version_num from alembic_version) as schema_revision,
       due.count as due_count, due.oldest_at as due_oldest_at,
       due.recent_count, due.recent_oldest_at,
       (select computed_at from results order by id desc limit 1) as evaluated_at,
       unsent.count as unsent_count, unsent.oldest_at as unsent_oldest_at,
       given_up.count as given_up_count, given_up.oldest_at as given_up_oldest_at,
       (select json_object_agg(severity, n) from (
           select severity, count(*) as n from alerts where state = 'firing' group by severity) f) as firing_alerts,
       ingested.received_rows, ingested.quarantined_rows, ingested.quarantined_since,
       failing.count as failing_count, failing.oldest_at as failing_oldest_at
  from (select count(*) as count, min(since) as oldest_at, count(*) filter (where is_recent) as recent_count,
               min(since) filter (where is_recent) as recent_oldest_at
          from (select d.window_end > now() - interval '2 days' as is_recent, greatest({ready_at},
                       case when {is_live} then d.window_end + m.lateness
                            when {is_complete} then v.newest_logged_at
                            else d.touched_at + cast(:last_window_pause as interval) end) as since
                  from due_windows d join versions v on v.id = d.version_id join models m on m.id = v.model_id
                       {backfill_join}
                 where {is_claimable}) claimable) due,
       (select count(*) as count, min(n.created_at) as oldest_at
          from notifications n join webhooks w on w.id = n.webhook_id
         where n.delivered_at is null and n.dead_at is null and n.held_because is null
           and (w.paused_at is null or w.paused_until <= now())) unsent,
       (select count(*) as count, min(dead_at) as oldest_at from notifications
         where dead_at > now() - interval '1 day' and not is_superseded) given_up,
       (select coalesce(sum(taken), 0) as received_rows, coalesce(sum(quarantined), 0) as quarantined_rows,
               min(created_at) filter (where quarantined > 0) as quarantined_since
          from (select * from batches order by id desc limit {ledger_rows}) newest
         where action = 'ingest' and created_at > now() - interval '1 hour') ingested,
       (select count(distinct rule_id) as count, min(computed_at) as oldest_at
          from ({failing_rules}) failing_rules) failing

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
 where created_at > now() - interval '1 hour'

-- name: parked_messages
select org_id, count(*) as message_count, min(parked_at) as oldest_at from parked_messages group by org_id

-- name: last_stored
select created_at from ingest_spans where partition = :partition
   and topic_id = (select topic_id from ingest_topics where name = :topic) order by id desc limit 1
