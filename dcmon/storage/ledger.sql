-- name: merge_requests
with old as (
    select id from batches
     where action = 'ingest' and topic_id is null and source like 'request/%%' and dropped = 0
       and created_at < %(before)b
     order by id limit %(limit)b for update skip locked),
removed as (delete from batches using old where batches.id = old.id returning batches.*),
merged as (
    insert into batches (kind, source, model_id, version_id, taken, stored, duplicates, quarantined, conflicts,
                         note, created_at)
    select kind, 'requests', model_id, version_id, sum(taken), sum(stored), sum(duplicates), sum(quarantined),
           sum(conflicts), count(*) || ' requests', max(created_at)
      from removed
     group by kind, model_id, version_id, date_trunc('day', created_at, 'UTC'))
select count(*) from removed

-- name: merge_moves
-- A run: the lines of a partition and a day between two seeks. The smallest id of a target's lines becomes the id of
-- their merged line, so that it keeps its place before lines that came later.
with lines as (
    select id, topic_id, partition, kind, model_id, version_id, action, first_offset, next_offset,
           date_trunc('day', created_at, 'UTC') as day,
           count(*) filter (where action = 'seek') over (partition by topic_id, partition order by id) as seeks
      from batches
     where topic_id is not null and created_at < date_trunc('day', %(before)b, 'UTC')),
runs as (
    select topic_id, partition, day, seeks, min(first_offset) as first_offset, max(next_offset) as next_offset
      from lines
     where action = 'ingest'
     group by topic_id, partition, day, seeks
    having count(*) > count(distinct (kind, model_id, version_id))),
removed as (
    delete from batches b
     using lines l join runs r using (topic_id, partition, day, seeks)
     where b.id = l.id and l.action = 'ingest'
    returning b.*, l.day, l.seeks, r.first_offset as run_first, r.next_offset as run_next),
merged as (
    insert into batches (id, kind, source, model_id, version_id, topic_id, partition, first_offset, next_offset,
                         messages, taken, stored, duplicates, quarantined, dropped, conflicts, note, created_at)
    overriding system value
    select min(id), kind, 'topic', model_id, version_id, topic_id, partition, run_first, run_next, sum(messages),
           sum(taken), sum(stored), sum(duplicates), sum(quarantined), sum(dropped), sum(conflicts),
           count(*) || ' batches', max(created_at)
      from removed
     -- With day and seeks: after a seek the same offsets may be read again, and these are two runs.
     group by kind, model_id, version_id, topic_id, partition, day, seeks, run_first, run_next)
select count(*) from removed
