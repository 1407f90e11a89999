-- Fragments use these aliases: d = due_windows, v = versions, m = models.

-- name: has_no_rows
not exists (select 1 from quarter_hours q
             where q.version_id = d.version_id and q.at >= d.window_start and q.at < d.window_end and q.n > 0)

-- name: is_over
d.window_end + m.lateness + interval '{grace}' <= now()

-- name: is_emptied
-- A window whose rows were all deleted is complete. A window that never had a row (is_flow) is complete after its end.
({has_no_rows} and (not d.is_flow or {is_over}))

-- name: is_complete
-- A window is complete when newer samples have come or, for a live version, when its time is over.
(d.window_end + m.lateness <= v.watermark
 or ({is_live} and {is_over})
 or {is_emptied})

-- name: is_last_loaded
-- A last window of loaded history, after which no sample may ever come. It is complete when its time is over and its
-- load has paused: a window in the middle of a load must not be evaluated on the rows that came first.
({is_over} and d.touched_at + cast(:last_window_pause as interval) <= now())

-- name: backfill_join
-- A window that a backfill fills is evaluated when no row of the backfill came for the pause, or after two pauses.
left join (select version_id, max(touched_at) as touched_at from due_windows where is_backfill group by version_id)
       backfill on d.is_backfill and backfill.version_id = d.version_id

-- name: ready_at
case when d.is_backfill
     then greatest(d.due_at, least(backfill.touched_at + cast(:backfill_pause as interval),
                                   d.waits_since + 2 * cast(:backfill_pause as interval)))
     else d.due_at end

-- name: is_claimable
d.due_at <= now() and (d.lease_until is null or d.lease_until < now()) and ({is_complete} or {is_last_loaded})
and {ready_at} <= now()

-- name: is_recent
d.window_end > least(now(), v.watermark) - greatest(interval '2 days', 2 * (d.window_end - d.window_start))

-- name: claim
-- Recent windows come before history: the newest first, those without a result before those with one.
-- History is claimed from its beginning, so that its alerts open in order of time.
-- Windows of a new reference come last in both groups, the newest first: a long lookback delays no new rows.
update due_windows as claimed
   set lease_until = now() + :lease, token = :token, attempts = claimed.attempts + 1
  from (select d.version_id, d.window_start, d.window_end
          from due_windows d join versions v on v.id = d.version_id join models m on m.id = v.model_id {backfill_join}
         where {is_claimable}
         order by {is_recent} desc, d.is_reevaluation, d.is_first and not d.is_reevaluation desc,
                  extract(epoch from d.window_end) * case when {is_recent} or d.is_reevaluation then -1 else 1 end,
                  d.version_id
         limit :limit for update of d skip locked) candidate
 where (claimed.version_id, claimed.window_start, claimed.window_end)
     = (candidate.version_id, candidate.window_start, candidate.window_end)
returning claimed.version_id, claimed.window_start, claimed.window_end, claimed.touched_at, claimed.attempts,
          claimed.is_flow

-- name: has_touched
exists (select 1 from quarter_hours where is_touched) or exists (select 1 from receipts where is_touched)

-- name: next_claimable_at
-- One expansion takes a limited number of touched quarter hours. If more are left, the organization is due at once.
select case when {has_touched} then now() else
       (select min(greatest({ready_at}, coalesce(d.lease_until, d.due_at),
                   case when d.window_end + m.lateness <= v.watermark or {is_emptied} then d.due_at
                        when {is_live} or {has_no_rows} then d.window_end + m.lateness + interval '{grace}'
                        else greatest(d.window_end + m.lateness + interval '{grace}',
                                      d.touched_at + cast(:last_window_pause as interval)) end))
          from due_windows d join versions v on v.id = d.version_id join models m on m.id = v.model_id {backfill_join}
         where d.window_end + m.lateness <= v.watermark
            or {is_live}
            or cast(:last_window_pause as interval) is not null
            or {has_no_rows}) end

-- name: has_claimable
select exists (select 1 from due_windows d join versions v on v.id = d.version_id
                 join models m on m.id = v.model_id
                where d.due_at <= now() + interval '2 seconds' and {is_complete})

-- name: add
insert into due_windows as d (version_id, window_start, window_end, due_at, touched_at, is_backfill, is_flow,
                              is_reevaluation, is_first)
select version_id, window_start, window_end, now() + :wait, clock_timestamp(), is_backfill, :is_flow, :is_reevaluation,
       not exists (select 1 from results r
                    where r.version_id = w.version_id and r.window_end = w.window_end
                      and r.window_start = w.window_start)
  from unnest(:versions, :starts, :ends, :backfills) w(version_id, window_start, window_end, is_backfill)
on conflict (version_id, window_start, window_end) do update
   set due_at = least(d.due_at, excluded.due_at), touched_at = excluded.touched_at,
       is_backfill = d.is_backfill or excluded.is_backfill, is_flow = d.is_flow and excluded.is_flow,
       is_reevaluation = d.is_reevaluation and excluded.is_reevaluation

-- name: claimed_row
-- No row has the token if another worker has claimed the window since.
where version_id = :version and window_start = :start and window_end = :end and token = :token

-- name: extend_leases
update due_windows set lease_until = now() + :lease where token = :token

-- name: finish
-- A window that was touched after the claim is due again at once. Any other window waits until :again, or is deleted.
with finished as (
    delete from due_windows {claimed_row} and touched_at = :touched and cast(:again as timestamptz) is null
)
update due_windows
   set lease_until = null, token = null, attempts = 0, waits_since = now(), is_first = false,
       is_backfill = is_backfill and touched_at <> :touched,
       due_at = case when touched_at = :touched then cast(:again as timestamptz) else now() end
 {claimed_row} and (touched_at <> :touched or cast(:again as timestamptz) is not null)

-- name: hold
-- The row is locked before the names: the function is called for rows of the join, and "held" is complete by then.
with held as materialized (select true as is_held from due_windows {claimed_row} for update)
select is_held, case when name is not null then cast({lock_of_name} as text) end
  from held left join unnest(cast(:names as text[])) name on true

-- name: release
update due_windows set lease_until = null, token = null, attempts = attempts - 1 {claimed_row}

-- name: retry_later
update due_windows set lease_until = null, token = null, due_at = now() + :pause {claimed_row}
