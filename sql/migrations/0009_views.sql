-- Views that answer what data teams ask on the first day, with what they need. nexus.<kind>_source, what each
-- source says in typed columns, is made from core's table of fields at the end of every migrate().

create table nexus.vocabulary (
    vocabulary  text not null,
    value       text not null,
    position    integer not null,
    description text not null,
    primary key (vocabulary, value)
);
comment on table nexus.vocabulary is 'What the values of statuses, types and kinds mean: the closed lists of the commerce model.';
comment on column nexus.vocabulary.vocabulary is
    'The list: order_status, financial_status, fulfillment_status, shipment_status (of a fulfillment), payment_status, payment_kind, product_status, customer_type, email_kind, line_type or location_type.';
comment on column nexus.vocabulary.value is 'A value as it stands in the column.';
comment on column nexus.vocabulary.position is 'Its place in the list, from 1: from the beginning of a life towards its end.';
comment on column nexus.vocabulary.description is 'What it means.';

alter table nexus.connector_type add category text generated always as (manifest ->> 'category') stored;
comment on column nexus.connector_type.category is
    'What such a system is for, as its manifest says: shop, marketplace, erp (accounting too) or payment; null where it does not say.';

create index source_record_siblings_idx on nexus.source_record (tenant_id, kind, entity_id) where has_siblings;

create view nexus.v_entity_source with (security_invoker = true) as
select r.tenant_id, r.environment_id, r.kind, r.entity_id, r.birth_id, r.connector_id, c.name as connector_name,
       c.connector_type, t.category, r.external_id, n.name, r.source_time, r.is_deleted
from nexus.source_record r
left join nexus.connector c on c.tenant_id = r.tenant_id and c.connector_id = r.connector_id
left join nexus.connector_type t
    on t.connector_type = c.connector_type and (t.version = c.pinned_version or c.pinned_version is null and t.is_current)
cross join lateral (
    select coalesce(r.document ->> 'full_name',
                    nullif(concat_ws(' ', r.document ->> 'first_name', r.document ->> 'last_name'), ''),
                    r.document ->> 'company_name', r.document ->> 'title', r.document ->> 'name',
                    r.document ->> 'order_number') as name
) n;
comment on view nexus.v_entity_source is
    'Which records of which systems every entity is made of. An id that is no longer an entity''s is found here as birth_id.';
comment on column nexus.v_entity_source.kind is 'Which table entity_id is in: customer, sales_order, …';
comment on column nexus.v_entity_source.entity_id is 'The golden row it contributes to.';
comment on column nexus.v_entity_source.birth_id is 'The record''s own id, for ever; every entity_id there ever was is the birth_id of one of its records.';
comment on column nexus.v_entity_source.connector_type is 'The platform.';
comment on column nexus.v_entity_source.category is 'What the platform is for: shop, marketplace, erp, payment.';
comment on column nexus.v_entity_source.external_id is 'The record''s id in its source.';
comment on column nexus.v_entity_source.name is 'What this source calls it: a name, a title, an order''s number.';
comment on column nexus.v_entity_source.source_time is 'When the source says it last changed.';
comment on column nexus.v_entity_source.is_deleted is 'The source has deleted it.';

create view nexus.v_revenue_daily with (security_invoker = true) as
select o.tenant_id, o.environment_id, o.ordered_on as day, o.currency,
       count(*) as orders,
       sum(o.total_amount) as total_amount,
       sum(o.tax_amount) as tax_amount,
       sum(o.shipping_amount) as shipping_amount,
       sum(o.discount_amount) as discount_amount,
       coalesce(sum(o.refunded_amount), 0) as refunded_amount,
       sum(o.total_amount) - coalesce(sum(o.refunded_amount), 0) as remaining_amount,
       count(*) filter (where o.total_amount is null) as orders_without_total
from nexus.sales_order o
where o.deleted_at is null and o.order_status is distinct from 'cancelled' and o.order_status is distinct from 'draft'
  and o.cancelled_at is null and o.is_test is not true
