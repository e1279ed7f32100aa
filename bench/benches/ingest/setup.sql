-- Eight shops of eight tenants, with a flow and a subscription each, and what the benches read.

create schema bench;

create table bench.shop as
select n, nexus.create_tenant('bench-' || n, 'Bench ' || n) as tenant_id from generate_series(0, 7) n;
alter table bench.shop add environment_id uuid, add connector_id uuid;
update bench.shop s set environment_id = e.environment_id
from nexus.environment e where e.tenant_id = s.tenant_id and e.name = 'prod';
update bench.shop s set connector_id = nexus.create_connector(
    s.tenant_id, s.environment_id, 'shopify', 'shop', '{"shop": "acme.myshopify.com", "currency": "EUR"}');
select nexus.create_flow(s.tenant_id, s.environment_id, 'orders to the ERP',
                         '{"kinds": ["sales_order"], "execution_url": "https://erp.example.com/nexus"}') from bench.shop s;
select nexus.create_subscription(s.tenant_id, s.environment_id, 'https://shop.example.com/hooks', array['order.*']) from bench.shop s;

-- The webhooks of a run, in the batches they come in. Uncompressed, so that reading them costs little.
create unlogged table bench.batch (
    batch         bigint primary key,
    tenant_id     uuid not null,
    connector_ids uuid[] not null,
    headers       jsonb[] not null,
    bodies        bytea[] not null,
    received_at   timestamptz[] not null,
    traceparents  text[] not null
);
alter table bench.batch alter headers set storage external, alter bodies set storage external;
grant usage on schema bench to nexus_gateway;
grant select on bench.batch to nexus_gateway;

-- Makes the webhooks of so many batches for each shop, the first of which is the batch of that number. Of ten webhooks,
-- seven are new orders, two are changes of one of them, and one is sent once more by the platform.
create function bench.compose(template text, first bigint, batches bigint, size integer) returns void
language sql as $$
    insert into bench.batch
    select first + s.n * batches + w.i / size, s.tenant_id, array_agg(s.connector_id order by w.i),
           array_agg(jsonb_build_object(
               'content-type', 'application/json', 'x-shopify-topic', case when w.is_change then 'orders/updated' else 'orders/create' end,
               'x-shopify-shop-domain', 'acme.myshopify.com', 'x-shopify-webhook-id', md5(s.n || '/' || first || '/' || w.webhook),
               'x-shopify-triggered-at', timestamptz '2026-01-05 09:00Z' + w.webhook * interval '1 second') order by w.i),
           array_agg(convert_to(replace(replace(replace(replace(template,
               '@order@', (10000000000 + (first + s.n * batches) * 1000 + w.number)::text),
               '@customer@', (20000000000 + (first + s.n * batches) * 1000 + w.number / 4)::text),
               '@financial@', case when w.is_change then 'paid' else 'pending' end),
               '@updated@', to_char(timestamptz '2026-01-05 09:00Z' + w.webhook * interval '1 second', 'YYYY-MM-DD"T"HH24:MI:SSOF')),
               'UTF8') order by w.i),
           array_agg(timestamptz '2026-01-05 09:00Z' + w.i * interval '1 second' order by w.i),
           array_agg(format('00-%s%s-%s-01', lpad(to_hex(first + s.n * batches + w.i / size), 16, '0'),
                            lpad(to_hex(w.i), 16, '0'), lpad(to_hex(w.i + 1), 16, '0')) order by w.i)
    from bench.shop s, lateral (
        select i, k.webhook, k.webhook % 10 in (7, 8) and k.webhook >= 17 as is_change,
               case when k.webhook % 10 in (7, 8) and k.webhook >= 17 then k.webhook - 17 else k.webhook end as number
        from generate_series(0, batches * size - 1) i,
             lateral (select case when i % 10 = 9 and i >= 16 then i - 16 else i end as webhook) k) w
    group by s.n, s.tenant_id, w.i / size
    order by 1
$$;

-- The floor: tables like those that webhooks are written to, with their constraints and indexes, and others that hold the
-- same rows ready, each under the batch that wrote it last.
create schema floor;
create schema stage;

create function bench.batch_of(trace_id text) returns bigint
language sql immutable as $$ select ('x' || left(trace_id, 16))::bit(64)::bigint $$;

