-- Checks that several functions begin with.

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

create function nexus._require_operator(what text) returns void
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    if not nexus._session_is('nexus_gateway') and not nexus._session_is('nexus_admin') then
        raise insufficient_privilege using
            message = format('role %I may not %s', session_user, what),
            hint = 'It concerns every tenant: use a login with the role nexus_admin, or a platform key.',
            detail = '{"code": "NX304"}';
    end if;
end;
$$;
comment on function nexus._require_operator(text) is
    'Refuses unless the session is the gateway''s or an administrator''s, for what concerns no single tenant.';

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
