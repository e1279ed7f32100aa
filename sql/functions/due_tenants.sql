create function nexus.due_tenants(
    max integer, excluded uuid[] default '{}', known uuid[] default '{}', since timestamptz[] default '{}', after uuid[] default '{}'
) returns table (tenant_id uuid, due_at timestamptz, delivery_id uuid)
language plpgsql stable security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_hashjoin to off
set enable_mergejoin to off
set plan_cache_mode to force_generic_plan
set jit to off
as $$
declare
    -- What was queued by transactions that began so long ago is always looked for, wherever the worker has got to.
    lately constant interval := '200 ms';
begin
    perform nexus._require_role('nexus_gateway');
    if not nexus._is_accepted() then
        return;
    end if;
    -- A loose index scan: one probe per tenant with deliveries, however many deliveries each has. Tenants that the worker
    -- knows are not searched for but taken as they come: of the index only what lies between them is read.
    return query
    with recursive each_tenant(id, since, after, next) as (
        select '00000000-0000-0000-0000-000000000000'::uuid, null::timestamptz, null::uuid, 1
        union all
        select coalesce(n.id, known[t.next]), case when n.id is null then $4[t.next] end,
               case when n.id is null then $5[t.next] end, t.next + case when n.id is null then 1 else 0 end
        from each_tenant t
        left join lateral (
            select d.tenant_id as id from nexus.delivery d
            where d.tenant_id > t.id and d.tenant_id < coalesce(known[t.next], 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            order by d.tenant_id limit 1) n on true
        where n.id is not null or known[t.next] is not null
    )
    select t.id, earliest.due_at, earliest.delivery_id
    from each_tenant t
    cross join lateral (
        select d.due_at, d.delivery_id from nexus.delivery d
        where d.tenant_id = t.id and d.due_at <= now()
          and (d.due_at, d.delivery_id) >= (least(coalesce(t.since, '-infinity'), now() - lately),
                                            coalesce(t.after, '00000000-0000-0000-0000-000000000000'))
          and (d.leased_until is null or d.leased_until < now())
        order by d.due_at, d.delivery_id limit 1
    ) earliest
    where t.id <> all ($2)
    order by earliest.due_at
    limit $1;
end;
$$;
comment on function nexus.due_tenants(integer, uuid[], uuid[], timestamptz[], uuid[]) is
    'Tenants with deliveries due now, without those excluded; the longest waiting first, and which delivery that is. Of known tenants (in the order of their ids) only what is due since and after a place: since that time, and of that time from that delivery on.';
