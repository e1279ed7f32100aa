-- Idempotency-Key of the REST API: one answer to one request, however often it is sent.

create function nexus.begin_request(tenant_id uuid, environment_id uuid, idempotency_key text, request_sha256 bytea)
returns table (state text, status integer, answer bytea)
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
declare
    standing nexus.idempotency_request;
begin
    perform nexus._require_platform($1);
    -- Over after a day; and after a minute without an answer, for then the gateway that had it has died: no request
    -- takes that long.
    insert into nexus.idempotency_request as r (tenant_id, environment_id, idempotency_key, request_sha256)
    values ($1, $2, $3, $4)
    on conflict (tenant_id, environment_id, idempotency_key) do update
        set request_sha256 = $4, started_at = now(), status = null, answer = null
        where r.started_at < now() - interval '24 hours'
           or r.status is null and r.request_sha256 = $4 and r.started_at < now() - interval '1 minute';
    if found then
        return query select 'begun'::text, null::integer, null::bytea;
        return;
    end if;
    select * into standing from nexus.idempotency_request r
    where r.tenant_id = $1 and r.environment_id = $2 and r.idempotency_key = $3;
    return query select case when standing.request_sha256 <> $4 then 'other_request'
                             when standing.status is null then 'under_way' else 'answered' end,
                        standing.status::integer, standing.answer;
end;
$$;
comment on function nexus.begin_request(uuid, uuid, text, bytea) is
    'Whether a write under an Idempotency-Key begins, is under way, was another one, or was answered, and how.';

create function nexus.end_request(tenant_id uuid, environment_id uuid, idempotency_key text, status integer, answer bytea)
returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
begin
    perform nexus._require_platform($1);
    if $4 is null then
        delete from nexus.idempotency_request r
        where r.tenant_id = $1 and r.environment_id = $2 and r.idempotency_key = $3 and r.status is null;
    else
        update nexus.idempotency_request r set status = $4, answer = $5
        where r.tenant_id = $1 and r.environment_id = $2 and r.idempotency_key = $3 and r.status is null;
    end if;
end;
$$;
comment on function nexus.end_request(uuid, uuid, text, integer, bytea) is
    'Keeps the sealed answer to a write under an Idempotency-Key; with a null status forgets the write, since it did nothing.';
