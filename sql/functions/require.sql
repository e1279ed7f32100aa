-- What functions check before they act, beside what nexus._require_tenant and nexus._require_role do in Rust.

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