group by o.tenant_id, o.environment_id, o.ordered_on, o.currency;
comment on view nexus.v_revenue_daily is
    'What was sold per day and currency, whatever has been paid of it. Without drafts, cancelled, deleted and test orders. A sale counts once, in however many systems it stands, if they agree on it (see v_order_mismatch); currencies are never added up.';
comment on column nexus.v_revenue_daily.day is 'The day of ordered_at in UTC; null for orders whose time is not known.';
comment on column nexus.v_revenue_daily.currency is 'ISO 4217, of all amounts of the row; null for orders that name none.';
comment on column nexus.v_revenue_daily.orders is 'How many orders.';
comment on column nexus.v_revenue_daily.total_amount is 'What the buyers were to pay, tax included, before refunds.';
comment on column nexus.v_revenue_daily.tax_amount is 'The tax in it, of orders whose source says so.';
comment on column nexus.v_revenue_daily.shipping_amount is 'The shipping in it.';
comment on column nexus.v_revenue_daily.discount_amount is 'Discounts given, positive.';
comment on column nexus.v_revenue_daily.refunded_amount is 'Paid back so far of the orders of this day, whenever that was; positive.';
comment on column nexus.v_revenue_daily.remaining_amount is 'total_amount less refunded_amount.';
comment on column nexus.v_revenue_daily.orders_without_total is 'Orders among them that no source gives a total for.';

create view nexus.v_orders_stuck with (security_invoker = true) as
with erp as materialized (
    select c.tenant_id, c.environment_id, c.connector_id
    from nexus.connector c
    join nexus.connector_type t
        on t.connector_type = c.connector_type and (t.version = c.pinned_version or c.pinned_version is null and t.is_current)
    where t.category = 'erp' and c.is_active
)
select o.tenant_id, o.environment_id, o.sales_order_id, o.order_number, o.channel, o.customer_id, o.currency, o.total_amount,
       o.financial_status, o.ordered_at, now() - o.ordered_at as age,
       array(select distinct r.external_id
             from nexus.identity_key own
             join nexus.identity_key named
                 on named.tenant_id = own.tenant_id and named.environment_id = own.environment_id and named.kind = own.kind
                 and named.key_type = 'order_reference' and named.key_value = own.key_value
             join nexus.source_record r on r.tenant_id = named.tenant_id and r.birth_id = named.birth_id
             join nexus.source_record s on s.tenant_id = own.tenant_id and s.birth_id = own.birth_id
             where s.tenant_id = o.tenant_id and s.entity_id = o.sales_order_id and own.key_type = 'order_number'
               and r.connector_id in (select e.connector_id from erp e)
             order by r.external_id) as named_by
from nexus.sales_order o
where o.financial_status in ('paid', 'partially_refunded') and o.order_status is distinct from 'cancelled'
  and o.cancelled_at is null and o.is_test is not true and o.deleted_at is null
  -- In a coalesce, so that no index by environment is taken: it would be one over all of the tenant's orders.
  and coalesce(o.environment_id = any (array(select e.environment_id from erp e)), false)
  and not exists (
      select from nexus.source_record r
      join erp e on e.tenant_id = r.tenant_id and e.connector_id = r.connector_id
      where r.tenant_id = o.tenant_id and r.entity_id = o.sales_order_id);
comment on view nexus.v_orders_stuck is
    'Paid orders that no ERP has, in environments that are connected to one. An order that the ERP had and deleted has been there.';
comment on column nexus.v_orders_stuck.age is 'Since it was ordered. The ERP needs its time: ask for age > interval ''1 hour''.';
comment on column nexus.v_orders_stuck.named_by is
    'Ids of the ERP''s orders that name this one''s number without being taken for it, because amount, currency or date differ.';
comment on column nexus.v_orders_stuck.total_amount is 'What the buyer was to pay, tax included.';
comment on column nexus.v_orders_stuck.currency is 'ISO 4217.';

create view nexus.v_stock_mismatch with (security_invoker = true) as
select a.tenant_id, a.environment_id, a.product_variant_id, v.sku, v.title, a.location_id, l.name as location_name,
       a.connector_id, a.is_authoritative, a.available, a.on_hand, a.observed_at,
       b.connector_id as other_connector_id, b.available as other_available, b.on_hand as other_on_hand,
       b.observed_at as other_observed_at
