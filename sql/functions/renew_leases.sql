create function nexus.renew_leases(
    tenant_id uuid, worker text, delivery_ids uuid[], lease interval default interval '60 seconds'
) returns integer
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    renewed integer;
begin
    perform nexus._require_platform($1);
    update nexus.delivery d set leased_until = now() + lease
    where d.tenant_id = $1 and d.delivery_id = any ($3) and d.leased_by = worker;
    get diagnostics renewed = row_count;
    return renewed;
end;
$$;
comment on function nexus.renew_leases(uuid, text, uuid[], interval) is 'Extends a worker''s leases while its attempts run; how many it still held.';

create function nexus.release_leases(tenant_id uuid, worker text, delivery_ids uuid[]) returns integer
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    released integer;
begin
    perform nexus._require_platform($1);
    update nexus.delivery d set leased_until = null, leased_by = null
    where d.tenant_id = $1 and d.delivery_id = any ($3) and d.leased_by = worker;
    get diagnostics released = row_count;
    return released;
end;
$$;
comment on function nexus.release_leases(uuid, text, uuid[]) is
    'Gives deliveries back at shutdown, to be claimed at once by another worker; how many. The attempt they began counts.';
