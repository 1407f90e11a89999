-- name: detached_pages
select pg_relation_size(cast(:name as regclass)) / cast(current_setting('block_size') as int),
       (select count(*) from {table}),
       coalesce(cast(obj_description(cast(:name as regclass), 'pg_class') as int), 0)

-- name: delete_ids
delete from ids_{model} i
 where i.version_id = :version
   and i.k = any (array(select {key} from {table} where ctid >= cast(:page as tid) and ctid < cast(:after as tid)))
   and not exists (select 1 from samples_{version} s
                    where s.{time} >= :start and s.{time} < :end and s.{time} = i.ts and s.{key} = i.k)

-- name: move_labels_without_sample
with moved as (
    delete from labels_{version} l
     where l.ts >= :start and l.ts < :end
       and not exists (select 1 from samples_{version} s
                        where s.{time} = l.ts and s.{key} = l.k and s.{time} >= :start and s.{time} < :end)
    returning k, label, logged_at)
insert into orphan_labels_{model} as o (k, label, logged_at)
select distinct on (k) k, label, logged_at from moved order by k, logged_at desc
on conflict (k) do update set label = excluded.label, logged_at = excluded.logged_at
 where o.logged_at < excluded.logged_at

-- name: count_labels
update quarter_hours q set n_labelled = t.n
  from (select q.at, count(l.label) as n
          from quarter_hours q
          left join labels_{version} l on l.ts >= q.at and l.ts < q.at + interval '15 minutes'
                                      and l.ts >= :start and l.ts < :end
         where q.version_id = :version and q.at >= :start and q.at < :end
         group by 1) t
 where q.version_id = :version and q.at = t.at and q.n_labelled <> t.n