from nexus.inventory_level a
join nexus.inventory_level b
    on b.tenant_id = a.tenant_id and b.environment_id = a.environment_id
    and b.product_variant_id = a.product_variant_id and b.location_id = a.location_id
    and b.connector_id <> a.connector_id
    -- Each pair once: the owner of the stock first.
    and (a.is_authoritative and not b.is_authoritative
         or a.is_authoritative = b.is_authoritative and a.inventory_level_id < b.inventory_level_id)
left join nexus.product_variant v on v.tenant_id = a.tenant_id and v.product_variant_id = a.product_variant_id
left join nexus.location l on l.tenant_id = a.tenant_id and l.location_id = a.location_id
where (a.available <> b.available or a.on_hand <> b.on_hand) and a.deleted_at is null and b.deleted_at is null;
comment on view nexus.v_stock_mismatch is
    'Where two systems say something else of the stock of one variant at one location. Locations of two systems are one only where a person or an explicit reference says so.';
comment on column nexus.v_stock_mismatch.connector_id is 'A source; the one that owns the location''s stock, if one of the two does.';
comment on column nexus.v_stock_mismatch.is_authoritative is 'connector_id owns the location''s stock, so the other one is wrong.';
comment on column nexus.v_stock_mismatch.available is 'Free to sell, as connector_id says.';
comment on column nexus.v_stock_mismatch.on_hand is 'Physically there, as connector_id says.';
comment on column nexus.v_stock_mismatch.other_available is 'Free to sell, as other_connector_id says.';
comment on column nexus.v_stock_mismatch.other_on_hand is 'Physically there, as other_connector_id says.';

create view nexus.v_customer_360 with (security_invoker = true) as
select c.tenant_id, c.environment_id, c.customer_id, c.customer_type, c.full_name, c.first_name, c.last_name, c.company_name,
       c.email, c.email_key, c.phone_e164, coalesce(o.orders, 0) as orders, o.first_order_at, o.last_order_at,
       coalesce(o.revenue, '{}') as revenue, coalesce(o.refunded, '{}') as refunded, o.channels
from nexus.customer c
left join lateral (
    select sum(p.orders)::bigint as orders, min(p.first_order_at) as first_order_at, max(p.last_order_at) as last_order_at,
           jsonb_object_agg(p.currency, p.total_amount) filter (where p.currency is not null and p.total_amount is not null) as revenue,
           jsonb_object_agg(p.currency, p.refunded_amount) filter (where p.currency is not null and p.refunded_amount > 0) as refunded,
           array(select distinct x.channel from nexus.sales_order x
                 where x.tenant_id = c.tenant_id and x.customer_id = c.customer_id and x.channel is not null
                 order by x.channel) as channels
    from (select s.currency, count(*) as orders, min(s.ordered_at) as first_order_at, max(s.ordered_at) as last_order_at,
                 sum(s.total_amount) as total_amount, sum(s.refunded_amount) as refunded_amount
          from nexus.sales_order s
          where s.tenant_id = c.tenant_id and s.customer_id = c.customer_id and s.deleted_at is null
            and s.order_status is distinct from 'cancelled' and s.order_status is distinct from 'draft'
            and s.cancelled_at is null and s.is_test is not true
          group by s.currency) p
) o on true
where c.deleted_at is null;
comment on view nexus.v_customer_360 is
    'Every customer with what they bought, over all shops. Without drafts, cancelled, deleted and test orders. Fast for one customer (by customer_id or email_key).';
comment on column nexus.v_customer_360.orders is 'How many orders.';
comment on column nexus.v_customer_360.revenue is 'Sum of total_amount by currency, tax included, before refunds: {"EUR": 120.50, "USD": 10}.';
comment on column nexus.v_customer_360.refunded is 'Paid back by currency.';
comment on column nexus.v_customer_360.channels is 'Where they bought; cancelled orders too.';
comment on column nexus.v_customer_360.email_key is 'E-mail, trimmed and in lower case: ask by this one.';

