-- What functions check before they act: that row-level security binds them, who calls, and for whom.

create function nexus._require_secured() returns void
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
end;
$$;
comment on function nexus._require_secured() is
    'Refuses to run in a definer function whose owner bypasses row-level security.';

create function nexus._require_role(variadic roles text[]) returns void
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_secured();
    if not exists (select from unnest(roles) r where nexus._session_is(r)) then
        raise insufficient_privilege using
            message = format('role %I may not call this function', session_user),
            hint = format('It is for members of %s.', array_to_string(roles, ' and ')),
            detail = '{"code": "NX304"}';
    end if;
end;
$$;
comment on function nexus._require_role(text[]) is
    'Refuses unless the login is a member of one of these nexus roles, or a superuser.';

create function nexus._require_tenant(tenant_id uuid) returns void
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_secured();
    if (tenant_id is null or tenant_id is distinct from nexus.current_tenant_id())
       and not nexus._session_is('nexus_gateway') and not nexus._session_is('nexus_admin') then
        raise insufficient_privilege using
            message = format('role %I may not act for this tenant', session_user),
            hint = 'Ask a platform administrator for a binding: nexus.bind_role(role, tenant_id).',
            detail = '{"code": "NX304"}';
    end if;
end;
$$;
comment on function nexus._require_tenant(uuid) is 'Refuses unless the session may act for the tenant: bound to it, gateway, admin or superuser.';

create function nexus._require_whole_tenant(tenant_id uuid) returns void
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_tenant($1);
    if nexus.current_environment_id() is not null then
        raise insufficient_privilege using
            message = format('role %I is bound to one environment, and this concerns the whole tenant', session_user),
            hint = 'Use a login that is bound to the tenant.', detail = '{"code": "NX304"}';
    end if;
end;
$$;
comment on function nexus._require_whole_tenant(uuid) is
    'Refuses unless the session may act for the tenant, and not for one environment of it alone.';

create function nexus._require_platform(tenant_id uuid) returns void
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_tenant($1);
    if not nexus._session_is('nexus_gateway') and not nexus._session_is('nexus_admin') then
        raise insufficient_privilege using
            message = format('role %I may not change configuration', session_user),
            hint = 'Use the REST API with a key of scope admin, or ask a platform administrator.',
            detail = '{"code": "NX304"}';
    end if;
end;
$$;
comment on function nexus._require_platform(uuid) is
    'Refuses unless the session is the gateway''s or an administrator''s: bound SQL roles read, they do not configure.';

create function nexus._require_environment(tenant_id uuid, environment_id uuid) returns void
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    if not exists (select from nexus.environment e where e.tenant_id = $1 and e.environment_id = $2) then
        raise no_data_found using
            message = format('tenant %s has no environment %s', $1, $2),
            hint = 'select environment_id, name from nexus.environment lists them.', detail = '{"code": "NX404"}';
    end if;
end;
$$;
comment on function nexus._require_environment(uuid, uuid) is 'Refuses an environment that is not the tenant''s.';

create function nexus._refuse_name(thing text, name text) returns void
language plpgsql immutable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    raise unique_violation using
        message = format('there is a %s "%s" in this environment already', $1, $2), detail = '{"code": "NX405"}';
end;
$$;
comment on function nexus._refuse_name(text, text) is 'Refuses a name that something of the environment has, as its constraint did.';

create function nexus._require_known(things text, filter jsonb, known text[]) returns void
language plpgsql immutable
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    unknown text := (select n from jsonb_object_keys($2) n where not n = any ($3) order by n limit 1);
begin
    if unknown is not null then
        raise invalid_parameter_value using
            message = format('%s cannot be chosen by "%s"', $1, unknown),
            hint = format('What they can be chosen by: %s.', array_to_string($3, ', ')), detail = '{"code": "NX403"}';
    end if;
end;
$$;
comment on function nexus._require_known(text, jsonb, text[]) is 'Refuses a filter of things by what they cannot be chosen by.';
