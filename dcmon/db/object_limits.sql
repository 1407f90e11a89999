-- name: require_room_org
-- Refuses the rows of a statement if an organization then has more of them than it may have. The transaction tells the
-- limits. The lock lets only one transaction of an organization create objects: the last of them would otherwise not
-- count the rows that another is about to commit.
create or replace function require_room() returns trigger language plpgsql as $$
declare
  limits constant jsonb := nullif(current_setting('dcmon.limits', true), '')::jsonb;
  most constant bigint := limits ->> tg_argv[0];
  present bigint;
begin
  if most is null then return null; end if;
  perform {lock};
  if tg_argv[1] = '' then
    execute format('select count(*) from %I', tg_table_name) into present;
  else
    execute format(
      'select max(n) from (select count(*) n from %1$I where %2$I in (select %2$I from inserted) group by %2$I) counts',
      tg_table_name, tg_argv[1]) into present;
  end if;
  if present > most then
    raise exception using errcode = '{state}', message = tg_argv[0], detail = most::text, hint = limits ->> 'name';
  end if;
  return null;
end $$

-- name: require_room_public
-- The same for the tokens and members of organizations, whose limits are in the same schema. A token that is revoked or
-- expired does not count.
create or replace function require_room() returns trigger language plpgsql as $$
declare
  org record;
  most bigint;
  present bigint;
begin
  for org in select * from organizations where id in (select org_id from inserted) order by id for no key update loop
    most := to_jsonb(org) ->> tg_argv[0];
    execute format('select count(*) from %I where org_id = $1 and ' || tg_argv[1], tg_table_name)
      into present using org.id;
    if present > most then
      raise exception using errcode = '{state}', message = tg_argv[0], detail = most::text, hint = org.name;
    end if;
  end loop;
  return null;
end $$

-- name: attach
create trigger require_room after insert on {table} referencing new table as inserted
  for each statement execute function require_room('{limit}', '{argument}')
