-- name: expired_alerts
select a.id from alerts a where a.version_id = :version and {is_over}

-- True for a resolved alert without a notification to send. Of any other alert, the results stay from its first window
-- on.
-- name: is_over
a.state = 'resolved' and a.last_window_end < :before
and not exists (select 1 from notifications o
                 where o.alert_id = a.id and o.delivered_at is null and o.dead_at is null)

-- name: expired_results
select t.id from results t
 where t.version_id = :version and t.window_end < :before
   and not exists (select 1 from alerts a join alert_rules r on r.id = a.rule_id
                    where r.monitor_id = t.monitor_id and a.version_id = t.version_id
                      and a.first_window_end <= t.window_end and not ({is_over}))

-- Values of a check on a reference, or of a monitor, that no result refers to.
-- name: expired_baselines
select b.ctid from baselines b join monitors m on m.id = b.monitor_id join versions v on v.id = b.version_id
 where b.version_id = :version and b.computed_at < :before
   and (b.monitor_revision, b.reference_revision) <> (m.revision, v.reference_revision)
   and not exists (select 1 from results r
                    where r.monitor_id = b.monitor_id and r.version_id = b.version_id
                      and r.monitor_revision = b.monitor_revision and r.reference_revision = b.reference_revision)

-- name: expired_receipts
select r.ctid from receipts r join versions v on v.id = r.version_id where v.model_id = :model and r.at < :before

-- Notifications about dcmon itself, which belong to no alert.
-- name: expired_notifications
select n.ctid from notifications n
 where n.alert_id is null and n.created_at < :before and (n.delivered_at is not null or n.dead_at is not null)

-- name: expired_silences
select s.ctid from silences s where s.ends_at < :before

-- name: quarantined_rows
select coalesce(v.name, '') as version, count(*) as rows
  from quarantine q left join versions v on v.id = q.version_id
 where q.model_id = :model and q.logged_at < :before
 group by 1

-- name: samples_in_span
select count(*) from samples_{version} where {time} >= :start and {time} < :end

-- name: labels_in_span
select count(*) from labels_{version} where ts >= :start and ts < :end

-- name: ids_in_span
select count(*) from ids_{model} where version_id = :version and ts >= :start and ts < :end

-- name: quarter_hours_in_span
select count(*) from quarter_hours where version_id = :version and at >= :start and at < :end

-- name: detached_ids
select count(*) from ids_{model} i join {table} t on t.{key} = i.k where i.version_id = :version
