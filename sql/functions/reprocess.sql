-- Reading events again: those that went into quarantine, or all of a connector's with a mapping that has changed.

create function nexus.reprocess(tenant_id uuid, filter jsonb default '{}', max_events integer default 1000)
returns table (events integer, quarantined integer, entities integer, next_event_id uuid)
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
set enable_seqscan to off
as $$
#variable_conflict use_column
declare
    known constant text[] := array['environment_id', 'connector_id', 'connector_type', 'event_ids', 'status', 'since',
                                     'next_event_id'];
    chosen uuid[];
    outcome record;
begin
    perform nexus._require_platform($1);
    perform nexus._require_known('events', $2, known);
    if $3 not between 0 and 10000 then
        raise invalid_parameter_value using
            message = format('max_events is %s; one call reads from 0 to 10000 events', $3), detail = '{"code": "NX403"}';
    end if;
    if not $2 ?| array['event_ids', 'status'] then
        return query select * from nexus._reprocess_connectors($1, $2, $3);
        return;
    end if;
    chosen := array(
        select e.event_id from nexus.event e
        where e.tenant_id = $1
          and e.erased_at is null
          and (not $2 ? 'environment_id' or e.environment_id = ($2 ->> 'environment_id')::uuid)
          and (not $2 ? 'event_ids' or e.event_id in (select i::uuid from jsonb_array_elements_text($2 -> 'event_ids') i))
          and (not $2 ? 'status' or e.status = $2 ->> 'status')
          and (not $2 ? 'connector_id' or e.connector_id = ($2 ->> 'connector_id')::uuid)
          and (not $2 ? 'connector_type' or e.connector_type = $2 ->> 'connector_type')
          and (not $2 ? 'since' or e.event_id >= nexus._uuid_at(($2 ->> 'since')::timestamptz))
          and (not $2 ? 'next_event_id' or e.event_id < ($2 ->> 'next_event_id')::uuid)
        order by e.event_id desc limit $3);
    select * into outcome from nexus._read_again($1, chosen, '[]');
    -- For each environment, and without ids: a login bound to one of them reads what is written for it.
    perform nexus._audit($1, e.environment_id, 'event.reprocessed', null, null, jsonb_build_object(
        'filter', $2 - '{event_ids, next_event_id}'::text[],
        'events', outcome.events, 'quarantined', outcome.quarantined, 'entities', outcome.entities))
    from (select distinct e.environment_id from nexus.event e where e.tenant_id = $1 and e.event_id = any (chosen)) e;
    return query select outcome.events, outcome.quarantined, outcome.entities,
                        case when cardinality(chosen) = $3 then chosen[$3] end;
end;
$$;
comment on function nexus.reprocess(uuid, jsonb, integer) is
    'Reads events again with the mapping as it is now. By event_ids or status (quarantined): those events, from the newest on, up to next_event_id, which the next call''s filter takes. Otherwise all events of the connectors chosen, as a new reading that replaces the one before: call it until next_event_id is null.';

create function nexus._read_again(tenant_id uuid, event_ids uuid[], swept jsonb, out events integer, out quarantined integer, out entities integer)
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    for attempt in 1..10 loop
        begin
            select b.events, b.quarantined, b.entities into events, quarantined, entities
            from nexus._reprocess_batch($1, $2, $3) b;
            return;
        exception
            -- A record came in between that is concerned, and is not locked. What was locked is free again.
            when serialization_failure then
                perform nexus._come_again(attempt, 10);
        end;
    end loop;
end;
$$;
comment on function nexus._read_again(uuid, uuid[], jsonb) is
    'Reads events again with the mapping as it is now, and once more when others came in between; what came of it.';

-- One batch a call, and all of its records locked in one pass: beside live ingest nothing waits in a circle.
create function nexus._reprocess_connectors(tenant_id uuid, filter jsonb, max_events integer)
returns table (events integer, quarantined integer, entities integer, next_event_id uuid)
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
declare
    no_event constant uuid := '00000000-0000-0000-0000-000000000000';
    every_event constant uuid := 'ffffffff-ffff-ffff-ffff-ffffffffffff';
    chosen constant uuid[] := array(
        select c.connector_id from nexus.connector c
        where c.tenant_id = $1 and c.is_active
          and (not $2 ? 'environment_id' or c.environment_id = ($2 ->> 'environment_id')::uuid)
          and (not $2 ? 'connector_id' or c.connector_id = ($2 ->> 'connector_id')::uuid)
          and (not $2 ? 'connector_type' or c.connector_type = $2 ->> 'connector_type')
        order by c.connector_id);
    reading nexus.reprocessing;
    batch uuid[];
    oldest uuid;
    swept jsonb := '[]';
    outcome record;
    is_last_event boolean;
    last_birth_id uuid;
