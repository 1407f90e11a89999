-- name: is_due
-- Receivers that may get messages, and that neither a probe nor a message has reached recently.
select w.id, md5(w.url) as address
  from webhooks w left join receiver_probes p on p.webhook_id = w.id and p.address = md5(w.url)
 where w.is_active and w.kind = any(:kinds) and (w.paused_at is null or w.paused_until <= now())
   and coalesce(p.probed_at < now() - case when p.error is null then :every else :again end, true)
   and not exists (select 1 from notifications n where n.webhook_id = w.id and p.error is null
                      and n.delivered_at > now() - :every)

-- name: claim
insert into receiver_probes as known (webhook_id, address, probed_at)
select id, address, now() from ({is_due} order by p.probed_at nulls first, w.id limit :most) due
on conflict (webhook_id) do update
   set address = excluded.address, probed_at = excluded.probed_at,
       failed_since = case when known.address = excluded.address then known.failed_since end,
       failures = case when known.address = excluded.address then known.failures else 0 end,
       error = case when known.address = excluded.address then known.error end
returning webhook_id, address

-- name: record
update receiver_probes
   set error = :error, probed_at = now(),
       failures = case when cast(:error as text) is null then 0 else failures + 1 end,
       failed_since = case when cast(:error as text) is null then null else coalesce(failed_since, now()) end,
       connected_at = case when cast(:error as text) is null then now() else connected_at end
 where webhook_id = :id and address = :address
