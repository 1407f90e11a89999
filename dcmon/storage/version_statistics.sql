-- name: changed_quarters
select at, n, rows_revision, number
  from (select at, n, rows_revision, summarized_revision, row_number() over (order by at) as number
          from quarter_hours where version_id = :version and n > 0) q
 where summarized_revision < rows_revision order by at desc

-- name: mark_quarters
with read as (
    select q.at, greatest(q.summarized_revision, r.revision) as revision
      from unnest(cast(:at as timestamptz[]), cast(:revision as int8[])) r(at, revision)
      join quarter_hours q on q.version_id = :version and q.at = r.at
       for update of q skip locked
)
update quarter_hours q set summarized_revision = read.revision from read where q.version_id = :version and q.at = read.at

-- name: forget_statistics
delete from version_statistics where version_id = :version

-- name: forget_quarters
update quarter_hours set summarized_revision = 0 where version_id = :version and summarized_revision > 0
