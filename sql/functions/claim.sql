-- Planning would cost ten times what a call does. So plans are generic and kept from the first call on, when the tables
-- may be empty and unanalyzed: they must be the ones that stay right, by index and not by scan. So rows are found by
-- look-ups of their own or as one of an array, where a join could be planned as reading all of a tenant's. Nor are they
-- compiled, however many rows are guessed at: that takes longer than running them.
create function nexus.claim(
    tenant_id uuid, worker text, slots integer, lease interval default interval '60 seconds',
    per_destination integer default null, room jsonb default '{}', as_of jsonb default '{}',
    known uuid[] default '{}', since timestamptz[] default '{}', after uuid[] default '{}'
) returns table (
    delivery_id uuid, environment_id uuid, environment text, kind text, destination_id uuid, attempt integer,
    former_attempts integer, is_ordered boolean, trace_id text, due_at timestamptz, created_at timestamptz, url text,
    definition jsonb, destination_changed_at timestamptz, rate_limit integer, job_id uuid, is_callback_timeout boolean,
    event_id uuid, entity_kind text, entity_id uuid, normalized_payload jsonb, domain_event_id uuid, event_type text,
    schema_version integer, entity_version bigint, dedupe_key text, changed text[], payload jsonb,
    event_created_at timestamptz, headers jsonb, retry jsonb, envelope text
)
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_hashjoin to off
set enable_mergejoin to off
set enable_bitmapscan to off
set plan_cache_mode to force_generic_plan
set jit to off
as $$
declare
    -- How far a destination's queue is looked at for what may go out: what may not is laid aside before.
    look constant integer := 200;
    -- What was queued by transactions that began so long ago is always looked for, wherever the worker has got to.
    lately constant interval := '200 ms';
    destinations uuid[];
    rooms integer[];
    sinces timestamptz[];
    afters uuid[];
    is_laid_aside boolean;
    places tid[];
    awaited tid[];
