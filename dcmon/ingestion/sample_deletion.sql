-- name: count
select count(*), count(l.k) from samples_{version} s left join labels_{version} l
    on (l.lvl, l.ts, l.h, l.k) = (s.{level}, s.{time}, s.{hash}, s.{key}) and l.ts >= :first and l.ts < :after
 where {in_range}

-- name: delete
-- Delete samples of a range with their ids and labels, and subtract them from the quarters of an hour.
-- Return how many samples and labels were deleted.
with deleted as (
    delete from samples_{version} where {in_range}
    returning {level} as lvl, {time} as ts, {hash} as h, {key} as k
), freed as (
    delete from ids_{model} i using deleted where i.k = deleted.k and i.version_id = :version
), unlabelled as (
    delete from labels_{version} l using deleted
     where (l.lvl, l.ts, l.h, l.k) = (deleted.lvl, deleted.ts, deleted.h, deleted.k)
       and l.ts >= :first and l.ts < :after
    returning l.k, l.label, l.logged_at
), waiting as (
    {waiting}
), quarters as (
    select date_bin('15 minutes', deleted.ts, timestamptz '2000-01-01 00:00+00') as at, count(*) as n,
           count(u.k) as labels, count(u.label) as labelled
      from deleted left join unlabelled u using (k) group by 1
), touched as (
    update quarter_hours q
       set n = q.n - quarters.n, n_labelled = q.n_labelled - labelled, is_touched = true,
           rows_revision = q.rows_revision + quarters.n, labels_revision = q.labels_revision + labels
      from quarters where q.version_id = :version and q.at = quarters.at
)
select (select count(*) from deleted), (select count(*) from unlabelled)

-- name: keep_labels
-- Let labels wait for their samples, unless another version has the same sample and so keeps the label.
insert into orphan_labels_{model} as o (k, label, logged_at)
select u.k, u.label, u.logged_at from unlabelled u where not exists (
    select 1 from ids_{model} i where i.k = u.k and i.version_id <> :version)
on conflict (k) do update set label = excluded.label, logged_at = excluded.logged_at
 where o.logged_at <= excluded.logged_at

-- name: forget_labels
-- Delete labels that already wait for these samples, so that samples that are logged again do not get them.
delete from orphan_labels_{model} o using deleted where o.k = deleted.k
