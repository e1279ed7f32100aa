-- Planning would cost ten times what a call does. So plans are generic and kept from the first call on, when the tables
-- may be empty and unanalyzed: they must be the ones that stay right, by index and not by scan. Nor are they compiled,
-- however many rows are guessed at: that takes longer than running them.
create function nexus.claim(
    tenant_id uuid, worker text, slots integer, lease interval default interval '60 seconds',
    per_destination integer default null, room jsonb default '{}', as_of jsonb default '{}'
) returns table (
    delivery_id uuid, environment_id uuid, environment text, kind text, destination_id uuid, attempt integer,
    former_attempts integer, is_ordered boolean, trace_id text, created_at timestamptz, url text, definition jsonb,
    destination_changed_at timestamptz, rate_limit integer, job_id uuid, is_callback_timeout boolean, event_id uuid,
    entity_kind text, entity_id uuid, normalized_payload jsonb, domain_event_id uuid, event_type text, schema_version integer, entity_version bigint,
    dedupe_key text, changed text[], payload jsonb, event_created_at timestamptz, headers jsonb, retry jsonb,
    envelope text
)
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_hashjoin to off
set enable_mergejoin to off
set plan_cache_mode to force_generic_plan
set jit to off
as $$
declare
    -- How far a destination's queue is looked at for what may go out: what may not is laid aside before.
    look constant integer := 200;
    claimed uuid[];
begin
    perform nexus._require_platform($1);
    if not nexus._is_accepted() then
        return;
    end if;
    perform nexus._lay_aside($1);
    -- Round robin over destinations. Each is looked at by itself, at the head of its own queue, so that none hides
    -- another, and only as far as the worker has room for it: what it could not begin stays for other workers.
    with recursive each_destination(id) as (
        (select d.destination_id from nexus.delivery d where d.tenant_id = $1 order by d.destination_id limit 1)
        union all
        select (select d.destination_id from nexus.delivery d
                where d.tenant_id = $1 and d.destination_id > p.id order by d.destination_id limit 1)
        from each_destination p where p.id is not null
    ), destination as (
        -- Of one that was changed since, the worker knows nothing; of one with a limited rate that it knows nothing of: one.
        select p.id, coalesce(case when ($7 ->> p.id::text)::timestamptz <> coalesce(s.updated_at, f.updated_at) then null
                                   else ($6 ->> p.id::text)::integer end,
                              case when coalesce(s.rate_limit::text, f.definition ->> 'rate_limit') is not null then 1 end,
                              $5, $3) as room
        from each_destination p
        left join nexus.webhook_subscription s on s.tenant_id = $1 and s.webhook_subscription_id = p.id
        left join nexus.flow f on f.tenant_id = $1 and f.flow_id = p.id
        where p.id is not null and s.status is distinct from 'paused'
    ), candidate as (
        select c.delivery_id, c.due_at, row_number() over (partition by p.id order by c.due_at, c.delivery_id) as n
        from destination p
        cross join lateral (
            select h.delivery_id, h.due_at from (
                select d.delivery_id, d.due_at, d.destination_id, d.domain_event_id, d.ordering_key, d.ordering_version
                from nexus.delivery d
                where d.tenant_id = $1 and d.destination_id = p.id and d.due_at <= now()
                  and (d.leased_until is null or d.leased_until < now())
                order by d.due_at limit greatest(p.room, look)) h
            where h.ordering_key is null or not exists (
                select from nexus.delivery b
                where b.tenant_id = $1 and b.destination_id = p.id and b.ordering_key = h.ordering_key
                  and (b.ordering_version, b.domain_event_id, b.delivery_id)
                      < (h.ordering_version, h.domain_event_id, h.delivery_id))
            limit p.room) c
        where p.room > 0
    ), chosen as (
        select c.delivery_id from candidate c order by c.n, c.due_at limit $3
    ), locked as (
        select l.delivery_id from chosen c
        cross join lateral (
            select d.delivery_id from nexus.delivery d
            where d.tenant_id = $1 and d.delivery_id = c.delivery_id
              and (d.leased_until is null or d.leased_until < now())
            for update skip locked) l
    )
    select array_agg(l.delivery_id) into claimed from locked l;

    if claimed is null then
        return;
    end if;

    -- A job whose callback never came is claimed to be told so, not to be sent: it begins no attempt.
    update nexus.delivery d set leased_until = now() + lease, leased_by = worker,
        attempt = d.attempt + case when exists (select from nexus.job j where j.tenant_id = $1 and j.job_id = d.job_id
                                                and j.status = 'awaiting_callback') then 0 else 1 end
    where d.tenant_id = $1 and d.delivery_id = any (claimed);

    update nexus.job j set status = 'dispatched', attempt = d.attempt, updated_at = now()
    from nexus.delivery d
    where d.tenant_id = $1 and d.delivery_id = any (claimed) and j.tenant_id = $1 and j.job_id = d.job_id
      and j.status in ('pending', 'retry', 'dispatched');

    return query
    select d.delivery_id, d.environment_id, e.name, d.kind, d.destination_id, d.attempt, d.former_attempts,
           d.ordering_key is not null, d.trace_id, d.created_at,
           coalesce(f.definition ->> 'execution_url', case when s.status <> 'disabled' then s.url end), f.definition,
           coalesce(s.updated_at, f.updated_at), coalesce(s.rate_limit, (f.definition ->> 'rate_limit')::integer),
           j.job_id, coalesce(j.status = 'awaiting_callback', false), coalesce(j.event_id, v.event_id),
           coalesce(j.entity_kind, v.entity_kind), coalesce(j.entity_id, v.entity_id), j.normalized_payload,
           v.domain_event_id, v.event_type, v.schema_version, v.entity_version, v.dedupe_key, v.changed,
           case d.place when 1 then v.payload end, v.created_at, s.headers, s.retry, s.envelope
    from (
        select d.*, row_number() over (partition by d.domain_event_id order by d.delivery_id) as place
        from nexus.delivery d where d.tenant_id = $1 and d.delivery_id = any (claimed)) d
    join nexus.environment e on e.tenant_id = $1 and e.environment_id = d.environment_id
    left join nexus.job j on j.tenant_id = $1 and j.job_id = d.job_id
    left join nexus.flow f on f.tenant_id = $1 and f.flow_id = d.destination_id and d.kind = 'job'
    left join nexus.domain_event v on v.tenant_id = $1 and v.domain_event_id = d.domain_event_id
    left join nexus.webhook_subscription s
           on s.tenant_id = $1 and s.webhook_subscription_id = d.destination_id and d.kind = 'webhook';
end;
$$;
comment on function nexus.claim(uuid, text, integer, interval, integer, jsonb, jsonb) is
    'Leases up to so many due deliveries of one tenant to a worker, with all that is needed to send them: round robin over destinations, at most per_destination of each, or what room says for it ({"<destination_id>": 0} leaves one out); not heeded for one that was changed at another time than as_of says. Of an entity''s ordered deliveries only the first. A domain event''s payload stands in one of its deliveries'' rows alone.';
