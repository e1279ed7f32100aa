create function nexus.maintain() returns table (action text, detail jsonb)
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    made integer;
begin
    if not nexus._session_is('nexus_gateway') and not nexus._session_is('nexus_admin') then
        raise insufficient_privilege using
            message = format('role %I may not run maintenance', session_user), detail = '{"code": "NX304"}';
    end if;
    made := nexus._create_partitions(3);
    if made > 0 then
        action := 'partitions.created';
        detail := jsonb_build_object('count', made);
        return next;
    end if;
    delete from nexus.idempotency_request r where r.started_at < now() - interval '24 hours';
    get diagnostics made = row_count;
    if made > 0 then
        action := 'idempotency_requests.deleted';
        detail := jsonb_build_object('count', made);
        return next;
    end if;
    return;
end;
$$;
comment on function nexus.maintain() is 'Regular upkeep, run by the gateway: makes the next partitions; a row for each thing it did.';

create function nexus.readiness() returns table (installed_version text, pending_migrations integer)
language plpgsql stable security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return query select e.extversion, nexus._pending_migrations() from pg_extension e where e.extname = 'nexus';
end;
$$;
comment on function nexus.readiness() is 'What a gateway asks before it serves: the extension''s version and how many migrations are pending.';
