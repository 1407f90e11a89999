-- name: replace
-- Update labels of samples that have one. The label that was logged last wins; of equal times the one that comes last.
with incoming as ({incoming}), before as (
    select t.k, l.label, t.label is distinct from l.label as differs from incoming t
    {stored_label} l
), written as (
    insert into labels_{version} as l (lvl, ts, h, k, label, logged_at)
    select lvl, ts, h, k, label, logged_at from incoming
    on conflict (lvl, ts, h, k) do update set label = excluded.label, logged_at = excluded.logged_at
     where l.logged_at < excluded.logged_at
        or (l.logged_at = excluded.logged_at and l.label is distinct from excluded.label)
    returning k, ts, label
), quarters as (
    select date_bin('15 minutes', w.ts, timestamptz '2000-01-01 00:00+00') as at, count(*) as changed,
           sum((w.label is not null)::int - (b.label is not null)::int) as gained
      from written w join before b using (k) where b.differs group by 1
), touched as (
    update quarter_hours q
       set n_labelled = q.n_labelled + gained, labels_revision = q.labels_revision + changed, is_touched = true
      from quarters where q.version_id = %(version)b and q.at = quarters.at
)
select coalesce((select sum(changed) from quarters), 0)::int8, (select count(*) from before where differs)

-- name: keep_waiting
-- Keep labels whose sample is not stored yet. Return how many are new or changed.
with incoming as (
    select * from unnest(%(k)b::uuid[], %(label)b::{type}[], %(logged_at)b::timestamptz[]) t(k, label, logged_at)
), before as (
    select t.k, o.label from incoming t {waiting_label} o
), kept as (
    insert into orphan_labels_{model} as o (k, label, logged_at) select k, label, logged_at from incoming
    on conflict (k) do update set label = excluded.label, logged_at = excluded.logged_at
     where o.logged_at < excluded.logged_at
        or (o.logged_at = excluded.logged_at and o.label is distinct from excluded.label)
    returning k, label
)
select count(*) from kept left join before b using (k) where b.k is null or b.label is distinct from kept.label
