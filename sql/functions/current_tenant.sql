-- Who is asking. The answer depends on the session's login role and, for the gateway alone, on settings it
-- makes for one transaction. Nothing a tenant can set moves the boundary.

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
    bound constant uuid := nexus._bound_id(prefix);
begin
    -- The gateway is bound to none, and says for whom it asks.
    if bound is null and nexus._bound_id('nexus_t_') is null and nexus._bound_id('nexus_e_') is null
       and nexus._session_is('nexus_gateway') then
        return nullif(current_setting(setting, true), '')::uuid;
    end if;
    return bound;
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
