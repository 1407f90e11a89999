-- name: organization
-- What waits and fails in an organization, in one statement. The fragments are those of monitoring, alerting and ingestion.
select (select version_num from alembic_version) as schema_revision,
       due.count as due_count, due.oldest_at as due_oldest_at,
       due.recent_count, due.recent_oldest_at,
       (select computed_at from results order by id desc limit 1) as evaluated_at,
       unsent.count as unsent_count, unsent.oldest_at as unsent_oldest_at,
       given_up.count as given_up_count, given_up.oldest_at as given_up_oldest_at, given_up.names as given_up_by,
       (select json_object_agg(severity, n) from (
           select severity, count(*) as n from alerts where state = 'firing' group by severity) f) as firing_alerts,
       (select json_agg(share) from ({quarantined_samples} union all {quarantined_labels}) share) as quarantined_shares,
       (select json_agg(loss) from ({source_losses}) loss) as source_losses,
       failing.count as failing_count, failing.oldest_at as failing_oldest_at,
       (select json_agg(receiver) from ({failing_receivers}) receiver) as failing_receivers,
       (select json_agg(receiver) from ({unreachable_receivers}) receiver) as unreachable_receivers,
       (select json_agg(receiver) from ({paused_receivers}) receiver) as paused_receivers,
       (select json_agg(held) from ({held_notifications}) held) as held_notifications,
       ({undelivered_alerts}) as undelivered_alerts,
       ({has_receiver}) as has_receiver,
       (select json_agg(monitors) from ({silent_monitors}) monitors) as silent_monitors,
       (select json_agg(labels) from ({missing_labels}) labels) as missing_labels,
       exists (select 1 from due_windows)
         or exists (select 1 from notifications where delivered_at is null and dead_at is null) as is_waiting
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
       (select count(*) as count, min(n.dead_at) as oldest_at, array_agg(distinct w.name order by w.name) as names
          from notifications n join webhooks w on w.id = n.webhook_id
         where n.dead_at > now() - interval '1 day' and not n.is_superseded) given_up,
       (select count(distinct rule_id) as count, min(computed_at) as oldest_at
          from ({failing_rules}) failing_rules) failing

-- name: quarantined_samples
-- Receipts are counted by quarter of an hour: the last four quarters, of which one has just begun. They include
-- duplicates, which are known from the newest lines of the ledger.
select m.name as model, v.name as version,
       greatest(coalesce(received.count, 0) - coalesce(repeated.count, 0), bad.count) as received,
       bad.count as quarantined, bad.since, bad.reasons
  from (select date_bin('15 minutes', now(), timestamptz '2000-01-01 00:00+00') - interval '45 minutes' as at) start
 cross join versions v join models m on m.id = v.model_id
 cross join lateral (
       select count(*) as count, min(logged_at) as since,
              (select array_agg(reason order by n desc, reason)
                 from (select reason || coalesce(' (' || field || ')', '') as reason, count(*) as n
                         from (select reason, field from quarantine
                                where version_id = v.id and logged_at >= start.at
                                order by logged_at desc limit {reason_rows}) newest
                        group by 1 order by 2 desc, 1 limit {reasons}) most) as reasons
         from quarantine where version_id = v.id and logged_at >= start.at) bad
  left join lateral (select sum(taken) as count from receipts where version_id = v.id and at >= start.at) received on true
  left join (select version_id, sum(duplicates) as count
               from (select * from batches order by id desc limit {ledger_rows}) newest
              where kind = 'samples' and action = 'ingest'
                and created_at >= date_bin('15 minutes', now(), timestamptz '2000-01-01 00:00+00') - interval '45 minutes'
              group by version_id) repeated on repeated.version_id = v.id
 where bad.count > 0

-- name: quarantined_labels
-- Labels have no receipts. In an organization with many requests, the newest lines of the ledger span less than an hour.
select m.name, null, labels.received, labels.quarantined, labels.since,
       (select array_agg(reason order by n desc, reason)
          from (select reason || coalesce(' (' || field || ')', '') as reason, count(*) as n
                  from (select * from quarantine order by id desc limit {reason_rows}) newest
                 where model_id = m.id and kind = 'labels' group by 1 order by 2 desc, 1 limit {reasons}) most)
  from (select model_id, sum(taken - duplicates) as received, sum(quarantined) as quarantined,
               min(created_at) filter (where quarantined > 0) as since
          from (select * from batches order by id desc limit {ledger_rows}) newest
         where kind = 'labels' and action = 'ingest' and created_at > now() - interval '1 hour'
         group by model_id having sum(quarantined) > 0) labels
  join models m on m.id = labels.model_id
