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
    insert into nexus.api_key (tenant_id, api_key_id, environment_id, name, key_prefix, key_sha256, scopes, expires_at)
    values ($1, new_id, $2, $3, $5, $6, $4, $7);
    perform nexus._audit($1, $2, 'api_key.created', 'api_key', new_id, jsonb_build_object('name', $3, 'scopes', $4));
    return new_id;
end;
$$;
comment on function nexus.put_api_key(uuid, uuid, text, text[], text, bytea, timestamptz) is
    'Keeps the hash of a new API key; its id. Keys are made by the gateway, which shows them once.';

create function nexus.revoke_api_key(tenant_id uuid, api_key_id uuid) returns boolean
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    revoked boolean;
begin
    perform nexus._require_platform($1);
    update nexus.api_key k set revoked_at = now()
    where k.tenant_id = $1 and k.api_key_id = $2 and k.revoked_at is null;
    revoked := found;
    if revoked then
        perform nexus._audit($1, null, 'api_key.revoked', 'api_key', $2, null);
    end if;
    return revoked;
end;
$$;
comment on function nexus.revoke_api_key(uuid, uuid) is 'Ends an API key, within a second on every gateway; whether it was in force.';

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
    if not nexus._session_is('nexus_admin') then
        raise insufficient_privilege using
            message = format('role %I may not create platform keys', session_user), detail = '{"code": "NX304"}';
    end if;
    insert into nexus.platform_key (platform_key_id, name, key_prefix, key_sha256, expires_at)
    values (new_id, $1, $2, $3, $4);
    return new_id;
end;
$$;
comment on function nexus.put_platform_key(text, text, bytea, timestamptz) is 'Keeps the hash of a new platform key; its id.';
