-- After rls/load.sql: what stands behind the golden rows. Every order is in a shop, and nineteen of twenty in an ERP as
-- well; a few of those differ. Some customers are in both, stock at one place is counted by both.

set session_replication_role = replica;

alter table bench.tenant add erp_id uuid default gen_random_uuid();
insert into nexus.connector (tenant_id, connector_id, environment_id, connector_type, name)
select t.tenant_id, t.connector_id, t.environment_id, 'shopify', 'Shop' from bench.tenant t
union all
select t.tenant_id, t.erp_id, t.environment_id, 'odoo', 'ERP' from bench.tenant t;

create function bench.document(number bigint, total numeric, status text) returns jsonb
language sql immutable as $$
    select jsonb_build_object('order_number', '#' || number, 'currency', 'EUR', 'total_amount', total::text,
                              'order_status', 'confirmed', 'financial_status', status, 'source_created_at', '2025-01-01T00:00:00Z')
$$;

insert into nexus.source_record (
    tenant_id, birth_id, environment_id, connector_id, kind, external_id, entity_id, has_siblings, document, source_time,
    observed_at, generation, event_id, manifest_version, is_deleted, created_at, updated_at)
select t.tenant_id, r.birth_id, t.environment_id, r.connector_id, 'sales_order', r.external_id, bench.id('order', s.n, s.place),
       s.i % 20 <> 7, bench.document(s.place, s.i % 200 + 5.9 + r.apart, r.status), s.at, s.at, 0, bench.id('event', s.n, s.place), 1,
       false, s.at, s.at
from bench.sale s join bench.tenant t using (n)
cross join lateral (
    select bench.id('order', s.n, s.place), t.connector_id, s.place::text, 0.0, case when s.i % 10 = 0 then 'pending' else 'paid' end
    union all
    select bench.id('erp', s.n, s.place), t.erp_id, 'S' || s.place, case when s.i % 997 = 0 then 1.0 else 0 end, 'unknown'
    where s.i % 20 <> 7) r(birth_id, connector_id, external_id, apart, status)
order by s.i;

insert into nexus.identity_key (tenant_id, environment_id, kind, key_type, key_value, birth_id, is_live)
select t.tenant_id, t.environment_id, 'sales_order', k.key_type, k.key_value, k.birth_id, true
from bench.sale s join bench.tenant t using (n)
cross join lateral (
    select 'order_number', s.place::text, bench.id('order', s.n, s.place)
    union all
    select k.*, bench.id('erp', s.n, s.place)
    from (values ('order_number', 's' || s.place), ('order_reference', s.place::text)) k where s.i % 20 <> 7) k(key_type, key_value, birth_id);

insert into nexus.source_record (
    tenant_id, birth_id, environment_id, connector_id, kind, external_id, entity_id, has_siblings, document, source_time,
    observed_at, generation, event_id, manifest_version, is_deleted, created_at, updated_at)
select c.tenant_id, r.birth_id, c.environment_id, r.connector_id, 'customer', r.birth_id::text, c.customer_id, r.is_shared,
       jsonb_build_object('full_name', r.name, 'email', c.email), c.created_at, c.created_at, 0, c.customer_id, 1, false,
       c.created_at, c.created_at
from nexus.customer c join bench.tenant t using (tenant_id)
cross join lateral (select abs(hashtext(c.customer_id::text)) % 50 = 0 as is_shared) h
cross join lateral (
    select c.customer_id, t.connector_id, h.is_shared, c.full_name
    union all
    select md5('erp' || c.customer_id)::uuid, t.erp_id, true, 'A. ' || c.last_name where h.is_shared) r(birth_id, connector_id, is_shared, name);

insert into nexus.entity_change (
    tenant_id, entity_change_id, environment_id, kind, birth_id, old_entity_id, new_entity_id, because, actor, changed_at)
select r.tenant_id, nexus.uuid_v7(), r.environment_id, r.kind, r.birth_id, r.birth_id, r.entity_id,
       jsonb_build_array(jsonb_build_object('a', r.entity_id, 'b', r.birth_id, 'key_type', 'email', 'key_value', r.document ->> 'email')),
       'bench', r.created_at
from nexus.source_record r where r.kind = 'customer' and r.birth_id <> r.entity_id;

-- A thousand pairs for people to look at, of each of the larger tenants.
insert into nexus.merge_candidate (tenant_id, merge_candidate_id, environment_id, kind, a, b, score, reasons, found_at)
select t.tenant_id, nexus.uuid_v7(), t.environment_id, 'customer', least(p.a, p.b), greatest(p.a, p.b), 0.76, array['same phone', 'similar name'], now()
from bench.tenant t, generate_series(1, 1000) i,
     lateral (select bench.id('customer', t.n, i), bench.id('customer', t.n, i + 1000)) p(a, b)
where t.n <= 10;

-- The ERP's count of one place in two; one in fifty differs.
insert into nexus.inventory_level (
    tenant_id, inventory_level_id, environment_id, connector_id, is_authoritative, product_variant_id,
    product_variant_birth_id, location_id, location_birth_id, on_hand, available, observed_at, entity_version, created_at,
    updated_at)
select v.tenant_id, bench.id('erp level', v.n, v.place), v.environment_id, v.erp_id, false, v.variant_id, v.variant_id,
       bench.id('location', v.n, 1), bench.id('location', v.n, 1), stock.counted, stock.counted, timestamptz '2025-12-31', 1,
       timestamptz '2025-01-01', timestamptz '2025-12-31'
from (select v.*, t.erp_id from bench.variant v join bench.tenant t using (n)) v,
     lateral (select v.place % 50 + case when v.place % 50 = 7 then 1 else 0 end) stock(counted);

-- Some do not add up.
update nexus.sales_order o set subtotal_amount = o.subtotal_amount + 1 where o.order_number_key like '%777';

reset session_replication_role;
drop table bench.sale, bench.variant;
