-- name: count_samples
select count(*), sum(cast(uuid_hash({key}) as int8)) from samples_{version}

-- name: count_ids
select count(*), sum(cast(uuid_hash(i.k) as int8)) from ids_{model} i where i.version_id = :version

-- name: count_by_quarter
select sum(n), sum(n_labelled) from quarter_hours where version_id = :version

-- name: count_wrong_quarters
-- Count the quarters of an hour whose count differs from that of the table.
select count(*) from (
    select date_bin('15 minutes', {time}, timestamptz '2000-01-01 UTC') as at, {counted} as n from {table} group by 1
) t full join (
    select at, {column} as n from quarter_hours where version_id = :version
) q using (at) where coalesce(t.n, 0) <> coalesce(q.n, 0)

-- name: count_labels_without_sample
select count(*) from labels_{version} l
  left join ids_{model} i on i.k = l.k and i.version_id = :version and i.ts = l.ts
 where i.k is null

-- name: count_labels_still_waiting
-- Count the labels that wait although their sample is stored and has no label or an older one.
select count(*) from orphan_labels_{model} o
  join ids_{model} i on i.k = o.k and i.version_id = :version
  left join labels_{version} l on l.k = o.k and l.ts = i.ts
 where l.k is null or l.logged_at < o.logged_at

-- name: is_leftover
-- True for an id that was not deleted yet after its month was pruned, and was not logged again since.
i.k in (select {key} from {detached})
    and not exists (select 1 from samples_{version} s where s.{time} = i.ts and s.{key} = i.k)
