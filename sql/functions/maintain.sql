-- A call is a transaction, and what it locks it holds until it ends: so it does one kind of work, and the next call the next.
create function nexus.maintain() returns table (action text, detail jsonb)
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    made integer;
begin
    perform nexus._require_role('nexus_gateway', 'nexus_admin');
    -- Gateways call it at the same times; two that drop one partition would be in each other's way.
    perform pg_advisory_xact_lock(hashtextextended('nexus.maintain', 0));
    made := nexus._create_partitions(nexus._platform_setting('partition_months_ahead')::integer);
    if made > 0 then
        action := 'partitions.created';
        detail := jsonb_build_object('count', made);
        return next;
        return;
    end if;
    return query select * from nexus._retain();
    if found then
        return;
    end if;
    made := nexus.follow_moves();
    if made > 0 then
        action := 'moves.followed';
        detail := jsonb_build_object('count', made);
        return next;
        return;
    end if;
    -- Last: each time it finds others in the way they have waited for it, which must not be once for every call before.
    return query select * from nexus._drop_partition();
end;
$$;
comment on function nexus.maintain() is
    'Regular upkeep, run by the gateway: makes the next partitions and takes away some of what has been kept long enough; a row for each thing it did. Call it until it gives none: then nothing is left to do, or others are in the way.';

create function nexus._retain() returns table (action text, detail jsonb)
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    -- Rows that one call deletes at most, of each table: the next call goes on.
    most constant integer := 20000;
    gone bigint := 0;
    of_tenant uuid;
    affected bigint;
begin
    delete from nexus.idempotency_key k where k.ctid = any (array(
        select o.ctid from nexus.idempotency_key o
        where o.first_seen_at < now() - make_interval(days => nexus._platform_setting('idempotency_key_retention_days')::integer)
        limit most));
    get diagnostics gone = row_count;
    if gone > 0 then
        action := 'idempotency_keys.deleted';
        detail := jsonb_build_object('count', gone);
        return next;
    end if;

    delete from nexus.idempotency_request r where r.started_at < now() - interval '24 hours';
    get diagnostics gone = row_count;
    if gone > 0 then
        action := 'idempotency_requests.deleted';
        detail := jsonb_build_object('count', gone);
        return next;
    end if;

    gone := 0;
    for of_tenant in select t.tenant_id from nexus.tenant t order by t.tenant_id loop
        delete from nexus.job j where j.tenant_id = of_tenant and j.job_id = any (array(
            select o.job_id from nexus.job o
            where o.tenant_id = of_tenant and o.finished_at is not null
              and o.job_id < nexus._uuid_at(now() - make_interval(days => nexus._platform_setting('job_retention_days')::integer))
            order by o.job_id limit most - gone))
            -- One that is retried by hand at this moment stays.
            and j.finished_at is not null;
        get diagnostics affected = row_count;
        gone := gone + affected;
        exit when gone >= most;
    end loop;
    if gone > 0 then
        action := 'jobs.deleted';
        detail := jsonb_build_object('count', gone);
        return next;
    end if;
end;
$$;
comment on function nexus._retain() is 'Takes away rows that have been kept for as long as the settings say; a row for each thing it did.';

create function nexus.readiness() returns table (installed_version text, pending_migrations integer)
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return query select e.extversion, nexus._pending_migrations() from pg_extension e where e.extname = 'nexus';
end;
$$;
comment on function nexus.readiness() is 'What a gateway asks before it serves: the extension''s version and how many migrations are pending.';