create table bench.source (name text primary key, batch text not null, tables text not null);
insert into bench.source values
    ('event', 'bench.batch_of(t.trace_id)', 'nexus.event t'),
    ('domain_event', 'bench.batch_of(t.trace_id)', 'nexus.domain_event t'),
    ('job', 'bench.batch_of(t.trace_id)', 'nexus.job t'),
    ('delivery', 'bench.batch_of(coalesce(j.trace_id, d.trace_id))',
     'nexus.delivery t left join nexus.job j using (tenant_id, job_id)
      left join nexus.domain_event d on d.tenant_id = t.tenant_id and d.domain_event_id = t.domain_event_id'),
    ('activity_log', 'bench.batch_of(t.trace_id)', 'nexus.activity_log t'),
    ('idempotency_key', 'bench.batch_of(e.trace_id)', 'nexus.idempotency_key t join nexus.event e using (tenant_id, event_id)'),
    ('source_record', 'bench.batch_of(e.trace_id)', 'nexus.source_record t join nexus.event e using (tenant_id, event_id)'),
    ('identity_key', 'bench.batch_of(e.trace_id)',
     'nexus.identity_key t join nexus.source_record s using (tenant_id, birth_id) join nexus.event e using (tenant_id, event_id)'),
    ('customer', 'bench.batch_of(e.trace_id)',
     'nexus.customer t join nexus.source_record s on s.tenant_id = t.tenant_id and s.entity_id = t.customer_id
      join nexus.event e on e.tenant_id = s.tenant_id and e.event_id = s.event_id'),
    ('customer_address', 'bench.batch_of(e.trace_id)',
     'nexus.customer_address t join nexus.source_record s on s.tenant_id = t.tenant_id and s.entity_id = t.customer_id
      join nexus.event e on e.tenant_id = s.tenant_id and e.event_id = s.event_id'),
    ('sales_order', 'bench.batch_of(e.trace_id)',
     'nexus.sales_order t join nexus.source_record s on s.tenant_id = t.tenant_id and s.entity_id = t.sales_order_id
      join nexus.event e on e.tenant_id = s.tenant_id and e.event_id = s.event_id'),
    ('sales_order_line', 'bench.batch_of(e.trace_id)',
     'nexus.sales_order_line t join nexus.source_record s on s.tenant_id = t.tenant_id and s.entity_id = t.sales_order_id
      join nexus.event e on e.tenant_id = s.tenant_id and e.event_id = s.event_id');

-- The columns of a table that are written; as copied, without the compression they have in it.
create function bench.columns(name text, is_copied boolean) returns text
language sql stable as $$
    select string_agg(case when not is_copied then quote_ident(a.attname)
                           when a.atttypid = 'bytea'::regtype then format('t.%I || %L::bytea', a.attname, '')
                           when a.atttypid = 'jsonb'::regtype then format('t.%I::text::jsonb', a.attname)
                           else format('t.%I', a.attname) end, ', ' order by a.attnum)
    from pg_attribute a
    where a.attrelid = ('nexus.' || name)::regclass and a.attnum > 0 and not a.attisdropped and a.attgenerated = ''
$$;

do $$
declare
    source record;
    large record;
    foreign_key record;
begin
    for source in select * from bench.source loop
        execute format('create table floor.%I (like nexus.%1$I including all)', source.name);
        execute format('create unlogged table stage.%I as select 0::bigint as batch, %s from nexus.%1$I limit 0',
                       source.name, bench.columns(source.name, false));
        execute format('create index on stage.%I (batch)', source.name);
        for large in
            select a.attname from pg_attribute a
            where a.attrelid = ('stage.' || source.name)::regclass and a.atttypid in ('bytea'::regtype, 'jsonb'::regtype)
        loop
            execute format('alter table stage.%I alter %I set storage external', source.name, large.attname);
        end loop;
    end loop;
    for foreign_key in
        select c.conrelid::regclass::text as child, c.confrelid::regclass::text as parent, pg_get_constraintdef(c.oid) as definition
        from pg_constraint c join bench.source s on c.conrelid = ('nexus.' || s.name)::regclass
        where c.contype = 'f' and c.conparentid = 0
    loop
        execute format('alter table %s add %s', replace(foreign_key.child, 'nexus.', 'floor.'),
                       case when foreign_key.parent in (select 'nexus.' || name from bench.source)
                            then replace(foreign_key.definition, 'nexus.', 'floor.') else foreign_key.definition end);
    end loop;
end $$;

-- Readies the rows that a run's batches left.
create function bench.fill_stage(first bigint, last bigint) returns void
language plpgsql as $$
declare
    source record;
begin
    for source in select * from bench.source loop
        execute format('truncate stage.%I', source.name);
        execute format('insert into stage.%I select %s, %s from %s where %2$s between $1 and $2 order by 1',
                       source.name, source.batch, bench.columns(source.name, true), source.tables) using first, last;
        execute format('analyze stage.%I', source.name);
    end loop;
end;
$$;

-- The rows of a batch in one statement.
create function bench.floor_statement() returns text
language sql stable as $$
    select 'with ' || string_agg(format('%1$I as (insert into floor.%1$I (%2$s) select %2$s from stage.%1$I where batch = $1)',
                                        s.name, bench.columns(s.name, false)), ', ' order by s.name)
        || ' select 1;'
    from bench.source s
$$;

-- Rows in both, table by table. Apart from configuration, only what is written once a shop is not in the floor: the
-- variants that orders name and nobody has told of.
create function bench.rows(schema text) returns table (name text, rows bigint)
language plpgsql as $$
begin
    for name in
        select c.relname from pg_class c
        where c.relnamespace = 'nexus'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition
          and exists (select from pg_attribute a where a.attrelid = c.oid and a.attname = 'tenant_id')
          and c.relname not in ('tenant', 'tenant_slug', 'environment', 'connector', 'flow', 'webhook_subscription',
                                'secret', 'tenant_data_key', 'source_record_alias')
    loop
        rows := 0;
        if to_regclass(format('%I.%I', schema, name)) is not null then
            execute format('select count(*) from %I.%I%s', schema, name,
                           case name when 'activity_log' then ' where trace_id is not null' else '' end) into rows;
        end if;
        return next;
    end loop;
end;
$$;
