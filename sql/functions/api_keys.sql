create function nexus.put_api_key(
    tenant_id uuid, environment_id uuid, name text, scopes text[], key_prefix text, key_sha256 bytea,
    expires_at timestamptz default null
) returns uuid
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    new_id uuid := nexus.uuid_v7();
begin
    perform nexus._require_platform($1);
    perform nexus._require_environment($1, $2);
    if $4 is null or $4 = '{}' or not $4 <@ array['read', 'write', 'admin'] then
        raise invalid_parameter_value using
            message = format('an API key cannot have the scopes %s', coalesce($4::text, 'null')),
            hint = 'Scopes are read, write and admin; a key has at least one.', detail = '{"code": "NX403"}';
    end if;
    if $7 <= now() then
        raise invalid_parameter_value using
            message = format('an API key cannot expire at %s, which is past', $7), detail = '{"code": "NX403"}';
    end if;
    insert into nexus.api_key (tenant_id, api_key_id, environment_id, name, key_prefix, key_sha256, scopes, expires_at)
    values ($1, new_id, $2, $3, $5, $6, $4, $7);
    perform nexus._audit($1, $2, 'api_key.created', 'api_key', new_id,
                         jsonb_build_object('name', $3, 'scopes', $4, 'expires_at', $7));
    return new_id;
end;
$$;
comment on function nexus.put_api_key(uuid, uuid, text, text[], text, bytea, timestamptz) is
    'Keeps the hash of a new API key; its id. Keys are made by the gateway, which shows them once.';

create function nexus.rotate_api_key(
    tenant_id uuid, api_key_id uuid, key_prefix text, key_sha256 bytea, overlap interval default interval '0',
    expires_at timestamptz default null, environment_id uuid default null
) returns uuid
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    former nexus.api_key;
    new_id uuid := nexus.uuid_v7();
begin
    perform nexus._require_platform($1);
    select * into former from nexus.api_key k
    where k.tenant_id = $1 and k.api_key_id = $2 and (k.environment_id = $7 or $7 is null)
      and k.revoked_at is null and (k.expires_at is null or k.expires_at > now())
    for update;
    if not found then
        raise no_data_found using
            message = format('there is no API key %s in force', $2), detail = '{"code": "NX404"}';
    end if;
    insert into nexus.api_key (tenant_id, api_key_id, environment_id, name, key_prefix, key_sha256, scopes, expires_at)
    values ($1, new_id, former.environment_id, former.name, $3, $4, former.scopes, $6);
    -- Never longer than it would have had.
    update nexus.api_key k set expires_at = least(k.expires_at, now() + greatest($5, interval '0'))
    where k.tenant_id = $1 and k.api_key_id = $2;
    perform nexus._audit($1, former.environment_id, 'api_key.rotated', 'api_key', $2,
                         jsonb_build_object('new_api_key_id', new_id, 'expires_at', least(former.expires_at, now() + $5)));
    return new_id;
end;
$$;
comment on function nexus.rotate_api_key(uuid, uuid, text, bytea, interval, timestamptz, uuid) is
    'Keeps the hash of an API key''s successor, with its name and scopes; the former expires after the overlap. The successor''s id.';

create function nexus.revoke_api_key(tenant_id uuid, api_key_id uuid, environment_id uuid default null) returns boolean
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    found_environment_id uuid;
begin
    perform nexus._require_platform($1);
    update nexus.api_key k set revoked_at = now()
    where k.tenant_id = $1 and k.api_key_id = $2 and k.revoked_at is null and (k.environment_id = $3 or $3 is null)
    returning k.environment_id into found_environment_id;
    if not found then
        return false;
    end if;
    perform nexus._audit($1, found_environment_id, 'api_key.revoked', 'api_key', $2, null);
    return true;
end;
$$;
comment on function nexus.revoke_api_key(uuid, uuid, uuid) is
    'Ends an API key, within a second on every gateway; whether it was in force. With an environment: only one of it.';

create function nexus.api_keys(tenant_id uuid, environment_id uuid) returns table (
    api_key_id uuid, environment text, name text, key_prefix text, scopes text[], created_at timestamptz,
    expires_at timestamptz, revoked_at timestamptz, last_used_at timestamptz
)
language plpgsql stable security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
begin
    perform nexus._require_platform($1);
    return query
    select k.api_key_id, e.name, k.name, k.key_prefix, k.scopes, k.created_at, k.expires_at,
           k.revoked_at, k.last_used_at
    from nexus.api_key k
    join nexus.environment e on e.tenant_id = k.tenant_id and e.environment_id = k.environment_id
    where k.tenant_id = $1 and (k.environment_id = $2 or $2 is null);
end;
$$;
comment on function nexus.api_keys(uuid, uuid) is
    'The API keys of a tenant''s environment, or of all where that is null, without their hashes.';

create function nexus.touch_api_keys(tenant_ids uuid[], api_key_ids uuid[], used_at timestamptz[]) returns integer
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    touched integer;
begin
    perform nexus._require_role('nexus_gateway');
    -- A key that another gateway is touching just now needs no second touch.
    with used as (
        select u.tenant_id, u.api_key_id, u.at from unnest($1, $2, $3) u(tenant_id, api_key_id, at)
    ), locked as (
        select k.tenant_id, k.api_key_id from nexus.api_key k
        join used u on u.tenant_id = k.tenant_id and u.api_key_id = k.api_key_id
        where k.last_used_at is null or k.last_used_at < u.at
        for update of k skip locked
    )
    update nexus.api_key k set last_used_at = u.at
    from locked l join used u on u.tenant_id = l.tenant_id and u.api_key_id = l.api_key_id
    where k.tenant_id = l.tenant_id and k.api_key_id = l.api_key_id;
    get diagnostics touched = row_count;
    return touched;
end;
$$;
comment on function nexus.touch_api_keys(uuid[], uuid[], timestamptz[]) is
    'Notes when API keys were last used, for gateways, which call it at most once a minute; how many were noted.';

create function nexus.put_platform_key(
    name text, key_prefix text, key_sha256 bytea, expires_at timestamptz default null
) returns uuid
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    new_id uuid := nexus.uuid_v7();
begin
    -- A gateway that can be reached with a platform key may not make more of them: only administrators do.
    perform nexus._require_role('nexus_admin');
    insert into nexus.platform_key (platform_key_id, name, key_prefix, key_sha256, expires_at)
    values (new_id, $1, $2, $3, $4);
    perform nexus._audit('00000000-0000-0000-0000-000000000000', null, 'platform_key.created', 'platform_key', new_id,
                         jsonb_build_object('name', $1, 'expires_at', $4));
    return new_id;
end;
$$;
comment on function nexus.put_platform_key(text, text, bytea, timestamptz) is 'Keeps the hash of a new platform key; its id.';

create function nexus.revoke_platform_key(platform_key_id uuid) returns boolean
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_role('nexus_admin');
    update nexus.platform_key k set revoked_at = now() where k.platform_key_id = $1 and k.revoked_at is null;
    if not found then
        return false;
    end if;
    perform nexus._audit('00000000-0000-0000-0000-000000000000', null, 'platform_key.revoked', 'platform_key', $1, null);
    return true;
end;
$$;
comment on function nexus.revoke_platform_key(uuid) is 'Ends a platform key, within a second on every gateway; whether it was in force.';
