-- name: server
select d.oid as database, current_user as name,
       current_setting('server_version_num')::int >= 160000 as has_options,
       exists (select from pg_roles g where g.rolname = {group}) as has_group,
       exists (select from pg_roles g where g.rolname = {role}) as has_role
  from pg_database d where d.datname = current_database()

-- name: group
'dcmon_' || d.oid || '_orgs'

-- name: role
'dcmon_' || d.oid || '_org_' || :id

-- name: may_set
-- From PostgreSQL 16 on, the creator of a role may grant it, but may not use it.
pg_has_role(current_user, {owner}, case when current_setting('server_version_num')::int >= 160000 then 'SET' else 'MEMBER' end)
   and pg_has_role(current_user, {owner}, 'USAGE')

-- name: may_set_role
select {may_set}

-- name: tables_of_others
select c.relnamespace from pg_class c join pg_namespace m on m.oid = c.relnamespace
 where c.relowner <> m.nspowner and c.relkind in ('r', 'p', 'v', 'm')

-- name: functions_of_others
select p.pronamespace from pg_proc p join pg_namespace m on m.oid = p.pronamespace where p.proowner <> m.nspowner

-- name: without
select o.id, o.name, o.schema_name
  from public.organizations o join pg_namespace n on n.nspname = o.schema_name and o.deleted_at is null
 where pg_get_userbyid(n.nspowner) !~ ('^dcmon_[0-9]+_org_' || o.id || '$')
    or not ({may_set})
    or n.oid in ({tables_of_others})
    or n.oid in ({functions_of_others})
 order by o.id

-- name: give_objects
-- The sequence of a column and the indexes of a table follow their table.
do $$
declare name text;
begin
  for name in
    select quote_ident({schema}) || '.' || quote_ident(c.relname) from pg_depend n join pg_class c on c.oid = n.objid
     where n.refclassid = 'pg_namespace'::regclass and n.classid = 'pg_class'::regclass
       and n.refobjid = cast(quote_ident({schema}) as regnamespace)
       and c.relowner <> cast(quote_ident({role}) as regrole) and c.relkind in ('r', 'p', 'v', 'm', 'S')
       and not exists (select from pg_depend d where c.relkind = 'S' and d.classid = 'pg_class'::regclass
                          and d.objid = c.oid and d.deptype in ('a', 'i'))
     order by c.relkind = 'S'
  loop
    execute 'alter table ' || name || ' owner to ' || quote_ident({role});
  end loop;
  for name in
    select cast(p.oid as regprocedure) from pg_depend n join pg_proc p on p.oid = n.objid
     where n.refclassid = 'pg_namespace'::regclass and n.classid = 'pg_proc'::regclass
       and n.refobjid = cast(quote_ident({schema}) as regnamespace)
       and p.proowner <> cast(quote_ident({role}) as regrole)
  loop
    execute 'alter routine ' || name || ' owner to ' || quote_ident({role});
  end loop;
end $$
