-- Fragments: "n" is the notification in question, "e" an earlier one for the same receiver.

-- name: is_open
n.delivered_at is null and n.dead_at is null

-- name: problem_id
-- A notification about a problem of dcmon itself belongs to no alert: its body holds the id of the problem.
n.body #>> '{alert,id}'

-- name: has_earlier
-- True if there is an earlier open notification about the same alert, or the same problem of dcmon.
(exists (
    select 1 from notifications e
     where e.webhook_id = n.webhook_id and e.position < n.position
       and e.delivered_at is null and e.dead_at is null and {earlier} and e.alert_id = n.alert_id)
 or (n.alert_id is null and exists (
    select 1 from notifications e
     where e.webhook_id = n.webhook_id and e.position < n.position
       and e.delivered_at is null and e.dead_at is null and {earlier} and e.alert_id is null
       and e.body #>> '{alert,id}' = n.body #>> '{alert,id}')))

-- name: select_due
select n.id from notifications n
 where n.webhook_id = :webhook and {is_open} and n.due_at <= :now
   and (n.lease_until is null or n.lease_until < :now) and not {has_earlier}
 order by array_position(array[{severities}], n.severity), n.position limit :limit

-- name: recent_messages
select min(tried_at) from notifications where webhook_id = :webhook and tried_at > :since
 group by message_id order by 1
