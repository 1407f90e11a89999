-- name: record_change
-- Writes the entry of a changed row. The argument of the trigger is dcmon.db.tables.Logged as JSON.
-- It runs with the rights of its owner: in "public" dcmon's role, because the role of an organization may not write there.
-- In the schema of an organization its role owns the log, the function and the triggers.
create or replace function record_change() returns trigger language plpgsql security definer
  set search_path = {schema}, pg_temp as $$
declare
  how constant jsonb := tg_argv[0]::jsonb;
  author_ constant jsonb := coalesce(nullif(current_setting('dcmon.author', true), ''), '{}')::jsonb;
  old_row jsonb := '{}';
  new_row jsonb := '{}';
  whole jsonb;
  before jsonb;
  after jsonb;
  done text := case tg_op when 'INSERT' then 'create' when 'UPDATE' then 'change' else 'delete' end;
  object_name text;
begin
  if tg_op <> 'INSERT' then old_row := to_jsonb(old); end if;
  if tg_op <> 'DELETE' then new_row := to_jsonb(new); end if;
  whole := case when tg_op = 'DELETE' then old_row else new_row end;
  if how ->> 'action' is not null then done := whole ->> (how ->> 'action'); end if;
  if whole -> (how ->> 'name') is not null then object_name := left(whole ->> (how ->> 'name'), 200); end if;
  {naming}
  select
    jsonb_object_agg(key, mask_logged(how, key, old_row -> key)) filter (where old_row ? key and (tg_op = 'UPDATE' or old_row -> key <> 'null')),
    jsonb_object_agg(key, mask_logged(how, key, new_row -> key)) filter (where new_row ? key and (tg_op = 'UPDATE' or new_row -> key <> 'null'))
  into before, after
  from (select jsonb_object_keys(whole) as key) keys
  where not how -> 'state' ? key and old_row -> key is distinct from new_row -> key;
  if tg_op = 'UPDATE' and before is null then return null; end if;
  insert into audit_log ({org_column} at, author, via, address, token, request_id, action, kind, object_id, name, before, after)
  values (
    {org_value} clock_timestamp(), coalesce(author_ ->> 'name', session_user), coalesce(author_ ->> 'via', 'sql'),
    case when author_ ? 'name' then author_ ->> 'address' else host(inet_client_addr()) end, author_ ->> 'token',
    author_ ->> 'request_id', done, how ->> 'kind', whole ->> (how ->> 'id'), object_name, before, after
  );
  return null;
end $$

-- name: mask_logged
-- A value as the log has it: a secret is hidden, of a URL the host remains, a long value is shortened.
create or replace function mask_logged(how jsonb, key text, value jsonb) returns jsonb language sql stable
  set search_path = {schema}, pg_temp as $$
  select case
    when value is null or value = 'null' then value
    when how -> 'secret' ? key then to_jsonb('***'::text)
    when how -> 'url' ? key and value #>> '{}' like 'dcmon1:%' then to_jsonb('***'::text)
    when how -> 'url' ? key then
      to_jsonb(regexp_replace(value #>> '{}', '^([A-Za-z0-9+.-]+://)(?:[^/@?#]*@)?([^/?#]*).*$', '\1\2/…'))
    when length(value::text) > 2000 then
      to_jsonb(left(coalesce(value #>> '{}', ''), 1000) || '… (' || length(value::text) || ' characters)')
    else value
  end
$$

-- name: refuse_change_of_log
-- The log only grows. Entries of the last 30 days can't be deleted by any statement, and older ones only as a whole.
create or replace function refuse_change_of_log() returns trigger language plpgsql as $$
begin
  if tg_op = 'DELETE' then
    if old.at < now() - interval '{youngest} days' then return old; end if;
  end if;
  raise exception 'Entries of the log of changes can''t be changed, and not be deleted before {youngest} days.'
    using errcode = 'insufficient_privilege';
end $$

-- name: record_pruned_log
create or replace function record_pruned_log() returns trigger language plpgsql security definer
  set search_path = {schema}, pg_temp as $$
declare author_ constant jsonb := coalesce(nullif(current_setting('dcmon.author', true), ''), '{}')::jsonb;
begin
  insert into audit_log ({org_column} at, author, via, address, token, request_id, action, kind, object_id, name, before, after)
  select {pruned_org} clock_timestamp(), coalesce(author_ ->> 'name', session_user), coalesce(author_ ->> 'via', 'sql'),
    author_ ->> 'address', author_ ->> 'token', author_ ->> 'request_id', 'prune', 'audit log', null, null,
    jsonb_build_object('entries', count(*), 'first', min(at), 'last', max(at)), null
  from pruned {pruned_group} having count(*) > 0;
  return null;
end $$

-- name: prune_audit_log
-- Deletes the oldest entries from before a time, at most `most`, and returns how many.
create or replace function prune_audit_log(begin_at timestamptz, most int) returns bigint language plpgsql
  security definer set search_path = {schema}, pg_temp as $$
declare deleted bigint;
begin
  delete from audit_log where id in (select id from audit_log where at < begin_at order by id limit most);
  get diagnostics deleted = row_count;
  return deleted;
end $$

-- name: protect
create or replace trigger append_only before update or delete on audit_log
  for each row execute function refuse_change_of_log();
create or replace trigger append_only_as_a_whole before truncate on audit_log
  for each statement execute function refuse_change_of_log();
create or replace trigger prune_is_recorded after delete on audit_log
  referencing old table as pruned for each statement execute function record_pruned_log()

-- name: attach
create trigger record_change after {events} on {table} for each row {condition}
  execute function record_change({how})

-- name: attached
select c.oid::regclass::text as table_name, t.tgname as name
-- By what depends on the schema: no index has the relations of a schema, and 2,000 organizations have 500,000 of them.
from pg_depend n join pg_class c on c.oid = n.objid join pg_trigger t on t.tgrelid = c.oid
where n.refclassid = 'pg_namespace'::regclass and n.refobjid = current_schema()::regnamespace
  and n.classid = 'pg_class'::regclass and t.tgname in ('record_change', 'require_room')
