-- name: delete_quarantined
with deleted as (
    delete from quarantine
     where id in (select id from quarantine where model_id = :model and logged_at < :before
                   order by id limit :limit for update)
    returning kind, version_id)
select m.name as model, coalesce(v.name, '') as version, d.kind, d.version_id, count(*) as rows
  from deleted d
  join models m on m.id = :model
  left join versions v on v.id = d.version_id
 group by 1, 2, 3, 4
