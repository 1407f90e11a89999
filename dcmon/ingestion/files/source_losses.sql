-- name: losses
-- Rows of each source's files of the last day that are in quarantine: retried and dropped rows are no longer counted.
-- A row whose sample and label are in quarantine counts once. Rows enter it in no order: the first one is that
-- with the lowest position. Of a file, at most {rows_of_file} rows are counted there.
with recent as (
     select id, source_id, path, taken - duplicates as received, quarantined,
            array['file/' || digest, 'file/' || digest || '/labels'] as row_sources
       from (select * from ingested_files order by id desc limit {files}) newest
      where source_id is not null and coalesce(finished_at, began_at) > now() - interval '1 day'),
     lost as (
     select recent.id, recent.source_id, in_quarantine.since, in_quarantine.first_id,
            case when in_quarantine.count < {rows_of_file} then in_quarantine.count
                 else greatest(in_quarantine.count, recent.quarantined) end as count
       from recent
      cross join lateral (
            select count(distinct position) as count, min(logged_at) as since, (min(array[position, id]))[2] as first_id
              from (select id, position, logged_at from quarantine
                     where source = any(recent.row_sources) limit {rows_of_file}) found) in_quarantine
      where in_quarantine.count > 0)
select s.name as source, greatest(read.received, loss.count) as received, loss.count as quarantined, loss.since,
       (select array_agg(reason order by n desc, reason)
          from (select reason || coalesce(' (' || field || ')', '') as reason, count(*) as n
                  from (select q.reason, q.field from recent join quarantine q on q.source = any(recent.row_sources)
                         where recent.source_id = s.id limit {reason_rows}) few
                 group by 1 order by 2 desc, 1 limit {reasons}) most) as reasons,
       (select path from recent where source_id = s.id and first.source = any(row_sources) limit 1) as file,
       first.detail
  from (select source_id, sum(count) as count, min(since) as since, (min(array[id, first_id]))[2] as first_id
          from lost group by source_id) loss
  join (select source_id, sum(received) as received from recent group by source_id) read using (source_id)
  join sources s on s.id = loss.source_id
  join quarantine first on first.id = loss.first_id
 order by s.name

-- name: reasons
-- The rows of a source that are in quarantine, by reason and field, each with the first of them.
with by_reason as (
     select q.reason, q.field, count(*) as rows, (min(array[f.id, q.position, q.id]))[3] as first_id
       from ingested_files f
       join quarantine q on q.source in ('file/' || f.digest, 'file/' || f.digest || '/labels')
      where f.source_id = :source group by 1, 2 order by 3 desc, 1, 2 limit :limit)
select by_reason.reason, by_reason.field, by_reason.rows, first.row, first.position, first.detail,
       (select path from ingested_files f
         where first.source in ('file/' || f.digest, 'file/' || f.digest || '/labels')) as file
  from by_reason join quarantine first on first.id = by_reason.first_id
 order by by_reason.rows desc, by_reason.reason, by_reason.field
