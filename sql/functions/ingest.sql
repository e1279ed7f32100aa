-- The way in. The work is Rust's nexus._ingest_batch; what stands here is the one exception block around it.

-- The plans are kept from the first call on, when the tables may be empty and unanalyzed, and for tenants that were not
-- there when they were: they must be the ones that stay right, by index and not by scan, and not for a tenant that is
-- taken to have no rows.
create function nexus.ingest_batch(
    tenant_id uuid, connector_ids uuid[], headers jsonb[], bodies bytea[], received_at timestamptz[], traceparents text[]
) returns table (status text, event_id uuid, trace_id text, duplicate_of uuid, reason text)
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_hashjoin to off
set enable_mergejoin to off
set plan_cache_mode to force_generic_plan
as $$
declare
    size constant integer := coalesce(cardinality(connector_ids), 0);
    failure text;
    -- The gateway checked the signatures, and rings the doorbell once for many batches.
    is_gateway constant boolean := nexus._is_gateway();
begin
    perform nexus._require_tenant($1);
    if cardinality(headers) is distinct from size or cardinality(bodies) is distinct from size
       or cardinality(received_at) is distinct from size or cardinality(traceparents) is distinct from size then
        raise invalid_parameter_value using
            message = 'ingest_batch needs arrays of one length', detail = '{"code": "NX403"}';
    end if;
    for attempt in 1..10 loop
    begin
        return query select * from nexus._ingest_batch(
            $1, connector_ids, headers, bodies, received_at, traceparents, is_gateway, attempt > 1, null);
        return;
    exception
        -- Records of other sources are concerned. What was locked is free again; now all are locked in one order.
        when serialization_failure then
            if attempt = 10 then
                raise;
            end if;
        -- What is about the data. Anything else (a lost lock, a full disk, a shutdown) is the caller's to retry.
        when data_exception or integrity_constraint_violation or program_limit_exceeded or internal_error then
            get stacked diagnostics failure = message_text;
            raise warning 'a batch of % requests of tenant % failed and is taken one by one: %', size, $1, failure;
            exit;
    end;
    end loop;
    if size = 1 then
        -- Alone and still failing: kept as it is, with the database's own words as the reason.
        return query select * from nexus._ingest_batch(
            $1, connector_ids, headers, bodies, received_at, traceparents, is_gateway, false, failure);
        return;
    end if;
    for n in 1..size loop
        return query select * from nexus.ingest_batch(
            $1, connector_ids[n:n], headers[n:n], bodies[n:n], received_at[n:n], traceparents[n:n]);
    end loop;
end;
$$;
comment on function nexus.ingest_batch(uuid, uuid[], jsonb[], bytea[], timestamptz[], text[]) is
    'Takes in a batch of requests of one tenant in one transaction; a row per request, in order. A bad one does not fail the others; one for no active connector of the tenant is rejected.';

create function nexus.ingest(
    tenant_id uuid, connector_id uuid, headers jsonb, body bytea,
    received_at timestamptz default now(), traceparent text default null
) returns table (status text, event_id uuid, trace_id text, duplicate_of uuid, reason text)
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return query select * from nexus.ingest_batch($1, array[$2], array[$3], array[$4], array[$5], array[$6]) r
                 where r.status <> 'rejected';
    if not found then
        raise no_data_found using
            message = format('tenant %s has no active connector %s', $1, $2),
            hint = 'select connector_id, name from nexus.connector lists them.', detail = '{"code": "NX404"}';
    end if;
end;
$$;
comment on function nexus.ingest(uuid, uuid, jsonb, bytea, timestamptz, text) is
    'Takes in one request: event, records, golden entities, domain events, jobs and deliveries in one transaction.';