begin
    if not exists (select from nexus.reprocessing r
                   where r.tenant_id = $1 and r.connector_id = any (chosen) and r.finished_at is null
                     and r.manifest_version = nexus._manifest_version($1, r.connector_id)) then
        perform nexus._begin_reading($1, c, case when $2 ? 'since' then nexus._uuid_at(($2 ->> 'since')::timestamptz) else no_event end)
        from unnest(chosen) c;
    else
        -- Nor is one left to an earlier mapping while the others are being read.
        perform nexus._begin_reading($1, c, case when $2 ? 'since' then nexus._uuid_at(($2 ->> 'since')::timestamptz) else no_event end)
        from unnest(chosen) c
        where nexus._manifest_version($1, c) is distinct from (
            select r.manifest_version from nexus.reprocessing r
            where r.tenant_id = $1 and r.connector_id = c order by r.reprocessing_id desc limit 1);
    end if;
    select * into reading from nexus.reprocessing r
    where r.tenant_id = $1 and r.connector_id = any (chosen) and r.finished_at is null
    order by r.connector_id limit 1 for update;
    if not found then
        return query select 0, 0, 0, null::uuid;
        return;
    end if;

    batch := array(
        select e.event_id from nexus.event e
        where e.tenant_id = $1 and e.connector_id = reading.connector_id
          and e.event_id < reading.next_event_id and e.event_id >= reading.first_event_id
        order by e.event_id desc limit $3);
    is_last_event := cardinality(batch) < $3;
    oldest := coalesce(batch[cardinality(batch)], reading.next_event_id);
    if is_last_event and oldest <> every_event then
        select coalesce(jsonb_agg(jsonb_build_object(
                   'birth_id', s.birth_id, 'generation', reading.generation, 'oldest_event_id', oldest) order by s.birth_id), '[]'),
               case when count(*) = $3 * 2 then max(s.birth_id::text)::uuid end
        into swept, last_birth_id
        from (select s.birth_id from nexus.source_record s
              where s.tenant_id = $1 and s.connector_id = reading.connector_id
                and s.birth_id > coalesce(reading.next_birth_id, no_event)
                and (s.generation < reading.generation or s.group_stamps is not null or s.tombstone is not null)
              order by s.birth_id limit $3 * 2) s;
    end if;
    select * into outcome from nexus._read_again($1, batch, swept);
    update nexus.reprocessing r set
        next_event_id = oldest, next_birth_id = last_birth_id,
        events = r.events + outcome.events, quarantined = r.quarantined + outcome.quarantined,
        entities = r.entities + outcome.entities,
        finished_at = case when is_last_event and last_birth_id is null then now() end
    where r.tenant_id = $1 and r.reprocessing_id = reading.reprocessing_id;
    return query select outcome.events, outcome.quarantined, outcome.entities,
                        (select r.next_event_id from nexus.reprocessing r
                         where r.tenant_id = $1 and r.connector_id = any (chosen) and r.finished_at is null
                         order by r.connector_id limit 1);
end;
$$;
comment on function nexus._reprocess_connectors(uuid, jsonb, integer) is
    'The next batch of the readings of the connectors chosen; begins them where none is open.';

create function nexus._manifest_version(tenant_id uuid, connector_id uuid) returns integer
language sql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
    select coalesce(c.pinned_version, m.version)
    from nexus.connector c
    join nexus.connector_type m on m.connector_type = c.connector_type and m.is_current
    where c.tenant_id = $1 and c.connector_id = $2
$$;
comment on function nexus._manifest_version(uuid, uuid) is 'The version of its type''s manifest that a connector uses: the pinned one, or the current.';

create function nexus._begin_reading(tenant_id uuid, connector_id uuid, first_event_id uuid) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
declare
    read nexus.connector;
begin
    update nexus.reprocessing r set finished_at = now(), is_superseded = true
    where r.tenant_id = $1 and r.connector_id = $2 and r.finished_at is null;
    -- Waits for batches of ingest that are under way; those that come later are of this reading already.
    update nexus.connector c set generation = c.generation + 1
    where c.tenant_id = $1 and c.connector_id = $2 returning * into read;
    insert into nexus.reprocessing (tenant_id, reprocessing_id, environment_id, connector_id, generation,
                                    manifest_version, first_event_id, next_event_id, actor)
    values ($1, nexus.uuid_v7(), read.environment_id, $2, read.generation,
            nexus._manifest_version($1, $2), $3, 'ffffffff-ffff-ffff-ffff-ffffffffffff', nexus._actor());
    perform nexus._audit($1, read.environment_id, 'connector.reprocessed', 'connector', $2,
                         jsonb_build_object('generation', read.generation));
end;
$$;
comment on function nexus._begin_reading(uuid, uuid, uuid) is
    'Begins to read a connector''s events anew, from the newest to the first one given.';
