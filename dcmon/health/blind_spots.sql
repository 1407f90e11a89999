-- name: failing_receivers
-- Receivers whose last attempt failed while notifications wait, and those that dcmon paused because of an answer. The
-- attempt that goes on now, of a message that is leased, has not failed yet. If one was delivered since a message that
-- failed often was tried first, it does not count as failing one time after the other: its failures are 0. The table may
-- have millions of notifications, so this is looked up only where it matters.
select f.name, f.kind, f.waiting, f.since, f.status, f.error,
       case when f.failures >= {many_failures}
             and (select true from notifications d
                   where d.webhook_id = f.id and d.delivered_at > f.tried_at limit 1) is not null
            then 0 else f.failures end as failures
  from (select w.id, w.name, w.kind, count(n.id) as waiting, min(n.created_at) as since,
               (array_agg(n.last_status order by n.due_at desc))[1] as status,
               coalesce(max(w.paused_because) filter (where w.paused_until is null),
                        (array_agg(n.last_error order by n.due_at desc))[1]) as error,
               max(n.attempts - (n.lease_until is not null)::int) as failures,
               max(n.tried_at) filter (where n.attempts - (n.lease_until is not null)::int >= {many_failures}) as tried_at
          from webhooks w join notifications n on n.webhook_id = w.id
         where w.is_active and n.delivered_at is null and n.dead_at is null and n.held_because is null
           and n.attempts > (n.lease_until is not null)::int and n.last_error is not null
           and (w.paused_at is null or w.paused_until <= now()
                or (w.paused_until is null and w.paused_because is not null))
         group by w.id, w.name, w.kind) f
 order by f.id

-- name: unreachable_receivers
-- Receivers whose present address the last probe did not reach, if no message reached them since.
select w.name, w.kind, p.error, p.failures, p.failed_since as since,
       greatest(p.connected_at, m.delivered_at, t.delivered_at) as contacted_at,
       jsonb_exists(cast(w.severities as jsonb), 'critical')
         and not exists (select 1 from webhooks o
                           left join receiver_probes q on q.webhook_id = o.id and q.address = md5(o.url)
                          where o.id <> w.id and o.is_active and q.error is null
                            and jsonb_exists(cast(o.severities as jsonb), 'critical')) as is_last
  from receiver_probes p join webhooks w on w.id = p.webhook_id and p.address = md5(w.url)
 cross join lateral (select max(delivered_at) as delivered_at from notifications where webhook_id = w.id) m
 cross join lateral (select max(finished_at) as delivered_at from receiver_tests
                      where webhook_id = w.id and is_delivered) t
 where p.error is not null and w.is_active and (w.paused_at is null or w.paused_until <= now())
   and coalesce(greatest(m.delivered_at, t.delivered_at) <= p.probed_at, true)
 order by w.id limit {most}

-- name: paused_receivers
-- Receivers that are paused until an operator resumes them. Of the last one, no other gets critical alerts now.
select w.name, w.kind, w.paused_at as since, w.paused_because as reason, is_for.critical as is_critical,
       is_for.critical
         and not exists (select 1 from webhooks o
                          where o.id <> w.id and o.is_active and (o.paused_at is null or o.paused_until <= now())
                            and jsonb_exists(cast(o.severities as jsonb), 'critical')) as is_last
  from webhooks w
 cross join lateral (select jsonb_exists(cast(w.severities as jsonb), 'critical') as critical) is_for
 where w.is_active and w.paused_at is not null and w.paused_until is null
 order by w.id limit {most}

