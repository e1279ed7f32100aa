create function nexus.create_tenant(slug text, name text) returns uuid
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    new_tenant_id uuid := nexus.uuid_v7();
    environment_ids uuid[] := array[nexus.uuid_v7(), nexus.uuid_v7(), nexus.uuid_v7()];
begin
    perform nexus._require_role('nexus_gateway', 'nexus_admin');
    if $1 is null or $1 !~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$' then
        raise invalid_parameter_value using
            message = format('"%s" cannot be a tenant''s slug', $1),
            hint = 'Use 1 to 63 lower-case letters, digits and hyphens, beginning and ending with a letter or digit.',
            detail = '{"code": "NX403"}';
    end if;
    begin
        insert into nexus.tenant_slug (slug, tenant_id) values ($1, new_tenant_id);
    exception when unique_violation then
        raise unique_violation using
            message = format('there is a tenant "%s" already', $1), detail = '{"code": "NX405"}';
    end;
    insert into nexus.tenant (tenant_id, slug, name) values (new_tenant_id, $1, coalesce($2, $1));
    insert into nexus.environment (tenant_id, environment_id, name)
    select new_tenant_id, environment_ids[n], (array['dev', 'test', 'prod'])[n] from generate_series(1, 3) n;
    perform nexus._audit(new_tenant_id, null, 'tenant.created', 'tenant', new_tenant_id, jsonb_build_object('slug', $1));
    return new_tenant_id;
end;
$$;
comment on function nexus.create_tenant(text, text) is 'A new tenant with dev, test and prod environments; its id.';