-- Two ways to a pair, each from the first record's entity: of one order, its own are read and no others.
create view nexus.v_order_mismatch with (security_invoker = true) as
select p.tenant_id, p.environment_id, p.sales_order_id, p.other_sales_order_id, p.is_joined, p.connector_id, p.external_id,
       d.order_number, p.other_connector_id, p.other_external_id, e.order_number as other_order_number, m.differs,
       d.currency, d.total_amount, d.order_status, d.financial_status,
       e.currency as other_currency, e.total_amount as other_total_amount, e.order_status as other_order_status,
       e.financial_status as other_financial_status
from (
    select a.tenant_id, a.environment_id, a.entity_id as sales_order_id, b.entity_id as other_sales_order_id, true as is_joined,
           a.connector_id, a.external_id, a.document, b.connector_id as other_connector_id, b.external_id as other_external_id,
           b.document as other_document
    from nexus.source_record a
    join nexus.source_record b on b.tenant_id = a.tenant_id and b.entity_id = a.entity_id and b.birth_id > a.birth_id
    where a.kind = 'sales_order' and a.has_siblings and not a.is_deleted
      and b.kind = 'sales_order' and b.has_siblings and not b.is_deleted
    union all
    select a.tenant_id, a.environment_id, a.entity_id, b.entity_id, false,
           a.connector_id, a.external_id, a.document, b.connector_id, b.external_id, b.document
    from nexus.source_record a
    join nexus.identity_key own on own.tenant_id = a.tenant_id and own.birth_id = a.birth_id
    join nexus.identity_key named
        on named.tenant_id = own.tenant_id and named.environment_id = own.environment_id and named.kind = own.kind
        and named.key_type = 'order_reference' and named.key_value = own.key_value and named.birth_id <> own.birth_id
    join nexus.source_record b on b.tenant_id = named.tenant_id and b.birth_id = named.birth_id
    where a.kind = 'sales_order' and not a.is_deleted and own.kind = 'sales_order' and own.key_type = 'order_number' and own.is_live
      and named.is_live and not b.is_deleted
      -- A number that two shops use is no mismatch of the one with the other's order.
      and not b.has_siblings
) p
cross join lateral jsonb_to_record(p.document)
    as d(order_number text, currency text, total_amount numeric, order_status text, financial_status text)
cross join lateral jsonb_to_record(p.other_document)
    as e(order_number text, currency text, total_amount numeric, order_status text, financial_status text)
cross join lateral (
    select array_remove(array[
        case when d.currency <> e.currency then 'currency' end,
        case when abs(d.total_amount - e.total_amount) > 0.02 then 'total_amount' end,
        case when d.order_status <> e.order_status and 'unknown' not in (d.order_status, e.order_status) then 'order_status' end,
        case when d.financial_status <> e.financial_status and 'unknown' not in (d.financial_status, e.financial_status)
             then 'financial_status' end], null) as differs
) m
where m.differs <> '{}' and p.connector_id <> p.other_connector_id;
comment on view nexus.v_order_mismatch is
    'Orders of which two systems say something else: records of one order, and orders that name another''s number without being taken for it. One row for each pair of records.';
comment on column nexus.v_order_mismatch.sales_order_id is 'The order that the first record contributes to.';
comment on column nexus.v_order_mismatch.other_sales_order_id is 'The order that the second one contributes to; the same where is_joined.';
comment on column nexus.v_order_mismatch.is_joined is 'Both are one order. False: the second one names the first one''s number, and amount, currency or date keep them apart.';
comment on column nexus.v_order_mismatch.differs is
    'What differs: currency, total_amount (by more than 0.02), order_status, financial_status. What one does not say, or says in words that are not known, does not differ.';

create view nexus.v_merge_candidates with (security_invoker = true) as
select m.tenant_id, m.environment_id, m.kind, e.a as entity_a, e.b as entity_b,
       min(case when a.entity_id = e.a then a.name else b.name end) as name_a,
       min(case when a.entity_id = e.a then b.name else a.name end) as name_b,
       max(m.score) as score,
       array(select distinct r.reason from unnest(string_to_array(string_agg(array_to_string(m.reasons, e'\n'), e'\n'), e'\n')) r(reason)
             order by r.reason) as reasons,
       count(*) as pairs, min(m.found_at) as found_at
