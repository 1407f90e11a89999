-- name: compared_windows
-- What each drift monitor of a version that gets rows said of its windows against the present reference: the newest and
-- the oldest windows. A reference that suits production has some windows that are like it.
select model, version, changes, newest, total
  from (select m.name as model, v.name as version, r.monitor_id, r.version_id, r.how -> 'changes' as changes,
               row_number() over newest as newest, row_number() over oldest as oldest,
               count(*) over (partition by r.monitor_id, r.version_id) as total
          from (select distinct on (monitor_id, version_id, window_end) *
                  from results where how -> 'changes' is not null and compared_start is null
                 order by monitor_id, version_id, window_end, revision desc) r
          join versions v on v.id = r.version_id and v.reference_revision = r.reference_revision
          join models m on m.id = v.model_id
          join monitors mo on mo.id = r.monitor_id and mo.compared_with = 'reference'
                          and mo.revision = r.monitor_revision
         where v.newest_logged_at > now() - interval '30 days' and v.reference_revision > 0
        window newest as (partition by r.monitor_id, r.version_id order by r.window_end desc),
               oldest as (partition by r.monitor_id, r.version_id order by r.window_end)) windows
 where total >= :few and (newest <= :many or oldest <= :few)
 order by model, version, monitor_id, newest
