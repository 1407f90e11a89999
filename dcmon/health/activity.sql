-- name: activity
-- What an organization did within the last minutes. The newest lines of the ledger and of the results are read, so that
-- the statement takes the same time in a large organization.
select (select version_num from alembic_version),
       (select json_agg(json_build_array(kind, stored, duplicates, quarantined))
          from (select kind, sum(stored) as stored, sum(duplicates) as duplicates, sum(quarantined) as quarantined
                  from (select * from batches order by id desc limit {ledger_rows}) newest
                 where action = 'ingest' and created_at > now() - interval '{minutes} minutes' group by kind) rows_by_kind),
       evaluated.count, evaluated.seconds, evaluated.longest,
       (select count(*) from (select delivered_at from notifications order by position desc limit {ledger_rows}) newest
         where delivered_at > now() - interval '{minutes} minutes'),
       (select count(*) from notifications
         where dead_at > now() - interval '{minutes} minutes' and not is_superseded)
  from (select count(*) as count, extract(epoch from sum(duration)) as seconds,
               extract(epoch from max(duration)) as longest
          from (select duration, computed_at from results order by id desc limit {ledger_rows}) newest
         where computed_at > now() - interval '{minutes} minutes') evaluated
