-- Who is asking. The answer depends on the session's login role and, for the gateway alone, on settings it
-- makes for one transaction. Nothing a tenant can set moves the boundary.

create function nexus._bound_groups(prefix text) returns uuid[]
language sql stable parallel safe
set search_path to pg_catalog, pg_temp
as $$
    with recursive held(roleid) as (
        select m.roleid from pg_auth_members m
        where m.member = (select oid from pg_roles where rolname = session_user)
        union
        select m.roleid from pg_auth_members m join held on m.member = held.roleid
    )
    select array_agg(distinct substr(r.rolname, 9)::uuid)
    from held join pg_roles r on r.oid = held.roleid
    where left(r.rolname, 8) = prefix and r.rolname ~ '^nexus_[te]_[0-9a-f]{32}$'
$$;
comment on function nexus._bound_groups(text) is 'The tenants (nexus_t_) or environments (nexus_e_) the login role is bound to.';

create function nexus._session_is(role_name text) returns boolean
language sql stable parallel safe
set search_path to pg_catalog, pg_temp
as $$
    select exists (select from pg_roles r where r.rolname = role_name and pg_has_role(session_user, r.oid, 'member'))
$$;
comment on function nexus._session_is(text) is 'Whether the login role is a member of this nexus role, or a superuser.';

create function nexus.current_tenant_id() returns uuid
language plpgsql stable parallel safe
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    bound uuid[] := nexus._bound_groups('nexus_t_');
begin
    if cardinality(bound) = 1 then
        return bound[1];
    elsif cardinality(bound) > 1 then
        raise insufficient_privilege using
            message = format('role %I is bound to more than one tenant', session_user),
            hint = 'Keep one binding: select nexus.unbind_role(role).',
            detail = '{"code": "NX304"}';
    elsif nexus._session_is('nexus_gateway') then
        return nullif(current_setting('nexus.tenant_id', true), '')::uuid;
    end if;
    return null;
end;
$$;
comment on function nexus.current_tenant_id() is
    'The tenant this session may see: by the binding of its login role; for the gateway, by the setting nexus.tenant_id.';

create function nexus.current_environment_id() returns uuid
language plpgsql stable parallel safe
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    bound uuid[] := nexus._bound_groups('nexus_e_');
begin
    if cardinality(bound) = 1 then
        return bound[1];
    elsif cardinality(bound) > 1 then
        raise insufficient_privilege using
            message = format('role %I is bound to more than one environment', session_user),
            hint = 'Keep one binding: select nexus.unbind_role(role).',
            detail = '{"code": "NX304"}';
    elsif nexus._bound_groups('nexus_t_') is null and nexus._session_is('nexus_gateway') then
        return nullif(current_setting('nexus.environment_id', true), '')::uuid;
    end if;
    return null;
end;
$$;
comment on function nexus.current_environment_id() is
    'The one environment this session may see, or null for all of its tenant''s.';

create function nexus._require_tenant(tenant_id uuid) returns void
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    -- Row-level security is what keeps a definer function inside its tenant. A definer that bypasses it
    -- (after a restore, before migrate() has set the owners again) must not run at all.
    if current_user <> session_user
       and (select rolsuper or rolbypassrls from pg_roles where rolname = current_user) then
        raise insufficient_privilege using
            message = format('nexus functions run as %I, which bypasses row-level security', current_user),
            hint = 'Run select nexus.migrate() as a superuser: it sets owners and grants again.',
            detail = '{"code": "NX305"}';
    end if;
    if tenant_id is distinct from nexus.current_tenant_id()
       and not nexus._session_is('nexus_gateway') and not nexus._session_is('nexus_admin') then
        raise insufficient_privilege using
            message = format('role %I may not act for this tenant', session_user),
            hint = 'Ask a platform administrator for a binding: nexus.bind_role(role, tenant_id).',
            detail = '{"code": "NX304"}';
    end if;
end;
$$;
comment on function nexus._require_tenant(uuid) is 'Refuses unless the session may act for the tenant: bound to it, gateway, admin or superuser.';
