-- Changing and removing what create_tenant, create_connector and create_flow have made. Changes are given as a
-- JSON object, in which what is absent stays as it is.

create function nexus._require_changes(changes jsonb, known text[]) returns void
language plpgsql immutable
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    unknown text;
begin
    if jsonb_typeof(changes) is distinct from 'object' then
        raise invalid_parameter_value using message = 'changes must be a JSON object', detail = '{"code": "NX403"}';
    end if;
    select n into unknown from jsonb_object_keys(changes) n where not n = any (known) order by n limit 1;
    if unknown is not null then
        raise invalid_parameter_value using
            message = format('"%s" cannot be changed', unknown),
            hint = format('What can be changed: %s.', array_to_string(known, ', ')),
            detail = jsonb_build_object('code', 'NX403', 'path', '$.' || unknown);
    end if;
end;
$$;
comment on function nexus._require_changes(jsonb, text[]) is 'Refuses changes of what cannot be changed.';

create function nexus.tenants() returns table (tenant_id uuid, slug text, name text, is_active boolean, created_at timestamptz)
language plpgsql stable security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
begin
    perform nexus._require_role('nexus_gateway', 'nexus_admin');
    return query select t.tenant_id, t.slug, t.name, t.is_active, t.created_at from nexus.tenant t;
end;
$$;
comment on function nexus.tenants() is 'Every tenant, for the platform''s operators.';

create function nexus.update_tenant(tenant_id uuid, changes jsonb) returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_platform($1);
    perform nexus._require_changes($2, array['name', 'is_active']);
    update nexus.tenant t set
        name = coalesce($2 ->> 'name', t.name),
        is_active = coalesce(($2 ->> 'is_active')::boolean, t.is_active)
    where t.tenant_id = $1;
    if not found then
        raise no_data_found using message = format('there is no tenant %s', $1), detail = '{"code": "NX404"}';
    end if;
    perform nexus._audit($1, null, 'tenant.updated', 'tenant', $1, $2);
end;
$$;
comment on function nexus.update_tenant(uuid, jsonb) is
    'Changes a tenant''s name or is_active; inactive, it takes nothing in, delivers nothing and its keys are refused.';

create function nexus.update_connector(tenant_id uuid, environment_id uuid, connector_id uuid, changes jsonb) returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_platform($1);
    perform nexus._require_changes($4, array['name', 'settings', 'identity', 'is_active', 'pinned_version']);
    perform nexus._check_settings(c.connector_type, $4 -> 'settings')
    from nexus.connector c where c.tenant_id = $1 and c.connector_id = $3 and $4 ? 'settings';
    if $4 ? 'identity' then
        perform nexus._check_identity($4 -> 'identity');
    end if;
    if jsonb_typeof($4 -> 'pinned_version') <> 'null' and not exists (
        select from nexus.connector_type m
        join nexus.connector c on c.connector_type = m.connector_type
        where c.tenant_id = $1 and c.connector_id = $3 and m.version = ($4 ->> 'pinned_version')::integer) then
        raise invalid_parameter_value using
            message = format('the connector type has no version %s', $4 ->> 'pinned_version'), detail = '{"code": "NX403"}';
    end if;
    begin
        update nexus.connector c set
            name = coalesce($4 ->> 'name', c.name),
            settings = coalesce($4 -> 'settings', c.settings),
            identity = coalesce($4 -> 'identity', c.identity),
            is_active = coalesce(($4 ->> 'is_active')::boolean, c.is_active),
            pinned_version = case when $4 ? 'pinned_version' then ($4 ->> 'pinned_version')::integer else c.pinned_version end,
            updated_at = now()
        where c.tenant_id = $1 and c.environment_id = $2 and c.connector_id = $3;
    exception when unique_violation then
        perform nexus._refuse_name('connector', $4 ->> 'name');
    end;
    if not found then
        raise no_data_found using message = format('there is no connector %s', $3), detail = '{"code": "NX404"}';
    end if;
    perform nexus._audit($1, $2, 'connector.updated', 'connector', $3, $4);
end;
$$;
comment on function nexus.update_connector(uuid, uuid, uuid, jsonb) is
    'Changes a connector''s name, settings, identity (what its identifiers mean beside other sources), is_active or pinned_version (null follows the current one).';

create function nexus.delete_connector(tenant_id uuid, environment_id uuid, connector_id uuid) returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    former nexus.connector;
begin
    perform nexus._require_platform($1);
    delete from nexus.connector c where c.tenant_id = $1 and c.environment_id = $2 and c.connector_id = $3
    returning * into former;
    if not found then
        raise no_data_found using message = format('there is no connector %s', $3), detail = '{"code": "NX404"}';
    end if;
    delete from nexus.secret s where s.tenant_id = $1 and s.owner_kind = 'connector' and s.owner_id = $3;
    perform nexus._audit($1, $2, 'connector.deleted', 'connector', $3,
                         jsonb_build_object('name', former.name, 'connector_type', former.connector_type));
end;
$$;
comment on function nexus.delete_connector(uuid, uuid, uuid) is
    'Removes a connector and its secrets. What it brought stays: events, records and golden entities.';

create function nexus.update_flow(tenant_id uuid, environment_id uuid, flow_id uuid, changes jsonb) returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_platform($1);
    perform nexus._require_changes($4, array['name', 'definition', 'is_active']);
    if $4 ? 'definition' then
        perform nexus._check_flow($4 -> 'definition');
    end if;
    begin
        update nexus.flow f set
            name = coalesce($4 ->> 'name', f.name),
            definition = coalesce($4 -> 'definition', f.definition),
            is_active = coalesce(($4 ->> 'is_active')::boolean, f.is_active),
            updated_at = now()
        where f.tenant_id = $1 and f.environment_id = $2 and f.flow_id = $3;
    exception when unique_violation then
        perform nexus._refuse_name('flow', $4 ->> 'name');
    end;
    if not found then
        raise no_data_found using message = format('there is no flow %s', $3), detail = '{"code": "NX404"}';
    end if;
    perform nexus._audit($1, $2, 'flow.updated', 'flow', $3, $4);
end;
$$;
comment on function nexus.update_flow(uuid, uuid, uuid, jsonb) is 'Changes a flow''s name, definition or is_active.';

create function nexus.delete_flow(tenant_id uuid, environment_id uuid, flow_id uuid) returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    former_name text;
begin
    perform nexus._require_platform($1);
    delete from nexus.flow f where f.tenant_id = $1 and f.environment_id = $2 and f.flow_id = $3
    returning f.name into former_name;
    if not found then
        raise no_data_found using message = format('there is no flow %s', $3), detail = '{"code": "NX404"}';
    end if;
    delete from nexus.secret s where s.tenant_id = $1 and s.owner_kind = 'flow' and s.owner_id = $3;
    -- What has not been sent is not sent any more; what was, stays in the log.
    delete from nexus.delivery d where d.tenant_id = $1 and d.kind = 'job' and d.destination_id = $3;
    update nexus.job j set status = 'cancelled', finished_at = now(), updated_at = now()
    where j.tenant_id = $1 and j.flow_id = $3 and j.finished_at is null;
    perform nexus._audit($1, $2, 'flow.deleted', 'flow', $3, jsonb_build_object('name', former_name));
end;
$$;
comment on function nexus.delete_flow(uuid, uuid, uuid) is
    'Removes a flow and its secrets, and cancels its jobs that have not ended.';
