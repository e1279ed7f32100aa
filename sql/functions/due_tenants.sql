create function nexus.due_tenants(
    max integer, excluded uuid[] default '{}', tenants uuid[] default '{}', destinations uuid[] default '{}',
    since timestamptz[] default '{}', after uuid[] default '{}'
) returns table (tenant_id uuid, due_at timestamptz)
language plpgsql stable security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_hashjoin to off
set enable_mergejoin to off
set enable_bitmapscan to off
set plan_cache_mode to force_generic_plan
set jit to off
as $$
declare
    -- What was queued by transactions that began so long ago is always looked for, wherever the worker has got to.
    lately constant interval := '200 ms';
    nobody constant uuid := '00000000-0000-0000-0000-000000000000';
    everybody constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
begin
    perform nexus._require_role('nexus_gateway');
    if not nexus._is_accepted() then
        return;
    end if;
    -- A loose index scan: one probe per tenant and destination with deliveries, however many deliveries each has. Those
    -- that the worker knows are not searched for but taken as they come: of the index only what lies between them is read.
    -- The next is one of the same tenant, one of a tenant between, or one of the known tenant. One comparison of rows says
    -- the same, but does not end where it fails in its second column: it reads on through all of a tenant's deliveries.
    return query
    with recursive queue(tenant_id, destination_id, since, after, next) as (
        select nobody, nobody, null::timestamptz, null::uuid, 1
        union all
        select coalesce(n.tenant_id, q.known_tenant), coalesce(n.destination_id, q.known_destination),
               case when n.tenant_id is null then $5[q.next] end, case when n.tenant_id is null then $6[q.next] end,
               q.next + case when n.tenant_id is null then 1 else 0 end
        from (select q.*, tenants[q.next] as known_tenant, destinations[q.next] as known_destination from queue q) q
        left join lateral (
            (select d.tenant_id, d.destination_id from nexus.delivery d
             where d.tenant_id = q.tenant_id and d.destination_id > q.destination_id
               and d.destination_id < case when q.known_tenant = q.tenant_id then q.known_destination else everybody end
             order by d.destination_id limit 1)
            union all
            (select d.tenant_id, d.destination_id from nexus.delivery d
             where q.known_tenant is distinct from q.tenant_id
               and d.tenant_id > q.tenant_id and d.tenant_id < coalesce(q.known_tenant, everybody)
             order by d.tenant_id, d.destination_id limit 1)
            union all
            (select d.tenant_id, d.destination_id from nexus.delivery d
             where q.known_tenant <> q.tenant_id
               and d.tenant_id = q.known_tenant and d.destination_id < q.known_destination
             order by d.destination_id limit 1)
            limit 1) n on true
        where n.tenant_id is not null or q.known_tenant is not null
    )
    select q.tenant_id, min(earliest.due_at)
    from queue q
    cross join lateral (
        select d.due_at from nexus.delivery d
        where d.tenant_id = q.tenant_id and d.destination_id = q.destination_id and d.due_at <= now()
          and (d.due_at, d.delivery_id) >= (least(coalesce(q.since, '-infinity'), now() - lately), coalesce(q.after, nobody))
          and (d.leased_until is null or d.leased_until < now())
        order by d.due_at, d.delivery_id limit 1
    ) earliest
    where q.tenant_id <> all ($2) and (select t.is_active from nexus.tenant t where t.tenant_id = q.tenant_id)
    group by q.tenant_id
    order by min(earliest.due_at)
    limit $1;
end;
$$;
comment on function nexus.due_tenants(integer, uuid[], uuid[], uuid[], timestamptz[], uuid[]) is
    'Active tenants with deliveries due now, without those excluded, and since when; the longest waiting first. Of known destinations (in the order of their tenants'' ids and their own) only what is due since and after a place: since that time, and of that time from that delivery on.';
