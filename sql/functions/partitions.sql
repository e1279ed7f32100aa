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

create function nexus._create_partitions(months_ahead integer) returns integer
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
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
            if to_regclass('nexus.' || partition) is null then
                execute format('create table nexus.%I partition of nexus.%I for values from (%L) to (%L)', partition, parent,
                               nexus._uuid_at(month), nexus._uuid_at((month at time zone 'UTC' + interval '1 month') at time zone 'UTC'));
                perform nexus._secure_table(partition);
                made := made + 1;
            end if;
        end loop;
    end loop;
    return made;
end;
$$;
comment on function nexus._create_partitions(integer) is 'Makes the monthly partitions of all history up to so many months ahead; how many were missing.';
