-- "n" is the notification in question.

-- name: supersede
-- Supersedes what is older than the newest open notification about the same alert (or problem) for the same receiver,
-- unless it is in flight. A message that loses a notification is dissolved, because the id of a message stands for one
-- content. When the older one was held back before any attempt, the receiver was not notified: then the newer one is
-- held back for the same reason.
with newest as (
    select distinct on ({subject}, n.webhook_id) n.id, {subject} as subject, n.webhook_id, n.position
      from notifications n where {is_open} and {has_subject}
     order by {subject}, n.webhook_id, n.position desc
), superseded as (
    update notifications n set dead_at = :now, is_superseded = true,
           last_error = concat_ws(' ', n.last_error, 'Superseded by a newer state.')
      from newest
     where newest.subject = {subject} and {has_subject} and newest.webhook_id = n.webhook_id
       and n.position < newest.position and {is_open} and (n.lease_until is null or n.lease_until < :now)
    returning newest.id as newer, n.message_id, case when n.attempts = 0 then n.held_because end as held
), dissolved as (
    update notifications n set message_id = null, is_digest = false, left_to = null
     where {is_open} and n.message_id in (select message_id from superseded)
       and not exists (select 1 from newest where newest.subject = {subject} and {has_subject}
                          and newest.webhook_id = n.webhook_id and newest.position > n.position)
)
update notifications n set held_because = superseded.held
  from (select newer, max(held) as held from superseded where held is not null group by newer) superseded
 where n.id = superseded.newer and n.held_because is null

-- name: receivers_with_due
select distinct n.webhook_id from notifications n
 where {is_open} and n.due_at <= :now and (n.lease_until is null or n.lease_until < :now)

-- name: repeats
-- The times at which receivers are notified again of alerts that still fire: `repeat_every` after the last
-- notification. While a notification about the alert is open, there is no such time.
select last.id, last.alert_id, last.webhook_id, coalesce(last.delivered_at, last.dead_at) + w.repeat_every as at
  from (select distinct on (n.alert_id, n.webhook_id)
               n.id, n.alert_id, n.webhook_id, n.kind, n.delivered_at, n.dead_at
          from notifications n join alerts a on a.id = n.alert_id
         where a.state = 'firing' and a.acknowledged_at is null and not n.is_superseded
         order by n.alert_id, n.webhook_id, n.position desc) last
  join webhooks w on w.id = last.webhook_id
 where coalesce(last.delivered_at, last.dead_at) is not null
   and last.kind not in ('resolved', 'retracted')
   and w.is_active and w.repeat_every is not null and (w.paused_at is null or w.paused_until <= :now)

-- name: due_repeats
select * from ({repeats}) repeats where at <= :now

-- name: next_repeat_at
select min(at) from ({repeats}) repeats

-- name: next_due_at
-- What is in flight to a busy receiver counts with its lease: if the worker that sends it dies, another one takes over.
select min(greatest(
           n.due_at, n.lease_until, w.not_before, w.paused_until,
           case when n.message_id is null and not (w.kind = any(:per_alert)) then n.created_at + :wait end))
  from notifications n join webhooks w on w.id = n.webhook_id
 where {is_open} and (not (w.id = any(:busy)) or n.lease_until >= :now)
   and (w.paused_at is null or w.paused_until is not null)
   and (n.lease_until >= :now or not {has_earlier_in_flight})

-- name: has_work
-- True if the organization may have something to send, now or later. It is a hint: a wrong "true" costs one claim.
exists (select 1 from notifications where delivered_at is null and dead_at is null)
or (exists (select 1 from webhooks where is_active and repeat_every is not null)
    and exists (select 1 from alerts where state = 'firing'))