-- name: held_notifications
-- What waits as an operator, or a more severe alert, wants it; that of the same holder is one row, also while some
-- reasons still have an end that the holder had before: of these, the latest is shown. "alerts": those that fire, and that
-- neither a receiver nor an operator knows of. Their notifications are looked up, not joined: an alert has few, and the
-- table may have millions.
select receiver, case when receiver is not null then paused_until end as until,
       max(held_because) filter (where receiver is null and not held_because ^@ 'alert ') as reason,
       count(*) as count, count(distinct unknown) as alerts,
       count(distinct unknown) filter (where severity = 'critical') as critical_alerts
  from (select case when w.paused_at is not null and coalesce(w.paused_until > now(), true) then w.name end as receiver,
               w.paused_until, n.held_because, a.id as unknown, a.severity
          from notifications n join webhooks w on w.id = n.webhook_id
               left join alerts a on a.id = n.alert_id and a.state = 'firing' and a.acknowledged_at is null
                    and (select true from notifications d
                          where d.alert_id = a.id and d.delivered_at is not null limit 1) is null
         where n.delivered_at is null and n.dead_at is null) waiting
 where receiver is not null or held_because is not null
 group by 1, 2,
          case when receiver is null and not held_because ^@ 'alert '
               then coalesce(substring(held_because from '^silence [0-9]+ '),
                             substring(held_because from '^(mute time .+) until .* UTC$'), held_because) end
 order by 4 desc, 1, 3

-- name: undelivered_alerts
-- A minute passes before a notification counts as missing: it is delivered within a second. Without a receiver, none comes,
-- and where each receiver's attempt has failed, there is nothing to wait for.
-- What is held as an operator wants it is not missing. A pause holds only what goes to that receiver: an alert that another
-- receiver should have got is missing. A receiver that dcmon itself paused (`paused_because`) is no wish.
select json_build_array(count(*), min(a.opened_at),
                        (select json_agg(failed)
                           from (select distinct on (w.id) w.name, n.last_error as error
                                   from notifications n join webhooks w on w.id = n.webhook_id
                                  where n.alert_id = any(array_agg(a.id)) and n.last_error is not null and w.is_active
                                  order by w.id, n.due_at desc limit {few_receivers}) failed))
  from alerts a
 where a.state = 'firing' and a.severity = 'critical' and a.acknowledged_at is null
   and (a.opened_at < now() - interval '1 minute'
        or not exists (select 1 from webhooks where is_active and jsonb_exists(cast(severities as jsonb), 'critical'))
        or (select bool_and(n.dead_at is not null or n.attempts > (n.lease_until is not null)::int)
              from notifications n where n.alert_id = a.id))
   and (select bool_or(n.delivered_at is not null or (n.dead_at is null and n.held_because is not null))
               or (bool_or(n.dead_at is null and pause.is_wish)
                   and not bool_or(w.is_active and not n.is_superseded and not pause.is_wish))
          from notifications n join webhooks w on w.id = n.webhook_id
         cross join lateral (select w.is_active and w.paused_at is not null and w.paused_because is null
                                    and coalesce(w.paused_until > now(), true) as is_wish) pause
         where n.alert_id = a.id) is not true

-- name: has_receiver
select exists (select 1 from webhooks where is_active and jsonb_exists(cast(severities as jsonb), 'critical'))

-- name: silent_monitors
-- Monitors of versions that got rows within a month, by what their newest results say.
-- The monitor that is named has the reason that is named.
select state, model, version, count(*) as count, (array_agg(monitor order by reason, monitor))[1] as monitor,
       min(since) as since, (array_agg(reason order by reason, monitor))[1] as reason
  from (select m.name as model, v.name as version, mo.name as monitor, last.reason,
               case when last.newest = 'ERROR' then 'failing'
                    when last.has_value then 'well'
                    when k.needs_reference and mo.compared_with = 'reference' and v.reference_revision = 0
                         then 'unreferenced'
                    when last.count >= {few} and not exists (
                         select 1 from (select state from results r
                                         where r.monitor_id = mo.id and r.version_id = v.id
                                         order by window_end desc limit {many}) older
                          where state not in ('NO_DATA', 'INSUFFICIENT')) then 'valueless'
                    else 'well' end as state,
               last.since
          from versions v join models m on m.id = v.model_id
               join checks k on k.model_id = m.id join monitors mo on mo.check_id = k.id
               cross join lateral (
                    select count(*) as count, min(computed_at) as since,
                           (array_agg(state order by window_end desc, revision desc))[1] as newest,
                           (array_agg(reason order by window_end desc, revision desc))[1] as reason,
                           coalesce(bool_or(state not in ('NO_DATA', 'INSUFFICIENT')), true) as has_value
                      from (select state, reason, window_end, revision, computed_at from results r
                             where r.monitor_id = mo.id and r.version_id = v.id
                             order by window_end desc limit {few}) newest) last
         where v.newest_logged_at > now() - interval '30 days') monitors_of_versions
 where state <> 'well'
 group by state, model, version order by state, model, version limit {most}

