-- name: compared_windows
-- What each monitor that compares with the reference said of its newest and of its oldest windows. A reference that
-- suits production has some windows that are like it. Few results of each monitor are read, through the index on windows.
-- No changes and no drift at all: the window is like the reference. Older results have drift without changes.
select model, version, monitor_id, coalesce(how -> 'changes', cast('{}' as json)) as changes
  from (select distinct on (watched.version_id, watched.monitor_id, r.window_end)
               watched.model, watched.version, watched.monitor_id, r.window_end, r.state, r.compared_start,
               r.entries, r.how, r.reference_revision = watched.reference_revision
                 and r.monitor_revision = watched.monitor_revision as is_present
          from (select m.name as model, v.name as version, v.id as version_id, v.reference_revision,
                       mo.id as monitor_id, mo.revision as monitor_revision
                  from versions v join models m on m.id = v.model_id
                  join checks k on k.model_id = m.id and k.needs_reference
                  join monitors mo on mo.check_id = k.id and mo.compared_with = 'reference'
                 where v.newest_logged_at > now() - interval '30 days' and v.reference_revision > 0) watched
         cross join lateral (
               (select window_end, revision, state, compared_start, entries, how, reference_revision, monitor_revision
                  from results where monitor_id = watched.monitor_id and version_id = watched.version_id
                 order by window_end desc, revision desc limit :newest)
               union all
               (select window_end, revision, state, compared_start, entries, how, reference_revision, monitor_revision
                  from results where monitor_id = watched.monitor_id and version_id = watched.version_id
                 order by window_end, revision desc limit :oldest)) r
         order by watched.version_id, watched.monitor_id, r.window_end, r.revision desc) windows
 where is_present and state = 'OK' and compared_start is null
   and (how -> 'changes' is not null
        or not exists (select 1 from json_each_text(entries) entry where cast(entry.value as float8) <> 0))
 order by model, version, monitor_id, window_end desc
