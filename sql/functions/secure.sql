-- The last step of every migrate(): owners, policies and grants are as they must be, whatever a restore or a
-- hand did to them meanwhile.

create function nexus._secure() returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    thing record;
    -- What opens doors, or tells of other tenants, is for the definer functions alone.
    sealed constant text[] := array['secret', 'tenant_data_key', 'api_key', 'platform_key', 'tenant_slug', 'idempotency_key',
        'idempotency_request'];
    for_tenants constant text[] := array['current_tenant_id', 'current_environment_id', '_bound_groups', '_session_is',
        '_require_tenant', 'ingest', 'ingest_batch', 'export_tenant', 'erase_customer', 'normalize', 'trace', 'read_domain_events', 'explain_routing', 'effective_settings', '_flow_refusal', '_flow_settings', '_connector_settings', '_manifest_version', '_platform_setting', 'field_lineage', 'birth_id', 'uuid_v7'];
    for_gateways constant text[] := for_tenants || array['gateway_configuration', 'due_tenants', 'claim', 'settle',
        'renew_leases', 'release_leases', 'complete_job', 'create_tenant', 'create_connector', 'create_flow', 'create_subscription', 'put_data_key',
        'data_key', 'put_secret', 'put_api_key', 'rotate_api_key', 'revoke_api_key', 'api_keys', 'touch_api_keys', 'tenants', 'update_tenant',
        'delete_tenant', 'update_connector', 'delete_connector', 'update_flow', 'delete_flow', 'begin_request', 'end_request', 'reprocess', 'preview_mapping', 'register_connector_type', 'set_setting', 'use_connector_type_version', 'maintain', 'readiness', 'data_keys_to_rewrap', 'rewrap_data_key'];
    for_admins constant text[] := for_gateways || array['put_platform_key', 'revoke_platform_key', 'bind_role', 'unbind_role', 'drop_groups', '_audit', '_actor', '_tenant_tables'];
begin
    -- Partitions are made by maintain(), which runs as nexus_system, and belong to the owner of their parents.
    if not pg_has_role('nexus_system', 'nexus_owner', 'member') then
        grant nexus_owner to nexus_system;
    end if;
    grant create, usage on schema nexus to nexus_owner;

    for thing in
        select c.oid, c.relname, c.relkind, c.relispartition,
               exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped) as is_tenants,
               (select case when a.attnotnull then 'required' else 'optional' end from pg_attribute a
                where a.attrelid = c.oid and a.attname = 'environment_id' and not a.attisdropped) as environment,
               pg_get_userbyid(c.relowner) as owner, c.relrowsecurity and c.relforcerowsecurity as is_secured
        from pg_class c
        where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p', 'v')
          and not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')
        order by c.relname
    loop
        if thing.owner <> 'nexus_owner' then
            execute format('alter table nexus.%I owner to nexus_owner', thing.relname);
        end if;
        if thing.relkind <> 'v' and thing.is_tenants and not thing.is_secured then
            execute format('alter table nexus.%I enable row level security, force row level security', thing.relname);
        end if;
        if thing.relispartition then
            execute format('revoke all on nexus.%I from public, nexus_tenant, nexus_gateway, nexus_admin, nexus_system', thing.relname);
            continue;
        end if;
        if thing.relkind <> 'v' and thing.is_tenants then
            perform nexus._create_policies(thing.relname, thing.environment, thing.relname = any (sealed));
        end if;
        execute format('revoke all on nexus.%I from public, nexus_tenant, nexus_gateway, nexus_admin', thing.relname);
        execute format('grant select, insert, update, delete on nexus.%I to nexus_system', thing.relname);
        if not thing.relname = any (sealed) and thing.relname <> 'access_report' then
            execute format('grant select on nexus.%I to nexus_tenant, nexus_gateway, nexus_admin', thing.relname);
        end if;
    end loop;

    for thing in
        select p.proname, p.oid::regprocedure as signature, p.prosecdef, pg_get_userbyid(p.proowner) as owner
        from pg_proc p where p.pronamespace = 'nexus'::regnamespace
    loop
        if thing.prosecdef and thing.owner <> 'nexus_system' then
            execute format('alter function %s owner to nexus_system', thing.signature);
        end if;
        execute format('revoke all on function %s from public, nexus_tenant, nexus_gateway, nexus_admin', thing.signature);
        execute format('grant execute on function %s to nexus_system', thing.signature);
        if thing.proname = any (for_tenants) then
            execute format('grant execute on function %s to nexus_tenant', thing.signature);
        end if;
        if thing.proname = any (for_gateways) then
            execute format('grant execute on function %s to nexus_gateway', thing.signature);
        end if;
        if thing.proname = any (for_admins) then
            execute format('grant execute on function %s to nexus_admin', thing.signature);
        end if;
    end loop;

    grant select on nexus.access_report to nexus_admin;
    revoke all on schema nexus from public;
    grant usage on schema nexus to nexus_tenant, nexus_gateway, nexus_admin, nexus_system;
end;
$$;
comment on function nexus._secure() is 'Sets owners, forced row-level security, policies and grants of everything in the schema.';

create function nexus._create_policies(table_name text, environment text, is_sealed boolean) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    policy record;
    -- In subselects, so that they cost one call a table reference and not one a row.
    own constant text := 'tenant_id = (select nexus.current_tenant_id())' || case environment
        when 'required' then ' and ((select nexus.current_environment_id()) is null'
                          || ' or environment_id = (select nexus.current_environment_id()))'
        when 'optional' then ' and ((select nexus.current_environment_id()) is null or environment_id is null'
                          || ' or environment_id = (select nexus.current_environment_id()))'
        else '' end;
begin
    for policy in
        select * from (values
            ('system', 'to nexus_system using (true) with check (true)', false),
            ('admin', 'for select to nexus_admin using (true)', true),
            ('tenant', 'for select to nexus_tenant, nexus_gateway using (' || own || ')', true)
        ) as p(name, clause, reads)
        where not (p.reads and is_sealed)
          and not exists (select from pg_policies e
                          where e.schemaname = 'nexus' and e.tablename = table_name and e.policyname = p.name)
    loop
        execute format('create policy %I on nexus.%I %s', policy.name, table_name, policy.clause);
    end loop;
end;
$$;
comment on function nexus._create_policies(text, text, boolean) is
    'Writes a table''s policies: the system''s, and unless it is sealed the administrators'' and the tenant''s own.';
