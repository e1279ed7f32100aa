-- History is partitioned by month of the UUIDv7 in its key, whose first 48 bits are milliseconds since 1970.

create function nexus._uuid_at(at timestamptz) returns uuid
language plpgsql immutable parallel safe
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;
end;
$$;
comment on function nexus._uuid_at(timestamptz) is 'The least UUIDv7 of that moment: a partition''s bound, and a filter by time on a key.';

-- A new table is attached rather than made in its place: whoever reads and writes the parent goes on meanwhile. What does
-- not let us, such as an ANALYZE of it, is not waited for long: partitions are made long before they are needed.
create function nexus._create_partitions(months_ahead integer) returns integer
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
set lock_timeout to '500ms'
as $$
declare
    parent text;
    month timestamptz;
    partition text;
    made integer := 0;
begin
    foreach parent in array array['event', 'activity_log', 'domain_event', 'webhook_delivery_log'] loop
        -- On its first day also the month before, for clocks that are behind. What is older may be dropped: everything is
        -- kept for a day at least, so that no month is made and dropped in turn.
        for month in
            select m at time zone 'UTC' from generate_series(
                date_trunc('month', now() at time zone 'UTC' - interval '1 day'),
                date_trunc('month', now() at time zone 'UTC') + make_interval(months => months_ahead),
                interval '1 month') m
        loop
            partition := format('%s_%s', parent, to_char(month at time zone 'UTC', 'YYYY_MM'));
            continue when to_regclass('nexus.' || partition) is not null;
            begin
                execute format('create table nexus.%I (like nexus.%I including all excluding comments excluding indexes)',
                               partition, parent);
                execute format('alter table nexus.%I attach partition nexus.%I for values from (%L) to (%L)', parent, partition,
                               nexus._uuid_at(month), nexus._uuid_at((month at time zone 'UTC' + interval '1 month') at time zone 'UTC'));
                perform nexus._secure_table(partition);
                made := made + 1;
            exception
                when lock_not_available then
                    raise log 'the partition % is made another time: somebody is in the way', partition;
            end;
        end loop;
    end loop;
    return made;
end;
$$;
comment on function nexus._create_partitions(integer) is
    'Makes the monthly partitions of all history up to so many months ahead, as far as nobody is in the way; how many it made.';

-- What waits for longer than its domain event is kept (for a subscription to be resumed) can never be sent.
create function nexus._end_expired_deliveries(kept_from timestamptz) returns integer
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    -- Rows that one call ends at most: the next call goes on.
    most constant integer := 20000;
    ended integer;
    tenants uuid[];
    destinations uuid[];
    ordering_keys uuid[];
    of_tenant record;
begin
    with gone as (
        delete from nexus.delivery d where d.ctid = any (array(
            select o.ctid from nexus.delivery o where o.domain_event_id < nexus._uuid_at(kept_from)
            order by o.tenant_id, o.delivery_id limit most for update))
        returning d.*
    ), logged as (
        insert into nexus.webhook_delivery_log (
            tenant_id, webhook_delivery_log_id, environment_id, delivery_id, kind, destination_id, domain_event_id, trace_id,
            attempt, outcome, error_class, error, attempted_at)
        select g.tenant_id, nexus.uuid_v7(), g.environment_id, g.delivery_id, g.kind, g.destination_id, g.domain_event_id,
               v.trace_id, g.attempt, 'dead', 'configuration', 'it waited for longer than its domain event is kept', now()
        from gone g join nexus.domain_event v on v.tenant_id = g.tenant_id and v.domain_event_id = g.domain_event_id
    )
    select count(*), array_agg(g.tenant_id), array_agg(g.destination_id), array_agg(g.ordering_key)
    into ended, tenants, destinations, ordering_keys from gone g;
    for of_tenant in
        select g.tenant_id, array_agg(g.destination_id) as destinations, array_agg(g.ordering_key) as ordering_keys
        from (select unnest(tenants) as tenant_id, unnest(destinations) as destination_id,
                     unnest(ordering_keys) as ordering_key) g
        where g.ordering_key is not null group by g.tenant_id order by g.tenant_id
    loop
        perform nexus._wake_next(of_tenant.tenant_id, of_tenant.destinations, of_tenant.ordering_keys);
    end loop;
    return ended;
end;
$$;
comment on function nexus._end_expired_deliveries(timestamptz) is
    'Ends deliveries of domain events from before that time, as dead in the log; how many.';

create function nexus._drop_partition() returns table (action text, detail jsonb)
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
-- Taking a partition away needs its parent alone, and who comes after us waits with us: for this long, and no longer.
set lock_timeout to '500ms'
as $$
declare
    old record;
    kept_from timestamptz;
    ended integer;
begin
    for old in
        select p.relname as partition, parent.relname as parent
        from pg_class parent
        join pg_inherits i on i.inhparent = parent.oid
        join pg_class p on p.oid = i.inhrelid
        where parent.relnamespace = 'nexus'::regnamespace
          and parent.relname in ('event', 'domain_event', 'webhook_delivery_log', 'activity_log')
          and to_date(right(p.relname, 7), 'YYYY_MM') + interval '1 month'
              < now() at time zone 'UTC' - make_interval(days => nexus._platform_setting(parent.relname || '_retention_days')::integer)
        order by p.relname
    loop
        begin
            if old.parent = 'domain_event' then
                kept_from := (to_date(right(old.partition, 7), 'YYYY_MM') + interval '1 month') at time zone 'UTC';
                ended := nexus._end_expired_deliveries(kept_from);
                if ended > 0 then
                    action := 'deliveries.expired';
                    detail := jsonb_build_object('count', ended);
                    return next;
                    return;
                end if;
                perform nexus._raise_outbox_floor(kept_from);
            end if;
            execute format('drop table nexus.%I', old.partition);
            action := 'partition.dropped';
            detail := jsonb_build_object('table', old.parent, 'partition', old.partition);
            return next;
            -- Its parent is held until the end of the transaction, which therefore comes now.
            return;
        exception
            when lock_not_available then
                raise log 'the partition % is dropped another time: somebody is in the way', old.partition;
        end;
    end loop;
end;
$$;
comment on function nexus._drop_partition() is
    'Drops a month of history of which all is older than the settings want it kept, where nobody is in the way; which one.';

create function nexus.partitioned_until() returns timestamptz
language sql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
    select min(h.until) at time zone 'UTC' from (
        select max(to_date(right(p.relname, 7), 'YYYY_MM')) + interval '1 month' as until
        from pg_class parent
        join pg_inherits i on i.inhparent = parent.oid
        join pg_class p on p.oid = i.inhrelid
        where parent.relnamespace = 'nexus'::regnamespace and parent.relkind = 'p'
          and right(p.relname, 7) ~ '^\d{4}_\d{2}$'
        group by parent.oid) h
$$;
comment on function nexus.partitioned_until() is
    'Up to when partitions of all history stand ready. Rows without a partition are refused, so somebody has to hear if that comes near.';
