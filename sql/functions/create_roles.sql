-- Roles are of the whole cluster, so they are not part of the extension's script: a restore into an empty
-- cluster needs them before the dump is read.
create function nexus.create_roles() returns setof text
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    role_name text;
begin
    foreach role_name in array array['nexus_owner', 'nexus_system', 'nexus_admin', 'nexus_gateway', 'nexus_tenant'] loop
        if not exists (select from pg_roles where rolname = role_name) then
            execute format('create role %I nologin nosuperuser nobypassrls nocreatedb nocreaterole', role_name);
            return next role_name;
        end if;
    end loop;
end;
$$;
comment on function nexus.create_roles() is
    'Creates the nexus roles that are missing and names them. Call it before restoring a dump into an empty cluster.';