-- name: missing_labels
-- Rows after the newest row with a label, of models with monitors that need labels, that were logged longer ago than
-- labels take: twice the model's label delay, or twice the longest pause between labels that came. The ledger, which
-- knows when labels came, is read only where there are such rows, and back from the newest labels on: within half of the
-- wait, only to the oldest labels, as shorter pauses do not matter; where there are none, to those before the pause. So
-- few lines are read of many, and the longest pause is as exact as the lines are: where those of requests were merged
-- into one a day, which has the time of the last, a pause may look up to a day longer.
with recursive watched as materialized (
    select v.id, v.name as version, m.id as model_id, m.name as model,
           greatest(2 * m.label_delay, interval '1 day') as wait
      from versions v join models m on m.id = v.model_id
     where v.newest_logged_at > now() - interval '30 days'
       and exists (select 1 from checks k join monitors mo on mo.check_id = k.id
                    where k.model_id = m.id and k.needs_labels)),
unlabelled as materialized (
    select w.*, labelled.until
      from watched w
     cross join lateral (select (select at from quarter_hours where version_id = w.id and n_labelled > 0
                                  order by at desc limit 1) as until) labelled
     where (select sum(n) from quarter_hours
             where version_id = w.id and at > coalesce(labelled.until, '-infinity')
               and logged_at < now() - w.wait) >= {few_rows}),
newest as materialized (
    select models.model_id, models.wait,
           (select created_at from batches where model_id = models.model_id and {are_labels}
             order by created_at desc limit 1) as at
      from (select distinct model_id, wait from unlabelled) models),
walk (model_id, wait, at, pause, step) as (
    select model_id, wait, at, cast(null as interval), 0 from newest where at is not null
     union all
    select w.model_id, w.wait, earlier.at, case when earlier.at < w.at - w.wait / 2 then w.at - earlier.at end, w.step + 1
      from walk w
     cross join lateral (
           select coalesce(
                  (select created_at from batches where model_id = w.model_id and {are_labels}
                      and created_at < w.at and created_at >= w.at - w.wait / 2 order by created_at limit 1),
                  (select created_at from batches where model_id = w.model_id and {are_labels}
                      and created_at < w.at - w.wait / 2 order by created_at desc limit 1)) as at
           offset 0) earlier  -- so that it is not copied to each place that names it
     where earlier.at is not null and w.step < {most_steps}),
arrived as materialized (
    select n.model_id, n.at as last, (select max(pause) from walk where model_id = n.model_id) as pause from newest n)
select u.model, u.version, missing.count, missing.since, u.until as labelled_until, arrived.last as arrived_at,
       extract(epoch from longest.wait) as wait
  from unlabelled u join arrived on arrived.model_id = u.model_id
 cross join lateral (select greatest(u.wait, 2 * arrived.pause) as wait) longest
 cross join lateral (select sum(n) as count, min(logged_at) as since from quarter_hours
                      where version_id = u.id and at > coalesce(u.until, '-infinity')
                        and logged_at < now() - longest.wait) missing
 where missing.count >= {few_rows} and coalesce(arrived.last < now() - longest.wait, true)
 order by missing.since limit {most}

-- name: are_labels
-- Lines of the ledger that stored labels: the index ix_batches_labels has them.
kind = 'labels' and action = 'ingest' and stored > 0
