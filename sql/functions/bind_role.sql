-- A binding is membership in a group role, so that policies need no table to look it up in.

create function nexus.bind_role(role_name name, tenant_id uuid, environment_id uuid default null) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    tenant_group name := 'nexus_t_' || replace($2::text, '-', '');
    environment_group name := 'nexus_e_' || replace($3::text, '-', '');
    bound record;
begin
    select r.oid, r.rolsuper or r.rolbypassrls or r.rolcreaterole or r.rolreplication as is_mighty into bound
    from pg_roles r where r.rolname = role_name;
    if not found then
        raise undefined_object using message = format('there is no role %I', role_name), detail = '{"code": "NX404"}';
    end if;
    if bound.is_mighty then
        raise insufficient_privilege using
            message = format('role %I can get past row-level security and cannot be bound to a tenant', role_name),
            hint = 'Bind a role without SUPERUSER, BYPASSRLS, CREATEROLE and REPLICATION.',
            detail = '{"code": "NX304"}';
    end if;
    -- Predefined roles read files, run programs or see other sessions' statements.
    if exists (select from pg_roles r where r.rolname like 'pg\_%' and pg_has_role(role_name, r.oid, 'member')) then
        raise insufficient_privilege using
            message = format('role %I is a member of a predefined role and cannot be bound to a tenant', role_name),
            hint = 'Revoke its pg_… roles first.',
            detail = '{"code": "NX304"}';
    end if;
    if exists (select from pg_roles r where r.rolname in ('nexus_owner', 'nexus_system', 'nexus_admin', 'nexus_gateway')
               and pg_has_role(role_name, r.oid, 'member')) then
        raise insufficient_privilege using
            message = format('role %I already acts for the platform and cannot be bound to a tenant', role_name),
            detail = '{"code": "NX304"}';
    end if;
    if not exists (select from nexus.tenant t where t.tenant_id = $2) then
        raise no_data_found using message = format('there is no tenant %s', $2), detail = '{"code": "NX404"}';
    end if;
    if $3 is not null and not exists (select from nexus.environment e where e.tenant_id = $2 and e.environment_id = $3) then
        raise no_data_found using
            message = format('tenant %s has no environment %s', $2, $3), detail = '{"code": "NX404"}';
    end if;

    if not exists (select from pg_roles where rolname = tenant_group) then
        execute format('create role %I nologin in role nexus_tenant', tenant_group);
    end if;
    if $3 is null then
        execute format('grant %I to %I', tenant_group, role_name);
    else
        if not exists (select from pg_roles where rolname = environment_group) then
            execute format('create role %I nologin in role %I', environment_group, tenant_group);
        end if;
        execute format('grant %I to %I', environment_group, role_name);
    end if;
    perform nexus._audit($2, $3, 'role.bound', null, null, jsonb_build_object('role', role_name));
end;
$$;
comment on function nexus.bind_role(name, uuid, uuid) is
    'Lets a login role see one tenant, or one environment of it. For database administrators.';

create function nexus.unbind_role(role_name name) returns integer
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    held record;
    undone integer := 0;
begin
    for held in
        select g.rolname, e.environment_id, coalesce(e.tenant_id, t.tenant_id) as tenant_id from pg_auth_members m
        join pg_roles g on g.oid = m.roleid join pg_roles r on r.oid = m.member
        left join nexus.environment e on g.rolname = 'nexus_e_' || replace(e.environment_id::text, '-', '')
        left join nexus.tenant t on g.rolname = 'nexus_t_' || replace(t.tenant_id::text, '-', '')
        where r.rolname = $1 and g.rolname ~ '^nexus_[te]_[0-9a-f]{32}$'
    loop
        execute format('revoke %I from %I', held.rolname, role_name);
        -- Of a tenant that is no more there is no log.
        if held.tenant_id is not null then
            perform nexus._audit(held.tenant_id, held.environment_id, 'role.unbound', null, null,
                                 jsonb_build_object('role', role_name));
        end if;
        undone := undone + 1;
    end loop;
    return undone;
end;
$$;
comment on function nexus.unbind_role(name) is 'Undoes every binding of a role; how many there were.';

create function nexus.drop_groups(tenant_id uuid) returns integer
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    tenant_group name := 'nexus_t_' || replace($1::text, '-', '');
    held name;
    dropped integer := 0;
begin
    if exists (select from nexus.tenant t where t.tenant_id = $1) then
        raise invalid_parameter_value using
            message = format('tenant %s exists: its groups are its bindings', $1),
            hint = 'Unbind a role with nexus.unbind_role, or delete the tenant first.', detail = '{"code": "NX403"}';
    end if;
    -- The environments' groups are members of the tenant's, and stand before it in this order.
    for held in
        select r.rolname from pg_roles r
        where r.rolname = tenant_group
           or r.rolname ~ '^nexus_e_[0-9a-f]{32}$' and exists (
               select from pg_auth_members m join pg_roles g on g.oid = m.roleid
               where m.member = r.oid and g.rolname = tenant_group)
        order by r.rolname
    loop
        execute format('drop role %I', held);
        dropped := dropped + 1;
    end loop;
    return dropped;
end;
$$;
comment on function nexus.drop_groups(uuid) is
    'Drops the groups of a tenant that has been deleted, and thereby its bindings; how many. Roles are the cluster''s: another database''s copy of the tenant loses them too.';