from nexus.merge_candidate m
join nexus.v_entity_source a on a.tenant_id = m.tenant_id and a.birth_id = m.a
join nexus.v_entity_source b on b.tenant_id = m.tenant_id and b.birth_id = m.b
cross join lateral (select least(a.entity_id, b.entity_id) as a, greatest(a.entity_id, b.entity_id) as b) e
where a.entity_id <> b.entity_id
group by m.tenant_id, m.environment_id, m.kind, e.a, e.b;
comment on view nexus.v_merge_candidates is
    'Entities that are likely the same, but not certainly: nexus.merge(tenant_id, kind, entity_a, entity_b, reason) joins them, nexus.unmerge says that they are not.';
comment on column nexus.v_merge_candidates.name_a is 'A name of entity_a.';
comment on column nexus.v_merge_candidates.name_b is 'A name of entity_b.';
comment on column nexus.v_merge_candidates.score is 'The highest score of their records, 0.40 to 0.99.';
comment on column nexus.v_merge_candidates.reasons is 'Why they may be the same, and why they are not taken for it.';
comment on column nexus.v_merge_candidates.pairs is 'How many pairs of their records suggest it.';

create view nexus.v_suspicious_merges with (security_invoker = true) as
select g.tenant_id, g.environment_id, g.kind, g.entity_id, g.records, g.names, j.joined_by, w.reasons
from (
    select s.tenant_id, s.environment_id, s.kind, s.entity_id, count(*) as records,
           array_agg(s.birth_id) as members,
           array_agg(distinct s.name) filter (where s.name is not null) as names,
           count(distinct lower(regexp_replace(s.name, '\W+', '', 'g'))) as different_names
    from nexus.v_entity_source s
    -- Those of several records have an index, which the view above hides.
    join nexus.source_record r on r.tenant_id = s.tenant_id and r.birth_id = s.birth_id
    where r.has_siblings and r.kind in ('customer', 'product', 'product_variant', 'location') and not s.is_deleted
    group by s.tenant_id, s.environment_id, s.kind, s.entity_id
) g
cross join lateral (
    select coalesce(array_agg(distinct x.edge ->> 'key_type') filter (where x.edge ? 'key_type'), '{}') as joined_by
    from unnest(g.members) as member(birth_id)
    cross join lateral (
        select h.because from nexus.entity_change h
        where h.tenant_id = g.tenant_id and h.birth_id = member.birth_id and h.new_entity_id = g.entity_id
        order by h.entity_change_id desc limit 1) latest
    cross join lateral jsonb_array_elements(latest.because) as x(edge)
) j
cross join lateral (
    select array_remove(array[
        case when g.different_names > 1 and g.kind in ('customer', 'product') then 'different names' end,
        case when j.joined_by = array['sku'] then 'joined by SKU alone' end,
        case when g.different_names > 1 and j.joined_by = array['email'] then 'joined by e-mail alone' end], null) as reasons
) w
where g.records > 1 and w.reasons <> '{}'
  and not exists (select from nexus.entity_link l
                  where l.tenant_id = g.tenant_id and l.link = 'must' and l.a = any (g.members) and l.b = any (g.members));
comment on view nexus.v_suspicious_merges is
    'Entities that were joined by themselves and may be several things: their sources name them differently, or nothing but a SKU joins them. nexus.unmerge(tenant_id, kind, birth_id, reason) takes a record out. What a person has merged is not here.';
comment on column nexus.v_suspicious_merges.records is 'How many live records it is made of.';
comment on column nexus.v_suspicious_merges.names is 'What its sources call it.';
comment on column nexus.v_suspicious_merges.joined_by is 'The types of identity keys that join its records.';
comment on column nexus.v_suspicious_merges.reasons is 'Why it is here: different names, joined by SKU alone, joined by e-mail alone.';

