-- Sealed secrets pass through; nothing here could open one.

create function nexus.put_data_key(tenant_id uuid, data_key_id uuid, wrapped_key bytea, master_key_id text) returns uuid
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    standing uuid;
begin
    perform nexus._require_platform($1);
    -- The tenant's row is the lock: two gateways that meet a tenant without a key must agree on one.
    perform from nexus.tenant t where t.tenant_id = $1 for update;
    select k.tenant_data_key_id into standing from nexus.tenant_data_key k
    where k.tenant_id = $1 order by k.created_at desc, k.tenant_data_key_id desc limit 1;
    if standing is not null then
        return standing;
    end if;
    insert into nexus.tenant_data_key (tenant_id, tenant_data_key_id, wrapped_key, master_key_id)
    values ($1, $2, $3, $4);
    return $2;
end;
$$;
comment on function nexus.put_data_key(uuid, uuid, bytea, text) is
    'Keeps a wrapped data key unless the tenant has one; the id of the one that stands.';

create function nexus.data_key(tenant_id uuid)
returns table (data_key_id uuid, wrapped_key bytea, master_key_id text)
language plpgsql stable security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_platform($1);
    return query select k.tenant_data_key_id, k.wrapped_key, k.master_key_id from nexus.tenant_data_key k
    where k.tenant_id = $1 order by k.created_at desc, k.tenant_data_key_id desc limit 1;
end;
$$;
comment on function nexus.data_key(uuid) is 'The tenant''s current data key, wrapped.';

create function nexus.put_secret(
    tenant_id uuid, owner_kind text, owner_id uuid, name text, data_key_id uuid, sealed bytea,
    overlap interval default interval '0'
) returns uuid
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    new_secret_id uuid := nexus.uuid_v7();
    found_environment_id uuid;
begin
    perform nexus._require_platform($1);
    found_environment_id := case $2
        when 'connector' then (select c.environment_id from nexus.connector c where c.tenant_id = $1 and c.connector_id = $3)
        when 'flow' then (select f.environment_id from nexus.flow f where f.tenant_id = $1 and f.flow_id = $3)
        when 'webhook_subscription' then (select s.environment_id from nexus.webhook_subscription s
                                          where s.tenant_id = $1 and s.webhook_subscription_id = $3)
    end;
    if found_environment_id is null then
        raise no_data_found using
            message = format('tenant %s has no %s %s', $1, $2, $3), detail = '{"code": "NX404"}';
    end if;
    -- The former secret keeps working for the overlap: both verify, both sign.
    update nexus.secret s set valid_until = now() + overlap
    where s.tenant_id = $1 and s.owner_kind = $2 and s.owner_id = $3 and s.name = $4
      and (s.valid_until is null or s.valid_until > now() + overlap);
    insert into nexus.secret (tenant_id, secret_id, environment_id, owner_kind, owner_id, name, tenant_data_key_id, sealed)
    values ($1, new_secret_id, found_environment_id, $2, $3, $4, $5, $6);
    perform nexus._audit($1, found_environment_id, 'secret.set', $2, $3, jsonb_build_object('name', $4));
    return new_secret_id;
end;
$$;
comment on function nexus.put_secret(uuid, text, uuid, text, uuid, bytea, interval) is
    'Keeps a sealed secret as the current one; the former stays valid for the overlap.';
