-- Planning would cost ten times what a call does. So plans are generic and kept from the first call on, when the tables
-- may be empty and unanalyzed: they must be the ones that stay right, by index and not by scan.
create function nexus.claim(tenant_id uuid, worker text, slots integer, lease interval default interval '60 seconds')
returns table (
    delivery_id uuid, environment_id uuid, environment text, kind text, destination_id uuid, attempt integer,
    former_attempts integer, trace_id text, created_at timestamptz, url text, definition jsonb,
    job_id uuid, is_callback_timeout boolean, event_id uuid, entity_kind text, entity_id uuid, normalized_payload jsonb,
    domain_event_id uuid, event_type text, schema_version integer, entity_version bigint, dedupe_key text,
    changed text[], payload jsonb, event_created_at timestamptz, headers jsonb,
    payload_version integer, envelope text
)
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_hashjoin to off
set enable_mergejoin to off
set plan_cache_mode to force_generic_plan
as $$
declare
    claimed uuid[];
begin
    perform nexus._require_platform($1);
    if not nexus._is_accepted() then
        return;
    end if;
    -- Deliveries of paused subscriptions are laid aside, so that the head of the queue is what can be sent. The lock
    -- makes resuming wait, which then finds them.
    while exists (select from nexus.webhook_subscription s where s.tenant_id = $1 and s.status = 'paused') loop
        with head as (
            select d.delivery_id, d.destination_id from nexus.delivery d
            where d.tenant_id = $1 and d.due_at <= now() and (d.leased_until is null or d.leased_until < now())
            order by d.due_at limit greatest($3 * 8, 200)
        ), paused as (
            select s.webhook_subscription_id from nexus.webhook_subscription s
            where s.tenant_id = $1 and s.status = 'paused'
              and s.webhook_subscription_id in (select h.destination_id from head h)
            order by s.webhook_subscription_id for share
        )
        update nexus.delivery d set due_at = 'infinity', leased_until = null, leased_by = null
        from head h join paused p on p.webhook_subscription_id = h.destination_id
        where d.tenant_id = $1 and d.delivery_id = h.delivery_id
          and (d.leased_until is null or d.leased_until < now());
        exit when not found;
    end loop;

    -- Round robin over destinations, within a bounded look at the head of the queue.
    with candidate as (
        select d.delivery_id, d.destination_id, d.due_at from nexus.delivery d
        where d.tenant_id = $1 and d.due_at <= now() and (d.leased_until is null or d.leased_until < now())
        order by d.due_at limit greatest($3 * 8, 200)
    ), turn as (
        select c.delivery_id, c.due_at,
               row_number() over (partition by c.destination_id order by c.due_at, c.delivery_id) as n
        from candidate c
    ), chosen as (
        select t.delivery_id from turn t order by t.n, t.due_at limit $3
    ), locked as (
        select d.delivery_id from nexus.delivery d
        where d.tenant_id = $1 and d.delivery_id in (select c.delivery_id from chosen c)
          and (d.leased_until is null or d.leased_until < now())
        for update skip locked
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
    select d.delivery_id, d.environment_id, e.name, d.kind, d.destination_id, d.attempt, d.former_attempts, d.trace_id, d.created_at,
           coalesce(f.definition ->> 'execution_url', case when s.status <> 'disabled' then s.url end), f.definition,
           j.job_id, coalesce(j.status = 'awaiting_callback', false), coalesce(j.event_id, v.event_id),
           coalesce(j.entity_kind, v.entity_kind), coalesce(j.entity_id, v.entity_id), j.normalized_payload,
           v.domain_event_id, v.event_type, v.schema_version, v.entity_version, v.dedupe_key, v.changed, v.payload, v.created_at,
           s.headers, s.payload_version, s.envelope
    from nexus.delivery d
    join nexus.environment e on e.tenant_id = $1 and e.environment_id = d.environment_id
    left join nexus.job j on j.tenant_id = $1 and j.job_id = d.job_id
    left join nexus.flow f on f.tenant_id = $1 and f.flow_id = d.destination_id and d.kind = 'job'
    left join nexus.domain_event v on v.tenant_id = $1 and v.domain_event_id = d.domain_event_id
    left join nexus.webhook_subscription s
           on s.tenant_id = $1 and s.webhook_subscription_id = d.destination_id and d.kind = 'webhook'
    where d.tenant_id = $1 and d.delivery_id = any (claimed);
end;
$$;
comment on function nexus.claim(uuid, text, integer, interval) is
    'Leases up to so many due deliveries of one tenant to a worker, round robin over destinations, with all that is needed to send them.';
