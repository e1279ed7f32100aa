-- Sending domain events again, or for the first time to whoever subscribed later.

create function nexus.replay(tenant_id uuid, filter jsonb default '{}') returns integer
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    most constant integer := 10000;
    page record;
begin
    perform nexus._require_platform($1);
    select * into page from nexus.replay_page($1, $2, most);
    if page.next_event_id is not null then
        raise program_limit_exceeded using
            message = format('more than %s events are chosen; nothing was replayed', most),
            hint = 'Choose fewer, by since and until, or go page by page with nexus.replay_page.',
            detail = '{"code": "NX403"}';
    end if;
    return page.deliveries;
end;
$$;
comment on function nexus.replay(uuid, jsonb) is
    'Queues domain events once more for the subscriptions that want them: new deliveries of the same events, at a bounded rate; how many. The filter is that of nexus.replay_page.';

create function nexus.replay_page(tenant_id uuid, filter jsonb, max_events integer default 1000)
returns table (deliveries integer, next_event_id uuid, next_due_at timestamptz)
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
as $$
#variable_conflict use_column
declare
    known constant text[] := array['environment_id', 'event_ids', 'event_types', 'subscription_id', 'since', 'until',
                                   'outcome', 'rate', 'next_event_id', 'next_due_at'];
    rate integer := coalesce(($2 ->> 'rate')::integer, 100);
    types text[];
    chosen uuid[];
begin
    perform nexus._require_platform($1);
    perform nexus._require_known('domain events', $2, known);
    if $2 ? 'outcome' and $2 ->> 'outcome' is distinct from 'dead' then
        raise invalid_parameter_value using
            message = 'the outcome that can be replayed is dead', detail = '{"code": "NX403", "path": "$.outcome"}';
    elsif rate not between 1 and 10000 then
        raise invalid_parameter_value using
            message = format('rate is %s; it must be from 1 to 10000 deliveries a second', rate),
            detail = '{"code": "NX403", "path": "$.rate"}';
    elsif $3 not between 1 and 10000 then
        raise invalid_parameter_value using
            message = format('max_events is %s; one call takes from 1 to 10000 events', $3), detail = '{"code": "NX403"}';
    end if;
    if $2 ? 'subscription_id' and not exists (
        select from nexus.webhook_subscription s
        where s.tenant_id = $1 and s.webhook_subscription_id = ($2 ->> 'subscription_id')::uuid
          and (not $2 ? 'environment_id' or s.environment_id = ($2 ->> 'environment_id')::uuid)
          and s.status <> 'disabled') then
        raise no_data_found using
            message = format('there is no subscription %s that is not disabled', $2 ->> 'subscription_id'),
            detail = '{"code": "NX404", "path": "$.subscription_id"}';
    end if;
    types := case when $2 ? 'event_types' then array(select t from jsonb_array_elements_text($2 -> 'event_types') t) end;
    -- One more than asked for tells where the next page begins.
    chosen := array(
        select v.domain_event_id from nexus.domain_event v
        where v.tenant_id = $1
          and (not $2 ? 'environment_id' or v.environment_id = ($2 ->> 'environment_id')::uuid)
          and (not $2 ? 'event_ids' or v.domain_event_id in (select i::uuid from jsonb_array_elements_text($2 -> 'event_ids') i))
          and (types is null or nexus._matches_event_type(types, v.event_type))
          and (not $2 ? 'since' or v.domain_event_id >= nexus._uuid_at(($2 ->> 'since')::timestamptz))
          and (not $2 ? 'until' or v.domain_event_id < nexus._uuid_at(($2 ->> 'until')::timestamptz))
          and (not $2 ? 'next_event_id' or v.domain_event_id >= ($2 ->> 'next_event_id')::uuid)
        order by v.domain_event_id limit $3 + 1);
    -- The first is due when the page before has its last due; what is due already is not sent faster than the rate either.
    next_due_at := greatest(now(), ($2 ->> 'next_due_at')::timestamptz);
    insert into nexus.delivery (tenant_id, delivery_id, environment_id, kind, destination_id, domain_event_id,
                                ordering_key, ordering_version, due_at, created_at)
    select $1, nexus.uuid_v7(), o.environment_id, 'webhook', o.webhook_subscription_id, o.domain_event_id,
           o.ordering_key, o.ordering_version, next_due_at + make_interval(secs => (o.place - 1)::float8 / rate), now()
    from (select v.environment_id, s.webhook_subscription_id, v.domain_event_id,
                 case s.ordering when 'entity' then v.entity_id end as ordering_key,
                 case s.ordering when 'entity' then v.entity_version end as ordering_version,
                 row_number() over (order by v.domain_event_id, s.webhook_subscription_id) as place
          from nexus.domain_event v
          join nexus.webhook_subscription s
            on s.tenant_id = $1 and s.environment_id = v.environment_id and s.status <> 'disabled'
           and nexus._matches_event_type(s.event_types, v.event_type)
           and (s.filter is null or nexus._filter_accepts(s.filter, v.event_type, v.entity_version, v.changed, v.payload))
          where v.tenant_id = $1 and v.domain_event_id = any (chosen[:$3])
            and (not $2 ? 'subscription_id' or s.webhook_subscription_id = ($2 ->> 'subscription_id')::uuid)
            -- Given up, and not delivered since. Looked up by trace, which is what the log has an index for.
            and (not $2 ? 'outcome' or 'dead' = (
                select l.outcome from nexus.webhook_delivery_log l
                where l.tenant_id = $1 and l.trace_id = v.trace_id and l.domain_event_id = v.domain_event_id
                  and l.destination_id = s.webhook_subscription_id
                order by l.webhook_delivery_log_id desc limit 1))
          order by v.domain_event_id, s.webhook_subscription_id) o;
    get diagnostics deliveries = row_count;
    next_due_at := next_due_at + make_interval(secs => deliveries::float8 / rate);
    next_event_id := chosen[$3 + 1];
    -- For each environment, and without ids: a login bound to one of them reads what is written for it.
    perform nexus._audit($1, e.environment_id, 'domain_event.replayed', null, null, jsonb_build_object(
        'filter', $2 - '{event_ids, subscription_id, next_event_id, next_due_at}'::text[], 'deliveries', deliveries))
    from (select distinct v.environment_id from nexus.domain_event v
          where v.tenant_id = $1 and v.domain_event_id = any (chosen[:$3])) e;
    return next;
end;
$$;
comment on function nexus.replay_page(uuid, jsonb, integer) is
    'Replays the first so many domain events chosen, oldest first: by environment_id, event_ids, event_types, since, until; to all subscriptions that want them, to subscription_id, or (outcome dead) where the last attempt was the end; due one after the other, rate of them a second (100). How many deliveries, and where the next call''s filter goes on (next_event_id, next_due_at).';