begin
    perform nexus._require_platform($1);
    if not nexus._is_accepted() then
        return;
    end if;
    -- A loose index scan, as due_tenants makes it: what the worker knows is not searched for. Of a destination that was
    -- changed since, the worker knows nothing; of one with a limited rate that it knows nothing of: one.
    with recursive each_destination(id, since, after, next) as (
        select '00000000-0000-0000-0000-000000000000'::uuid, null::timestamptz, null::uuid, 1
        union all
        select coalesce(n.id, $8[p.next]), case when n.id is null then $9[p.next] end,
               case when n.id is null then $10[p.next] end, p.next + case when n.id is null then 1 else 0 end
        from each_destination p
        left join lateral (
            select d.destination_id as id from nexus.delivery d
            where d.tenant_id = $1 and d.destination_id > p.id
              and d.destination_id < coalesce($8[p.next], 'ffffffff-ffff-ffff-ffff-ffffffffffff')
            order by d.destination_id limit 1) n on true
        where n.id is not null or $8[p.next] is not null
    ), destination as (
        select p.id, least(coalesce(p.since, '-infinity'), now() - lately) as since,
               coalesce(p.after, '00000000-0000-0000-0000-000000000000') as after,
               coalesce(s.status = 'paused', false) as is_paused,
               -- Also one that was in order until it was changed; of a flow's deliveries none is.
               f.flow_id is null and (s.ordering = 'entity' or (
                   select true from nexus.delivery d
                   where d.tenant_id = $1 and d.destination_id = p.id and d.ordering_key is not null limit 1)) as is_ordered,
               coalesce(case when ($7 ->> p.id::text)::timestamptz <> coalesce(s.updated_at, f.updated_at) then null
                             else ($6 ->> p.id::text)::integer end,
                        case when coalesce(s.rate_limit::text, f.definition ->> 'rate_limit') is not null then 1 end,
                        $5, $3) as room
        from each_destination p
        left join lateral (select * from nexus.webhook_subscription s
                           where s.tenant_id = $1 and s.webhook_subscription_id = p.id limit 1) s on true
        left join lateral (select * from nexus.flow f where f.tenant_id = $1 and f.flow_id = p.id limit 1) f on true
        where p.next > 1 or p.id > '00000000-0000-0000-0000-000000000000'
    )
    select array_agg(p.id), array_agg(case when p.is_paused then 0 else p.room end), array_agg(p.since), array_agg(p.after),
           coalesce(bool_or(p.is_paused or p.is_ordered), false)
    into destinations, rooms, sinces, afters, is_laid_aside
    from destination p
    where (p.is_paused or p.is_ordered or p.room > 0) and (select t.is_active from nexus.tenant t where t.tenant_id = $1);
    if destinations is null then
        return;
    end if;
    if is_laid_aside then
        perform nexus._lay_aside($1, destinations, sinces, afters);
    end if;

    -- Round robin over destinations. Each is looked at by itself, at the head of its own queue, so that none hides
    -- another, and only as far as the worker has room for it: what it could not begin stays for other workers.
    with destination as (
        select unnest(destinations) as id, unnest(rooms) as room, unnest(sinces) as since, unnest(afters) as after
    ), candidate as (
        select c.delivery_id, c.due_at, row_number() over (partition by p.id order by c.due_at, c.delivery_id) as n
        from destination p
        cross join lateral (
            select h.delivery_id, h.due_at from (
                select d.delivery_id, d.due_at, d.destination_id, d.domain_event_id, d.ordering_key, d.ordering_version
                from nexus.delivery d
                where d.tenant_id = $1 and d.destination_id = p.id
                  and d.due_at <= now() and (d.due_at, d.delivery_id) >= (p.since, p.after)
                  and (d.leased_until is null or d.leased_until < now())
                order by d.due_at, d.delivery_id limit greatest(p.room, look)) h
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
        select l.place, l.job_id from chosen c
        cross join lateral (
            select d.ctid as place, d.job_id from nexus.delivery d
            where d.tenant_id = $1 and d.delivery_id = c.delivery_id and d.due_at <= now()
              and (d.leased_until is null or d.leased_until < now())
            for update skip locked) l
    )
    select array_agg(l.place), array_agg(l.place) filter (where 'awaiting_callback' = (
               select j.status from nexus.job j where j.tenant_id = $1 and j.job_id = l.job_id))
    into places, awaited from locked l;
    if places is null then
        return;
    end if;

    return query
    with leased as (
        select * from nexus._lease($1, places, awaited, worker, lease)
    ), begun as (
        update nexus.job j set status = 'dispatched', updated_at = now(),
            attempt = (select l.attempt from leased l where l.job_id = j.job_id)
        where j.tenant_id = $1 and j.job_id = any (array(select l.job_id from leased l where l.job_id is not null))
          and j.status in ('pending', 'retry', 'dispatched')
    )
    select d.delivery_id, d.environment_id, e.name, d.kind, d.destination_id, d.attempt, d.former_attempts,
           d.ordering_key is not null, coalesce(j.trace_id, v.trace_id), d.due_at, d.created_at,
           coalesce(f.definition ->> 'execution_url', case when s.status <> 'disabled' then s.url end), f.definition,
           coalesce(s.updated_at, f.updated_at), coalesce(s.rate_limit, (f.definition ->> 'rate_limit')::integer),
           j.job_id, coalesce(j.status = 'awaiting_callback', false), coalesce(j.event_id, v.event_id),
           coalesce(j.entity_kind, v.entity_kind), coalesce(j.entity_id, v.entity_id), j.normalized_payload,
           v.domain_event_id, v.event_type, v.schema_version, v.entity_version, v.dedupe_key, v.changed,
           case d.place when 1 then v.payload end, v.created_at, s.headers, s.retry, s.envelope
    from (select l.*, row_number() over (partition by l.domain_event_id order by l.delivery_id) as place from leased l) d
    join nexus.environment e on e.tenant_id = $1 and e.environment_id = d.environment_id
    left join nexus.job j on j.tenant_id = $1 and j.job_id = d.job_id
    left join nexus.flow f on f.tenant_id = $1 and f.flow_id = d.destination_id and d.kind = 'job'
    left join nexus.domain_event v on v.tenant_id = $1 and v.domain_event_id = d.domain_event_id
    left join nexus.webhook_subscription s
           on s.tenant_id = $1 and s.webhook_subscription_id = d.destination_id and d.kind = 'webhook';
end;
$$;
comment on function nexus.claim(uuid, text, integer, interval, integer, jsonb, jsonb, uuid[], timestamptz[], uuid[]) is
    'Leases up to so many due deliveries of one tenant, if it is active, to a worker, with all that is needed to send them: round robin over destinations, at most per_destination of each, or what room says for it ({"<destination_id>": 0} leaves one out); not heeded for one that was changed at another time than as_of says. Of known destinations (in the order of their ids) only what is due since and after a place: since that time, and of that time from that delivery on. Of an entity''s ordered deliveries only the first. A domain event''s payload stands in one of its deliveries'' rows alone.';

-- Rows of the queue that are locked are changed by their place. By id, the planner would read all of a tenant's: the queue is
-- mostly empty when statistics are taken, so that one row is all it expects to find there.
create function nexus._lease(tenant_id uuid, places tid[], awaited tid[], worker text, lease interval) returns table (
    delivery_id uuid, environment_id uuid, kind text, destination_id uuid, job_id uuid, domain_event_id uuid, attempt integer,
    former_attempts integer, ordering_key uuid, due_at timestamptz, created_at timestamptz
)
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_indexscan to off
set enable_bitmapscan to off
set plan_cache_mode to force_generic_plan
set jit to off
as $$
begin
    -- A job whose callback never came is claimed to be told so, not to be sent: it begins no attempt.
    return query
    update nexus.delivery d set leased_until = now() + lease, leased_by = worker,
        attempt = d.attempt + case when d.ctid = any (awaited) then 0 else 1 end
    where d.tenant_id = $1 and d.ctid = any (places)
    returning d.delivery_id, d.environment_id, d.kind, d.destination_id, d.job_id, d.domain_event_id, d.attempt,
              d.former_attempts, d.ordering_key, d.due_at, d.created_at;
end;
$$;
comment on function nexus._lease(uuid, tid[], tid[], text, interval) is
    'Leases deliveries that the transaction has locked, by where they are; those of jobs whose callback is awaited begin no attempt.';

create function nexus._end_deliveries(tenant_id uuid, places tid[]) returns table (destination_id uuid, ordering_key uuid)
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
set enable_indexscan to off
set enable_bitmapscan to off
set plan_cache_mode to force_generic_plan
set jit to off
as $$
begin
    return query
    delete from nexus.delivery d where d.tenant_id = $1 and d.ctid = any (places)
    returning d.destination_id, d.ordering_key;
end;
$$;
comment on function nexus._end_deliveries(uuid, tid[]) is 'Takes deliveries out of the queue that the transaction has locked, by where they are.';
