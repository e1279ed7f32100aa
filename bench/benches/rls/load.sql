-- A thousand tenants and a million orders, as rows and not through the pipeline. bench.orders says how many.
--
-- Tenants are as unequal as customers of a platform are: the n-th has about 1/n of what the first has, which is a
-- tenth of everything. Orders come in the order of time, of all tenants mixed.

create schema bench;
-- Constraints hold by construction; foreign keys would be checked row by row.
set session_replication_role = replica;

create unlogged table bench.tenant as
select n, nexus.create_tenant('bench-' || n, 'Bench ' || n) as tenant_id from generate_series(1, 1000) n;
alter table bench.tenant add environment_id uuid, add connector_id uuid default gen_random_uuid();
update bench.tenant t set environment_id = e.environment_id
from nexus.environment e where e.tenant_id = t.tenant_id and e.name = 'prod';

-- place is the order's number within its tenant; a customer buys four times.
create unlogged table bench.sale as
select i, n, row_number() over (partition by n order by i) as place,
       timestamptz '2025-01-01' + i * (interval '365 days' / current_setting('bench.orders')::integer) as at
from (select i, floor(1000 ^ (i * 0.6180339887498949 % 1))::integer as n
      from generate_series(1, current_setting('bench.orders')::integer) i) s;

create function bench.id(kind text, n integer, place bigint) returns uuid
language sql immutable as $$ select md5(kind || n || '/' || place)::uuid $$;

insert into nexus.customer (
    tenant_id, customer_id, environment_id, customer_type, email, email_key, email_kind, first_name, last_name, full_name,
    language, default_currency, source_created_at, entity_version, created_at, updated_at)
select t.tenant_id, bench.id('customer', s.n, s.place / 4), t.environment_id, 'person', 'Buyer.' || s.place / 4 || '@example.com',
       'buyer.' || s.place / 4 || '@example.com', 'personal', 'Ada', 'Buyer ' || s.place / 4, 'Ada Buyer ' || s.place / 4,
       'nl', 'EUR', min(s.at), 1, min(s.at), max(s.at)
from bench.sale s join bench.tenant t using (n)
group by t.tenant_id, t.environment_id, s.n, s.place / 4
order by min(s.at);

insert into nexus.sales_order (
    tenant_id, sales_order_id, environment_id, customer_id, customer_birth_id, order_number, order_number_key, channel,
    order_status, financial_status, fulfillment_status, source_status, currency, prices_include_tax, subtotal_amount,
    discount_amount, shipping_amount, tax_amount, total_amount, refunded_amount, ordered_at, is_test, email,
    shipping_address, payment_methods, source_created_at, tags, entity_version, created_at, updated_at)
select t.tenant_id, bench.id('order', s.n, s.place), t.environment_id, bench.id('customer', s.n, s.place / 4),
       bench.id('customer', s.n, s.place / 4), '#' || s.place, s.place::text, 'web', 'confirmed',
       case when s.i % 10 = 0 then 'pending' else 'paid' end,
       case when s.at > '2025-12-20' then 'unfulfilled' else 'fulfilled' end, 'paid', 'EUR', true,
       s.i % 200 + 0.95, 0, 4.95, round((s.i % 200 + 5.9) * 21 / 121, 2), s.i % 200 + 5.9, 0, s.at, false,
       'Buyer.' || s.place / 4 || '@example.com',
       jsonb_build_object('name', 'Ada Buyer', 'line1', 'Dam ' || s.i % 100, 'postal_code', '1012 JS', 'city', 'Amsterdam',
                          'country_code', 'NL'),
       array['ideal'], s.at, array['web'], 2, s.at, s.at + interval '2 days'
from bench.sale s join bench.tenant t using (n)
order by s.i;

-- Two lines for every other order.
insert into nexus.sales_order_line (
    tenant_id, sales_order_line_id, environment_id, sales_order_id, connector_id, external_id, position, line_type,
    product_variant_id, product_variant_birth_id, sku, title, quantity, quantity_fulfilled, unit_price, discount_amount,
    tax_amount, total_amount, tax_rate)
select t.tenant_id, bench.id('line', s.n, s.place * 2 + line), t.environment_id, bench.id('order', s.n, s.place), t.connector_id,
       (s.i * 2 + line)::text, line + 1, 'item', v.id, v.id, 'SKU-' || v.place, 'Article ' || v.place, 1, 1, 49.95, 0,
       8.67, 49.95, 0.21
from bench.sale s join bench.tenant t using (n), generate_series(0, 1) line,
     lateral (select (s.i * 7 + line * 3) % greatest(10, 5000 / s.n)) k(place),
     lateral (select k.place, bench.id('variant', s.n, k.place)) v
where s.i % 2 = 0
order by s.i;

create unlogged table bench.variant as
select t.*, place, bench.id('variant', n, place) as variant_id, bench.id('product', n, place / 4) as product_id
from bench.tenant t, generate_series(0, greatest(10, 5000 / n) - 1) place;

insert into nexus.product (
    tenant_id, product_id, environment_id, title, brand, status, entity_version, created_at, updated_at)
select distinct v.tenant_id, v.product_id, v.environment_id, 'Product ' || v.place / 4, 'Acme', 'active', 1,
       timestamptz '2025-01-01', timestamptz '2025-01-01'
from bench.variant v;

insert into nexus.product_variant (
    tenant_id, product_variant_id, environment_id, product_id, product_birth_id, sku, sku_key, title, position, price,
    price_currency, is_stocked, entity_version, created_at, updated_at)
select v.tenant_id, v.variant_id, v.environment_id, v.product_id, v.product_id, 'SKU-' || v.place, 'SKU-' || v.place,
       'Article ' || v.place, v.place % 4 + 1, 49.95, 'EUR', true, 1, timestamptz '2025-01-01', timestamptz '2025-01-01'
from bench.variant v;

insert into nexus.inventory_level (
    tenant_id, inventory_level_id, environment_id, connector_id, is_authoritative, product_variant_id,
    product_variant_birth_id, location_id, location_birth_id, on_hand, available, observed_at, entity_version, created_at,
    updated_at)
select v.tenant_id, bench.id('level' || location, v.n, v.place), v.environment_id, v.connector_id, true, v.variant_id,
       v.variant_id, bench.id('location', v.n, location), bench.id('location', v.n, location), v.place % 50, v.place % 50,
       timestamptz '2025-12-31', 1, timestamptz '2025-01-01', timestamptz '2025-12-31'
from bench.variant v, generate_series(1, 2) location;

reset session_replication_role;
