-- What analysts ask. Where own(x) stands, x's rows are to be the tenant's: under row-level security that is nothing to
-- write, without it x.tenant_id = '…'. prod() is the tenant's environment. Every query has its name above it.

-- an order by its number
select * from nexus.sales_order o where own(o) and o.order_number_key = '211';

-- a customer by e-mail
select * from nexus.customer c where own(c) and c.email_key = 'buyer.42@example.com';

-- orders of a customer
select o.order_number, o.ordered_at, o.total_amount
from nexus.customer c join nexus.sales_order o using (tenant_id, customer_id)
where own(c) and own(o) and c.email_key = 'buyer.42@example.com'
order by o.ordered_at desc;

-- stock of a SKU
select v.sku, l.location_id, l.available
from nexus.product_variant v join nexus.inventory_level l using (tenant_id, product_variant_id)
where own(v) and own(l) and v.sku_key = 'SKU-5';

-- the newest orders
select o.order_number, o.created_at, o.total_amount from nexus.sales_order o
where own(o) and o.environment_id = prod() and o.deleted_at is null
order by o.created_at desc, o.sales_order_id desc limit 50;

-- orders of a day
select o.order_number, o.financial_status, o.total_amount from nexus.sales_order o
where own(o) and o.ordered_at >= '2025-06-11' and o.ordered_at < '2025-06-12';

-- orders updated since
select o.sales_order_id, o.order_number, o.updated_at from nexus.sales_order o
where own(o) and o.updated_at >= '2026-01-01'
order by o.updated_at;

-- customers updated since
select c.customer_id, c.email, c.updated_at from nexus.customer c
where own(c) and c.updated_at >= '2025-12-25'
order by c.updated_at;

-- unpaid orders of a month
select o.order_number, o.ordered_at, o.total_amount from nexus.sales_order o
where own(o) and o.ordered_at >= '2025-11-01' and o.ordered_at < '2025-12-01' and o.financial_status = 'pending'
order by o.ordered_at;

-- orders with their lines, of a week
select o.order_number, l.sku, l.quantity, l.total_amount
from nexus.sales_order o join nexus.sales_order_line l using (tenant_id, sales_order_id)
where own(o) and own(l) and o.ordered_at >= '2025-06-09' and o.ordered_at < '2025-06-16';

-- best sellers of a month
select l.sku, sum(l.quantity) as sold, sum(l.total_amount) as revenue
from nexus.sales_order o join nexus.sales_order_line l using (tenant_id, sales_order_id)
where own(o) and own(l) and o.ordered_at >= '2025-06-01' and o.ordered_at < '2025-07-01'
group by l.sku order by sold desc, l.sku limit 20;

-- revenue per day of a quarter
select date_trunc('day', o.ordered_at) as day, count(*), sum(o.total_amount) from nexus.sales_order o
where own(o) and o.ordered_at >= '2025-04-01' and o.ordered_at < '2025-07-01' and o.deleted_at is null
group by 1 order by 1;

-- revenue per month
select date_trunc('month', o.ordered_at) as month, count(*), sum(o.total_amount) from nexus.sales_order o
where own(o) and o.deleted_at is null
group by 1 order by 1;

-- the best customers
select o.customer_id, count(*), sum(o.total_amount) as revenue from nexus.sales_order o
where own(o) and o.deleted_at is null
group by o.customer_id order by revenue desc, o.customer_id limit 20;
