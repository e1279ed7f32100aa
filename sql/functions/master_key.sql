-- Rotating the master key: every tenant's data key is wrapped anew, one at a time, beside running traffic.
-- Nothing is unreadable meanwhile, for gateways hold the old and the new master key.

create function nexus.data_keys_to_rewrap(master_key_id text, max integer)
returns table (tenant_id uuid, data_key_id uuid, wrapped_key bytea, wrapped_by text)
language plpgsql stable security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_role('nexus_gateway');
    return query
    select k.tenant_id, k.tenant_data_key_id, k.wrapped_key, k.master_key_id from nexus.tenant_data_key k
    where k.master_key_id <> $1 order by k.tenant_id, k.tenant_data_key_id limit $2;
end;
$$;
comment on function nexus.data_keys_to_rewrap(text, integer) is 'Data keys that another master key than this one wraps.';

create function nexus.rewrap_data_key(
    tenant_id uuid, data_key_id uuid, wrapped_by text, wrapped_key bytea, master_key_id text
) returns boolean
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_platform($1);
    -- Only if it is still wrapped as it was read: two rotations beside each other do no harm.
    update nexus.tenant_data_key k set wrapped_key = $4, master_key_id = $5
    where k.tenant_id = $1 and k.tenant_data_key_id = $2 and k.master_key_id = $3;
    return found;
end;
$$;
comment on function nexus.rewrap_data_key(uuid, uuid, text, bytea, text) is
    'Keeps a data key as wrapped by another master key, unless it changed meanwhile.';
