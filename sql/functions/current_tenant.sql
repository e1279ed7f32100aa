-- Who is asking. The answer depends on the session's login role and, for the gateway alone, on settings it
-- makes for one transaction. Nothing a tenant can set moves the boundary.

-- Every query of a tenant's login asks this for each of its tables. In plpgsql, which keeps plans for the session; and
-- with offset 0, so that the plan is one of look-ups whether a cluster has ten roles or ten thousand.
create function nexus._bound_groups() returns text[]
language plpgsql stable parallel safe
set search_path to pg_catalog, pg_temp
as $$
begin
    return (
        with recursive held(roleid) as (
            select m.roleid from pg_auth_members m
            where m.member = (select r.oid from pg_roles r where r.rolname = session_user)
            union
            select m.roleid
            from held, lateral (select a.roleid from pg_auth_members a where a.member = held.roleid offset 0) m
        )
        select coalesce(array_agg(g.rolname::text), '{}')
        from held, lateral (select r.rolname from pg_roles r where r.oid = held.roleid offset 0) g
        where g.rolname ~ '^nexus_[te]_[0-9a-f]{32}$');
end;
$$;
comment on function nexus._bound_groups() is
    'The groups that bind the login role: nexus_t_<tenant id>, and nexus_e_<environment id> where it is bound to one.';

create function nexus._session_is(role_name text) returns boolean
language plpgsql stable parallel safe
set search_path to pg_catalog, pg_temp
as $$
begin
    return exists (select from pg_roles r where r.rolname = role_name and pg_has_role(session_user, r.oid, 'member'));
end;
$$;
comment on function nexus._session_is(text) is 'Whether the login role is a member of this nexus role, or a superuser.';

create function nexus._is_gateway() returns boolean
language sql stable parallel safe
set search_path to pg_catalog, nexus, pg_temp
as $$
    select nexus._session_is('nexus_gateway')
       and not (select r.rolsuper from pg_roles r where r.rolname = session_user)
$$;
comment on function nexus._is_gateway() is
    'Whether a gateway asks, which has checked signatures and keys. A superuser may do the same, and has checked nothing.';

create function nexus._current_id(prefix text, setting text) returns uuid
language plpgsql stable parallel safe
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    held constant text[] := nexus._bound_groups();
    bound constant text[] := array(select g from unnest(held) g where starts_with(g, prefix));
begin
    if cardinality(bound) > 1 then
        raise insufficient_privilege using
            message = format('role %I is bound more than once: it holds %s', session_user, array_to_string(bound, ', ')),
            hint = 'Keep one binding: select nexus.unbind_role(role).',
            detail = '{"code": "NX304"}';
    elsif cardinality(bound) = 1 then
        return substr(bound[1], length(prefix) + 1)::uuid;
    elsif held = '{}' and nexus._session_is('nexus_gateway') then
        return nullif(current_setting(setting, true), '')::uuid;
    end if;
    return null;
end;
$$;
comment on function nexus._current_id(text, text) is
    'The id in the name of the login''s group with this prefix; for the gateway, which is bound to none, the setting''s.';

create function nexus.current_tenant_id() returns uuid
language plpgsql stable parallel safe
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return nexus._current_id('nexus_t_', 'nexus.tenant_id');
end;
$$;
comment on function nexus.current_tenant_id() is
    'The tenant this session may see: by the binding of its login role; for the gateway, by the setting nexus.tenant_id.';

create function nexus.current_environment_id() returns uuid
language plpgsql stable parallel safe
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return nexus._current_id('nexus_e_', 'nexus.environment_id');
end;
$$;
comment on function nexus.current_environment_id() is
    'The one environment this session may see, or null for all of its tenant''s.';
