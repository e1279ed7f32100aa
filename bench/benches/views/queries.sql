-- revenue of a month, by day | 0.3
select day, currency, orders, total_amount, refunded_amount, remaining_amount from nexus.v_revenue_daily
where day >= date '2025-12-01' order by day, currency;

-- revenue, all of it | 4
select day, currency, orders, total_amount from nexus.v_revenue_daily order by day, currency;

-- stuck orders of the last week | 0.5
select order_number, channel, currency, total_amount, age, named_by from nexus.v_orders_stuck
where ordered_at >= timestamptz '2025-12-25' order by ordered_at;

-- stuck orders, all of them | 10
select order_number, channel, currency, total_amount, age, named_by from nexus.v_orders_stuck
where age > interval '1 hour' order by ordered_at;

-- orders that differ between systems | 20
select order_number, other_order_number, differs, total_amount, other_total_amount from nexus.v_order_mismatch;

-- one order that differs | 0.05
select order_number, other_order_number, differs from nexus.v_order_mismatch
where sales_order_id = '{order}';

-- stock that differs | 1
select sku, location_name, available, other_available, is_authoritative from nexus.v_stock_mismatch
order by abs(available - other_available) desc;

-- what is missing or does not add up | 6
select kind, finding, count(*) as findings, min(detail) as example from nexus.v_data_quality
group by kind, finding order by findings desc;

-- a customer by e-mail | 0.05
select customer_id, full_name, orders, first_order_at, last_order_at, revenue, refunded, channels
from nexus.v_customer_360 where email_key = 'buyer.1000@example.com';

-- the best customers | 20
select customer_id, email, orders, (revenue ->> 'EUR')::numeric as eur from nexus.v_customer_360
where revenue ? 'EUR' order by eur desc limit 20;

-- customers who may be the same | 1
select entity_a, name_a, entity_b, name_b, score, reasons from nexus.v_merge_candidates
where kind = 'customer' order by score desc;

-- merges to look at | 2
select kind, entity_id, names, joined_by, reasons from nexus.v_suspicious_merges;

-- what a customer is made of | 0.05
select s.connector_name, s.category, s.external_id, s.name, s.source_time, s.is_deleted
from nexus.v_entity_source s join nexus.customer c on c.tenant_id = s.tenant_id and c.customer_id = s.entity_id
where s.kind = 'customer' and c.email_key = 'buyer.1000@example.com';
