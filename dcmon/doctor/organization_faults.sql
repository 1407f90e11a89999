-- name: unwatched
select m.name as model, min(v.earliest) as since
  from models m join versions v on v.model_id = m.id
 where v.newest_logged_at is not null
   and not exists (select 1 from checks k join monitors mo on mo.check_id = k.id where k.model_id = m.id)
 group by m.name order by m.name limit 20

-- name: empty_versions
select m.name as model, v.name as version, v.created_at as since
  from versions v join models m on m.id = v.model_id
 where v.newest_logged_at is null and v.created_at < now() - interval '1 day'
 order by v.id limit 20

-- name: time_zones
select distinct on (time_zone) time_zone, name as model from models where time_zone <> 'UTC' order by time_zone, name

-- name: failing_sources
select name, url, last_error as error, scanned_at as since from sources
 where is_active and last_error is not null order by id limit 20

-- name: failing_windows
select m.name as model, v.name as version, max(d.window_end) as window_end, max(d.attempts) as attempts,
       count(*) as count, min(d.waits_since) as since
  from due_windows d join versions v on v.id = d.version_id join models m on m.id = v.model_id
 where d.attempts >= :attempts group by m.name, v.name order by m.name, v.name limit 20

-- name: expired_tokens
select t.name, t.prefix, o.name as org, t.expires_at as since, t.last_used_at as used
  from tokens t join organizations o on o.id = t.org_id
 where t.expires_at between now() - interval '30 days' and now() and t.revoked_at is null and o.deleted_at is null
   and t.last_used_at > t.expires_at - interval '30 days'
 order by t.id limit 50

-- name: expiring_tokens
select t.name, t.prefix, o.name as org, t.expires_at as until
  from tokens t join organizations o on o.id = t.org_id
 where t.expires_at between now() and now() + make_interval(days => :days) and t.revoked_at is null
   and o.deleted_at is null and t.last_used_at > now() - interval '30 days'
 order by t.id limit 50
