-- What tells that something changed: a version of a row has its place and its transaction, so that nothing of it has to be
-- read. Of API keys, whose last use is noted in them, what gateways hold.
create function nexus._configuration_fingerprint() returns text
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return (
        select md5(array_agg(row(v.source, v.rows, v.hash) order by v.source)::text)
        from (
            select 'tenant' as source, count(*) as rows, bit_xor(hash_record_extended(row(t.ctid, t.xmin), 0)) as hash
            from nexus.tenant t
            union all
            select 'connector', count(*), bit_xor(hash_record_extended(row(c.ctid, c.xmin), 0)) from nexus.connector c
            union all
            select 'connector_type', count(*), bit_xor(hash_record_extended(row(m.ctid, m.xmin), 0)) from nexus.connector_type m
            union all
            select 'api_key', count(*), bit_xor(hash_record_extended(row(k.api_key_id, k.key_sha256, k.scopes, k.expires_at), 0))
            from nexus.api_key k where k.revoked_at is null
            union all
            select 'platform_key', count(*), bit_xor(hash_record_extended(row(k.ctid, k.xmin), 0)) from nexus.platform_key k
            union all
            select 'tenant_data_key', count(*), bit_xor(hash_record_extended(row(k.ctid, k.xmin), 0)) from nexus.tenant_data_key k
            union all
            select 'secret', count(*), bit_xor(hash_record_extended(row(s.ctid, s.xmin), 0)) from nexus.secret s
        ) v);
end;
$$;
comment on function nexus._configuration_fingerprint() is
    'Another text whenever what gateways hold in memory may have changed.';

create function nexus.gateway_configuration(known_fingerprint text default null)
returns table (fingerprint text, configuration jsonb)
language plpgsql stable security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_role('nexus_gateway');
    fingerprint := nexus._configuration_fingerprint();
    if fingerprint is not distinct from known_fingerprint then
        return next;
        return;
    end if;
    select jsonb_build_object(
        'connectors', (select coalesce(jsonb_agg(jsonb_build_object(
                'connector_id', c.connector_id, 'tenant_id', c.tenant_id, 'environment_id', c.environment_id,
                'connector_type', c.connector_type, 'version', m.version, 'settings', c.settings)
                order by c.connector_id), '[]')
            from nexus.connector c
            join nexus.tenant t on t.tenant_id = c.tenant_id and t.is_active
            join nexus.connector_type m on m.connector_type = c.connector_type
                and (m.version = c.pinned_version or c.pinned_version is null and m.is_current)
            where c.is_active),
        'connector_types', (select coalesce(jsonb_agg(jsonb_build_object(
                'connector_type', m.connector_type, 'version', m.version, 'manifest', m.manifest)
                order by m.connector_type, m.version), '[]')
            from nexus.connector_type m
            where m.is_current or exists (select from nexus.connector c
                where c.connector_type = m.connector_type and c.pinned_version = m.version)),
        'api_keys', (select coalesce(jsonb_agg(jsonb_build_object(
                'api_key_id', k.api_key_id, 'tenant_id', k.tenant_id, 'environment_id', k.environment_id,
                'environment', e.name, 'key_sha256', encode(k.key_sha256, 'hex'), 'scopes', k.scopes,
                'expires_at', k.expires_at) order by k.api_key_id), '[]')
            from nexus.api_key k
            join nexus.tenant t on t.tenant_id = k.tenant_id and t.is_active
            join nexus.environment e on e.tenant_id = k.tenant_id and e.environment_id = k.environment_id
            where k.revoked_at is null and (k.expires_at is null or k.expires_at > now())),
        'platform_keys', (select coalesce(jsonb_agg(jsonb_build_object(
                'platform_key_id', k.platform_key_id, 'key_sha256', encode(k.key_sha256, 'hex'),
                'expires_at', k.expires_at) order by k.platform_key_id), '[]')
            from nexus.platform_key k
            where k.revoked_at is null and (k.expires_at is null or k.expires_at > now())),
        'data_keys', (select coalesce(jsonb_agg(jsonb_build_object(
                'tenant_id', k.tenant_id, 'data_key_id', k.tenant_data_key_id,
                'wrapped_key', encode(k.wrapped_key, 'base64'), 'master_key_id', k.master_key_id)
                order by k.tenant_data_key_id), '[]')
            from nexus.tenant_data_key k),
        'secrets', (select coalesce(jsonb_agg(jsonb_build_object(
                'secret_id', s.secret_id, 'tenant_id', s.tenant_id, 'owner_kind', s.owner_kind,
                'owner_id', s.owner_id, 'name', s.name, 'data_key_id', s.tenant_data_key_id,
                'sealed', encode(s.sealed, 'base64'), 'valid_until', s.valid_until)
                order by s.created_at desc, s.secret_id desc), '[]')
            from nexus.secret s where s.valid_until is null or s.valid_until > now())
    ) into configuration;
    return next;
end;
$$;
comment on function nexus.gateway_configuration(text) is
    'All that gateways hold in memory: active connectors, manifests, key hashes and sealed secrets; null while the fingerprint is the known one.';