create view nexus.v_data_quality with (security_invoker = true) as
select c.tenant_id, c.environment_id, 'customer' as kind, c.customer_id as entity_id, 'no_identity_key' as finding,
       'no e-mail address, telephone, VAT or registration number' as detail
from nexus.customer c
where c.deleted_at is null and c.email_key is null and c.phone is null and c.vat_number is null and c.registration_number is null
union all
select v.tenant_id, v.environment_id, 'product_variant', v.product_variant_id, f.finding, f.detail
from nexus.product_variant v
cross join lateral (values
    (v.sku_key is null and v.gtin_key is null, 'no_sku_or_gtin', v.title),
    (v.gtin <> '' and v.gtin_key is null, 'invalid_gtin', v.gtin)) as f(is_found, finding, detail)
where v.deleted_at is null and f.is_found
union all
select o.tenant_id, o.environment_id, 'sales_order', o.sales_order_id, f.finding, f.detail
from nexus.sales_order o
cross join lateral (
    select o.subtotal_amount - coalesce(o.discount_amount, 0) + coalesce(o.shipping_amount, 0)
           + case when o.prices_include_tax then 0 else coalesce(o.tax_amount, 0) end as total_amount
) parts
cross join lateral (values
    (o.currency is null, 'no_currency', o.order_number),
    (o.total_amount is null, 'no_total', o.order_number),
    (o.ordered_at is null, 'no_order_time', o.order_number),
    ('unknown' in (o.order_status, o.financial_status, o.fulfillment_status), 'unknown_status', o.source_status),
    (abs(o.total_amount - parts.total_amount) > 0.02, 'amounts_do_not_add_up',
     format('total %s, parts %s %s', o.total_amount, parts.total_amount, o.currency))) as f(is_found, finding, detail)
where o.deleted_at is null and f.is_found;
comment on view nexus.v_data_quality is
    'What is missing or does not fit, one row for each finding. An order adds up when its total is subtotal - discount + shipping + tax within 0.02; where prices include tax, the tax is in the others already.';
comment on column nexus.v_data_quality.kind is 'Which table entity_id is in.';
comment on column nexus.v_data_quality.finding is
    'no_identity_key, no_sku_or_gtin, invalid_gtin, no_currency, no_total, no_order_time, unknown_status or amounts_do_not_add_up.';
comment on column nexus.v_data_quality.detail is 'What to recognise it by.';

-- What columns of one name mean wherever they stand, unless the table says it more exactly above.
do $$
declare
    thing record;
