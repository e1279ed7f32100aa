-- The last step of every migrate(): owners, policies and grants are as they must be, whatever a restore or a
-- hand did to them meanwhile.

create function nexus._secure() returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    thing record;
    for_tenants constant text[] := array['current_tenant_id', 'current_environment_id', '_session_is',
        '_require_secured', '_require_role', '_require_tenant', 'ingest', 'ingest_batch', 'export_tenant',
        'erase_customer', 'normalize', 'trace', 'read_domain_events', 'explain_routing', 'effective_settings',
        '_flow_refusal', '_flow_settings', '_connector_settings', '_manifest_version', '_platform_setting', 'field_lineage',
        'birth_id', 'uuid_v7', 'merge', 'unmerge', 'rebuild', 'provenance', '_provenance', 'current_entity', 'entity_at', 'history',
        'dbt_sources', 'latest_cursor', '_matches_event_type', '_check_kind'];
    for_gateways constant text[] := for_tenants || array['gateway_configuration', 'due_tenants', 'claim', 'settle',
        'renew_leases', 'release_leases', 'complete_job', 'retry_job', 'cancel_job', 'update_subscription',
        'delete_subscription', 'replay', 'replay_page', 'create_tenant', 'create_connector', 'create_flow',
        'create_subscription', 'put_data_key', 'data_key', 'put_secret', 'put_api_key', 'rotate_api_key', 'revoke_api_key',
        'api_keys', 'touch_api_keys', 'tenants', 'update_tenant', 'delete_tenant', 'update_connector', 'delete_connector',
        'update_flow', 'delete_flow', 'begin_request', 'end_request', 'reprocess', 'preview_mapping',
        'register_connector_type', 'set_setting', 'use_connector_type_version', 'maintain', 'partitioned_until', 'readiness',
        '_pending_migrations', 'data_keys_to_rewrap', 'rewrap_data_key', 'set_survivorship', 'follow_moves', 'outbox_status',
        'outbox_news', '_json_text', 'ring_doorbell', 'fall_asleep', 'is_known_asleep', 'wake_up'];
    for_admins constant text[] := for_gateways || array['put_platform_key', 'revoke_platform_key', 'bind_role', 'unbind_role',
        'drop_groups', 'accept_epoch', '_audit', '_actor', '_tenant_tables'];
begin
    -- Partitions are made by maintain(), which runs as nexus_system, and belong to the owner of their parents.
    if not pg_has_role('nexus_system', 'nexus_owner', 'member') then
        grant nexus_owner to nexus_system;
    end if;
    grant create, usage on schema nexus to nexus_owner;

    for thing in
        select c.relname from pg_class c
        where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p', 'v')
          and not exists (select from pg_depend d where d.objid = c.oid and d.classid = 'pg_class'::regclass and d.deptype = 'e')
        order by c.relname
    loop
        perform nexus._secure_table(thing.relname);
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

    revoke all on schema nexus from public;
    grant usage on schema nexus to nexus_tenant, nexus_gateway, nexus_admin, nexus_system;
end;
$$;
comment on function nexus._secure() is 'Sets owners, forced row-level security, policies and grants of everything in the schema.';

create function nexus._secure_table(table_name text) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    -- What opens doors, tells of other tenants, or cannot be told apart by environment, is for the definer
    -- functions alone.
    is_sealed constant boolean := table_name = any (array['secret', 'tenant_data_key', 'api_key', 'platform_key', 'tenant_slug',
        'idempotency_key', 'idempotency_request', 'source_record_alias']);
    held record;
    column_name name;
begin
    select c.oid, c.relkind = 'v' as is_view, c.relispartition as is_partition,
           c.relrowsecurity and c.relforcerowsecurity as is_secured, pg_get_userbyid(c.relowner) as owner,
           exists (select from pg_attribute a
                   where a.attrelid = c.oid and a.attname = 'tenant_id' and not a.attisdropped) and c.relkind <> 'v' as is_tenants,
           exists (select from pg_attribute a
                   where a.attrelid = c.oid and a.attname = 'environment_id' and not a.attisdropped) as has_environment
    into strict held
    from pg_class c where c.relnamespace = 'nexus'::regnamespace and c.relname = table_name;

    if held.owner <> 'nexus_owner' then
        execute format('alter table nexus.%I owner to nexus_owner', table_name);
    end if;
    if held.is_tenants then
        if not held.is_secured then
            execute format('alter table nexus.%I enable row level security, force row level security', table_name);
        end if;
        -- A partition is read through its table, whose policies then count; by itself it shows nothing.
        perform nexus._create_policies(table_name, held.has_environment, is_sealed or held.is_partition);
    end if;
    execute format('revoke all on nexus.%I from public, nexus_tenant, nexus_gateway, nexus_admin, nexus_system', table_name);
    if not held.is_partition then
        execute format('grant select, insert, update, delete on nexus.%I to nexus_system', table_name);
        if table_name = 'access_report' then
            grant select on nexus.access_report to nexus_admin;
        elsif not is_sealed then
            execute format('grant select on nexus.%I to nexus_tenant, nexus_gateway, nexus_admin', table_name);
        end if;
    end if;

    -- The planner's statistics are of all tenants together, and show through in the row estimates of EXPLAIN.
    for column_name in
        select a.attname from pg_attribute a
        where a.attrelid = held.oid and not held.is_view and not a.attisdropped and a.attnum > 0
          and a.attstattarget is distinct from 0 and nexus._is_identifying(a.attname, a.atttypid)
    loop
        execute format('alter table nexus.%I alter column %I set statistics 0', table_name, column_name);
    end loop;
end;
$$;
comment on function nexus._secure_table(text) is
    'Sets a table''s, partition''s or view''s owner, row-level security, policies and grants, and keeps who is in it out of the planner''s statistics.';

create function nexus._is_identifying(column_name name, type_id oid) returns boolean
language sql immutable
set search_path to pg_catalog, nexus, pg_temp
as $$
    -- Every text and document but the vocabularies that queries filter by: a new column is one until it is named here.
    select type_id in ('jsonb'::regtype, 'bytea'::regtype)
        or type_id in ('text'::regtype, 'text[]'::regtype)
           and column_name <> all ('{action, connector_type, country_code, currency, entity_kind, error_class, event_type,
               financial_status, fulfillment_status, kind, line_type, object_kind, order_status, outcome, payment_kind, status,
               topic}'::name[])
$$;
comment on function nexus._is_identifying(name, oid) is
    'Whether a column holds text that tells of whom or what its row is: e-mail addresses, names, numbers, payloads, keys.';

create function nexus._create_policies(table_name text, has_environment boolean, is_sealed boolean) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    policy record;
    -- In subselects, so that they cost one call a table reference and not one a row. A login that is bound to no
    -- environment sees all of them, and everyone sees what belongs to none; in a coalesce, which the planner takes for
    -- half of the rows: of an "is null or …" it expects next to none, and sorts a tenant's rows to find ten of them.
    own constant text := 'tenant_id = (select nexus.current_tenant_id())'
        || case when has_environment then ' and coalesce(environment_id = (select nexus.current_environment_id()), true)'
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
comment on function nexus._create_policies(text, boolean, boolean) is
    'Writes a table''s policies: the system''s, and unless it is sealed the administrators'' and the tenant''s own.';
