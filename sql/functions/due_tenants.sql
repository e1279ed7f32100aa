create function nexus.due_tenants(max integer, excluded uuid[] default '{}') returns table (tenant_id uuid, due_at timestamptz)
language plpgsql stable security definer
set search_path to pg_catalog, nexus, pg_temp
set plan_cache_mode to force_generic_plan
set jit to off
as $$
begin
    perform nexus._require_role('nexus_gateway');
    if not nexus._is_accepted() then
        return;
    end if;
    -- A loose index scan: one probe per tenant with deliveries, however many deliveries each has.
    return query
    with recursive each_tenant(id) as (
        (select d.tenant_id from nexus.delivery d order by d.tenant_id limit 1)
        union all
        select (select d.tenant_id from nexus.delivery d where d.tenant_id > each_tenant.id order by d.tenant_id limit 1)
        from each_tenant where each_tenant.id is not null
    )
    select each_tenant.id, earliest.due_at
    from each_tenant
    cross join lateral (
        select d.due_at from nexus.delivery d
        where d.tenant_id = each_tenant.id and d.due_at <= now() and (d.leased_until is null or d.leased_until < now())
        order by d.due_at limit 1
    ) earliest
    where each_tenant.id is not null and each_tenant.id <> all ($2)
    order by earliest.due_at
    limit $1;
end;
$$;
comment on function nexus.due_tenants(integer, uuid[]) is 'Tenants with deliveries due now, without those excluded; the longest waiting first.';