begin
    for thing in
        select c.relname, a.attname, meaning.comment
        from (values
            ('tenant_id', 'Whose it is.'),
            ('environment_id', 'dev, test or prod; see nexus.environment.'),
            ('connector_id', 'The source.'),
            ('other_connector_id', 'The other source.'),
            ('connector_name', 'What the source is called.'),
            ('connector_type', 'The platform.'),
            ('name', 'Its name.'),
            ('settings', 'Settings the manifest asks for.'),
            ('is_active', 'In use.'),
            ('created_at', 'When it was made.'),
            ('updated_at', 'When it was last changed.'),
            ('customer_id', 'The customer.'),
            ('customer_address_id', 'The address; derived from its customer and its id in the source.'),
            ('product_id', 'The product.'),
            ('product_variant_id', 'The variant.'),
            ('location_id', 'The location.'),
            ('location_name', 'The location''s name.'),
            ('inventory_level_id', 'The stock of one variant at one location, as one source has it.'),
            ('sales_order_id', 'The order.'),
            ('sales_order_line_id', 'The line; derived from its order and its id in the source.'),
            ('fulfillment_id', 'The fulfillment.'),
            ('fulfillment_line_id', 'The line; derived from its fulfillment and its id in the source.'),
            ('refund_id', 'The refund.'),
            ('refund_line_id', 'The line; derived from its refund and its id in the source.'),
            ('payment_id', 'The payment.'),
            ('title', 'What it is called.'),
            ('variant_title', 'What the variant is called.'),
            ('sku', 'The seller''s code for it, as written.'),
            ('gtin', 'Barcode number, as written.'),
            ('quantity', 'How many, in the variant''s unit.'),
            ('quantity_fulfilled', 'How many of them have left.'),
            ('quantity_cancelled', 'How many of them are not to be sent.'),
            ('quantity_refunded', 'How many of them have been refunded.'),
            ('customer_type', 'person or company.'),
            ('first_name', 'Given name; name parts come from one source together.'),
            ('last_name', 'Family name.'),
            ('full_name', 'The whole name, where the source has one.'),
            ('company_name', 'The company''s name.'),
            ('company', 'The company''s name.'),
            ('accepts_marketing', 'Agreed to be sent advertising.'),
            ('tax_exempt', 'Pays no tax.'),
            ('is_default', 'The one to use when none is chosen.'),
            ('line1', 'Street, with the house number where the source does not keep it apart.'),
            ('line2', 'What is written below.'),
            ('house_number', 'House number, where the source keeps it apart.'),
            ('city', 'City.'),
            ('region', 'State or province, by name.'),
            ('region_code', 'State or province, by code.'),
            ('email', 'E-mail address, as written.'),
            ('phone', 'Telephone, as written.'),
            ('phone_e164', 'Telephone: +, country code, number.'),
            ('address', 'The address, as the source has it.'),
            ('carrier', 'Who carries it.'),
            ('tracking_numbers', 'The carrier''s numbers.'),
            ('tracking_urls', 'Where to follow it.'),
            ('shipped_at', 'When it left.'),
            ('delivered_at', 'When it arrived.'),
            ('status', 'Where it stands; nexus.vocabulary explains.'),
            ('order_status', 'Where the sale stands; nexus.vocabulary explains.'),
            ('financial_status', 'Where payment stands; nexus.vocabulary explains.'),
            ('other_order_status', 'Where the sale stands, as the other source says.'),
            ('other_financial_status', 'Where payment stands, as the other source says.'),
            ('product_type', 'The source''s category.'),
            ('description_html', 'Description, HTML.'),
            ('price_includes_tax', 'Whether price and compare_at_price include tax.'),
            ('reason', 'Why, in the source''s words.'),
            ('cancel_reason', 'Why it was cancelled, in the source''s words.'),
            ('note', 'A note on it.'),
            ('refunded_at', 'When the money was given back.'),
            ('processed_at', 'When the money moved.'),
            ('cancelled_at', 'When it was cancelled.'),
            ('is_test', 'Not a real sale; null: not said.'),
            ('tax_amount', 'The tax in it, in the currency of its order.'),
            ('channel', 'Where it was sold: web, pos, …'),
            ('ordered_at', 'When it was placed.'),
            ('observed_at', 'When it was counted or seen.'),
            ('other_observed_at', 'When the other source counted.'),
            ('order_number', 'What people call the order.'),
            ('other_order_number', 'What the other source calls it.'),
            ('external_id', 'The record''s id in its source.'),
            ('other_external_id', 'The other record''s id in its source.'),
            ('currency', 'ISO 4217.'),
            ('total_amount', 'What the buyer was to pay, tax included, in currency.'),
            ('other_currency', 'ISO 4217, as the other source says.'),
            ('other_total_amount', 'The total, as the other source says, in other_currency.'),
            ('entity_id', 'The entity: <kind>_id in the table of its kind.'),
            ('kind', 'Which table it is in.'),
            ('entity_a', 'The entity with the lesser id.'),
            ('entity_b', 'The other one.'),
            ('found_at', 'When the first of the pairs was found.'),
            ('first_order_at', 'When the first order was placed.'),
            ('last_order_at', 'When the last order was placed.'),
            ('names', 'What its sources call it.'),
            ('addresses', 'The customer''s addresses, a JSON array.'),
            ('lines', 'Its lines, a JSON array.')
        ) as meaning(name, comment)
        join pg_attribute a on a.attname = meaning.name and a.attnum > 0 and not a.attisdropped
        join pg_class c on c.oid = a.attrelid
        where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
          and col_description(c.oid, a.attnum) is null
    loop
        execute format('comment on column nexus.%I.%I is %L', thing.relname, thing.attname, thing.comment);
    end loop;
end $$;
