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
        -- One month back, for clocks that are behind when a month begins.
        for month in
            select m at time zone 'UTC' from generate_series(
                date_trunc('month', now() at time zone 'UTC') - interval '1 month',
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

create function nexus._drop_partition() returns table (action text, detail jsonb)
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
-- Taking a partition away needs its parent alone, and who comes after us waits with us: for this long, and no longer.
set lock_timeout to '500ms'
as $$
declare
    old record;
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
                perform nexus._raise_outbox_floor(
                    (to_date(right(old.partition, 7), 'YYYY_MM') + interval '1 month') at time zone 'UTC');
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
