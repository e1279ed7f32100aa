-- When tables are vacuumed and analyzed. The defaults wait for a fifth of a table to change: of a hundred million rows that is
-- too late, and of a queue whose rows live for seconds it never tells how many are dead.

do $$
declare
    changing text;
begin
    foreach changing in array array[
        'source_record', 'source_record_alias', 'identity_key', 'idempotency_key', 'job', 'customer', 'customer_address', 'product',
        'product_variant', 'sales_order', 'sales_order_line', 'location', 'inventory_level', 'fulfillment', 'fulfillment_line',
        'refund', 'refund_line', 'payment'
    ] loop
        execute format('alter table nexus.%I set (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_insert_scale_factor = 0.1, '
                       'autovacuum_analyze_scale_factor = 0.02)', changing);
    end loop;
end;
$$;

-- Every delivery is a dead row in the end, and a claim passes over those that are not cleared away.
alter table nexus.delivery set (
    autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000, autovacuum_vacuum_cost_delay = 0);
