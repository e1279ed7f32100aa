-- Planning would cost ten times what a call does. So plans are generic and kept from the first call on, when the tables
-- may be empty and unanalyzed: they must be the ones that stay right, by index and not by scan.
create function nexus.renew_leases(
    tenant_id uuid, worker text, delivery_ids uuid[], lease interval default interval '60 seconds'
) returns integer
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_hashjoin to off
set enable_mergejoin to off
set plan_cache_mode to force_generic_plan
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
set enable_seqscan to off
set enable_hashjoin to off
set enable_mergejoin to off
set plan_cache_mode to force_generic_plan
as $$
declare
    released integer;
begin
    perform nexus._require_platform($1);
    -- As if they had not been claimed; a claim that only ended the wait for a callback had begun no attempt.
    update nexus.delivery d set leased_until = null, leased_by = null,
        attempt = d.attempt - case (select j.status from nexus.job j where j.tenant_id = $1 and j.job_id = d.job_id)
                              when 'awaiting_callback' then 0 else 1 end
    where d.tenant_id = $1 and d.delivery_id = any ($3) and d.leased_by = worker;
    get diagnostics released = row_count;
    return released;
end;
$$;
comment on function nexus.release_leases(uuid, text, uuid[]) is
    'Gives deliveries back at shutdown, to be claimed at once by another worker, as if they had not been claimed; how many.';
