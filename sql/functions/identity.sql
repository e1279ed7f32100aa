-- What people decide about entities, where values come from, and how entities were before.

create function nexus._record_of(
    tenant_id uuid, kind text, id uuid, out birth_id uuid, out entity_id uuid, out environment_id uuid
)
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    select r.birth_id, r.entity_id, r.environment_id into birth_id, entity_id, environment_id
    from nexus.source_record r
    where r.tenant_id = $1 and r.kind = $2 and (r.birth_id = $3 or r.entity_id = $3)
      and (nexus.current_environment_id() is null or r.environment_id = nexus.current_environment_id())
    order by r.birth_id <> $3, r.birth_id limit 1;
    if not found then
        raise no_data_found using
            message = format('there is no %s %s', $2, $3),
            hint = 'Name an entity, or one of its source records by birth_id.', detail = '{"code": "NX404"}';
    end if;
end;
$$;
comment on function nexus._record_of(uuid, text, uuid) is 'A source record by its own id, or one of an entity by the entity''s.';

create function nexus._resolve(tenant_id uuid, birth_ids uuid[], repair boolean) returns integer
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    for attempt in 1..10 loop
        begin
            return nexus._resolve_anew($1, $2, $3);
        exception
            -- A record came in between that is concerned, and is not locked. What was locked is free again.
            when serialization_failure then
                perform nexus._come_again(attempt, 10);
        end;
    end loop;
end;
$$;
comment on function nexus._resolve(uuid, uuid[], boolean) is
    'Resolves records anew, and once more when others came in between; how many entities are others than before.';

create function nexus._come_again(attempt integer, attempts integer) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    if $1 >= $2 then
        raise serialization_failure using
            message = 'others were changing the same records at the same time; nothing was done',
            hint = 'Do it again.', detail = '{"code": "NX408"}';
    end if;
end;
$$;
comment on function nexus._come_again(integer, integer) is 'Refuses, after the last attempt, what others have been in the way of each time.';

create function nexus.merge(tenant_id uuid, kind text, a uuid, b uuid, reason text) returns uuid
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
declare
    one record;
    other record;
begin
    perform nexus._require_tenant($1);
    one := nexus._record_of($1, $2, $3);
    other := nexus._record_of($1, $2, $4);
    if one.environment_id <> other.environment_id then
        raise invalid_parameter_value using
            message = format('%s and %s are of different environments', $3, $4), detail = '{"code": "NX403"}';
    end if;
    if one.entity_id = other.entity_id then
        -- A person confirms what was found.
        if one.birth_id <> other.birth_id then
            perform nexus._put_link($1, one.environment_id, $2, one.birth_id, other.birth_id, 'must', $5);
        end if;
        return one.entity_id;
    end if;
    -- The last word counts: nothing keeps the two apart any more.
    delete from nexus.entity_link l using nexus.source_record x, nexus.source_record y
    where l.tenant_id = $1 and l.link = 'cannot'
      and x.tenant_id = $1 and y.tenant_id = $1 and x.entity_id = one.entity_id and y.entity_id = other.entity_id
      and ((l.a = x.birth_id and l.b = y.birth_id) or (l.a = y.birth_id and l.b = x.birth_id));
    perform nexus._put_link($1, one.environment_id, $2, one.birth_id, other.birth_id, 'must', $5);
    perform nexus._resolve($1, array[one.birth_id, other.birth_id], false);
    one := nexus._record_of($1, $2, one.birth_id);
    other := nexus._record_of($1, $2, other.birth_id);
    if one.entity_id <> other.entity_id then
        raise invalid_parameter_value using
            message = format('%s and %s cannot be merged: the entity would have more than 20 source records', $3, $4),
            detail = '{"code": "NX403"}';
    end if;
    perform nexus._audit($1, one.environment_id, $2 || '.merged', $2, one.entity_id,
                         jsonb_build_object('a', $3, 'b', $4, 'reason', $5));
    return one.entity_id;
end;
$$;
comment on function nexus.merge(uuid, text, uuid, uuid, text) is
    'Says that two entities, or source records by birth_id, are the same thing; the entity they are now. Undone by nexus.unmerge.';

create function nexus.unmerge(tenant_id uuid, kind text, source_record_birth_id uuid, reason text) returns uuid
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
declare
    taken record;
    link record;
    concerned uuid[];
begin
    perform nexus._require_tenant($1);
    taken := nexus._record_of($1, $2, $3);
    concerned := array(select r.birth_id from nexus.source_record r
                       where r.tenant_id = $1 and r.entity_id = taken.entity_id);
    if cardinality(concerned) = 1 then
        return taken.entity_id;
    end if;
    for link in select * from nexus._unmerge_links($1, taken.birth_id) loop
        if link.is_added then
            perform nexus._put_link($1, taken.environment_id, $2, link.a, link.b, link.link, $4);
        else
            delete from nexus.entity_link l where l.tenant_id = $1 and l.a = link.a and l.b = link.b and l.link = link.link;
        end if;
    end loop;
    perform nexus._resolve($1, concerned, false);
    taken := nexus._record_of($1, $2, taken.birth_id);
    perform nexus._audit($1, taken.environment_id, $2 || '.unmerged', $2, taken.entity_id,
                         jsonb_build_object('birth_id', taken.birth_id, 'reason', $4));
    return taken.entity_id;
end;
$$;
comment on function nexus.unmerge(uuid, text, uuid, text) is
    'Takes a source record out of its entity, with what a merge had joined to it; the entity it is now.';

create function nexus._put_link(
    tenant_id uuid, environment_id uuid, kind text, one uuid, other uuid, link text, reason text
) returns void
language plpgsql
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
begin
    insert into nexus.entity_link as l (tenant_id, entity_link_id, environment_id, kind, a, b, link, reason, actor)
    values ($1, nexus.uuid_v7(), $2, $3, least($4, $5), greatest($4, $5), $6, coalesce($7, ''), nexus._actor())
    on conflict (tenant_id, a, b) do update
    set link = excluded.link, reason = excluded.reason, actor = excluded.actor, created_at = excluded.created_at;
    delete from nexus.merge_candidate c where c.tenant_id = $1 and c.a = least($4, $5) and c.b = greatest($4, $5);
end;
$$;
comment on function nexus._put_link(uuid, uuid, text, uuid, uuid, text, text) is 'Writes down what a person says of two source records.';

create function nexus.rebuild(tenant_id uuid, kind text, after uuid default null, max_records integer default 500)
returns table (records integer, changed integer, next_birth_id uuid)
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
declare
    batch uuid[];
    was_changed integer;
begin
    perform nexus._require_tenant($1);
    if nexus.current_environment_id() is not null then
        raise insufficient_privilege using
            message = format('role %I is bound to one environment and may not rebuild', session_user), detail = '{"code": "NX304"}';
    end if;
    perform nexus._check_kind($2);
    batch := array(select r.birth_id from nexus.source_record r
                   where r.tenant_id = $1 and r.kind = $2 and r.birth_id > coalesce($3, '00000000-0000-0000-0000-000000000000')
                   order by r.birth_id limit $4);
    was_changed := nexus._resolve($1, batch, true);
    return query select cardinality(batch), was_changed, case when cardinality(batch) = $4 then batch[$4] end;
end;
$$;
comment on function nexus.rebuild(uuid, text, uuid, integer) is
    'Recomputes keys, entities and golden rows of a kind from the source records, in batches beside live ingest: call it with next_birth_id until that is null. When all is well, nothing is changed.';

create function nexus.follow_moves() returns bigint
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    of_tenant uuid;
    moves uuid[];
    records uuid[];
    locations uuid[];
    restated bigint := 0;
    rewritten bigint;
begin
    perform nexus._require_role('nexus_gateway', 'nexus_admin');
    -- One at a time; whoever comes second has nothing to do.
    if not pg_try_advisory_xact_lock(hashtextextended('nexus.follow_moves', 0)) then
        return 0;
    end if;
    select c.tenant_id into of_tenant from nexus.entity_change c where not c.is_settled order by c.tenant_id limit 1;
    if not found then
        return 0;
    end if;
    select array_agg(m.entity_change_id), array_agg(distinct m.birth_id) into moves, records
    from (select c.entity_change_id, c.birth_id from nexus.entity_change c
          where c.tenant_id = of_tenant and not c.is_settled order by c.entity_change_id limit 100) m;
    locations := array(select distinct e.id from nexus.entity_change c
                       cross join lateral unnest(array[c.old_entity_id, c.new_entity_id]) as e(id)
                       where c.tenant_id = of_tenant and c.entity_change_id = any (moves) and c.kind = 'location');
    -- Stock first: it locks records, and references are locked last.
    if cardinality(locations) > 0 then
        restated := nexus._redo_stock(of_tenant, locations);
    end if;
    rewritten := nexus._follow_records(of_tenant, records);
    if restated + rewritten = 0 then
        update nexus.entity_change c set is_settled = true
        where c.tenant_id = of_tenant and c.entity_change_id = any (moves);
    end if;
    return restated + rewritten + cardinality(moves);
end;
$$;
comment on function nexus.follow_moves() is
    'Goes on where a merge had more to rewrite than one transaction should: references, and whose stock counts where locations became one. The gateway calls it every minute until it answers 0.';

create function nexus.set_survivorship(tenant_id uuid, environment_id uuid, kind text, field text, connector_id uuid, rank integer)
returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
begin
    perform nexus._require_platform($1);
    perform nexus._require_environment($1, $2);
    perform nexus._check_survivorship($3, $4);
    if not exists (select from nexus.connector c where c.tenant_id = $1 and c.environment_id = $2 and c.connector_id = $5) then
        raise no_data_found using message = format('there is no connector %s', $5), detail = '{"code": "NX404"}';
    end if;
    delete from nexus.survivorship_rule r
    where r.tenant_id = $1 and r.kind = $3 and r.field is not distinct from $4 and r.connector_id = $5;
    if $6 is not null then
        insert into nexus.survivorship_rule (tenant_id, survivorship_rule_id, environment_id, kind, field, connector_id, rank)
        values ($1, nexus.uuid_v7(), $2, $3, $4, $5, $6);
    end if;
    perform nexus._audit($1, $2, 'survivorship.set', 'connector', $5, jsonb_build_object('kind', $3, 'field', $4, 'rank', $6));
end;
$$;
comment on function nexus.set_survivorship(uuid, uuid, text, text, uuid, integer) is
    'Ranks a source for a kind, or a field of it (null: all); the lowest goes first, null takes the rule away. nexus.rebuild applies it to what is stored.';

create function nexus.current_entity(tenant_id uuid, kind text, id uuid) returns uuid
language sql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
    select nexus._check_kind($2);
    select r.entity_id from nexus.source_record r where r.tenant_id = $1 and r.kind = $2 and r.birth_id = $3
$$;
comment on function nexus.current_entity(uuid, text, uuid) is
    'The entity that an id means today: that of a source record by birth_id, or of an entity that went into another since. Null if it never was.';

create function nexus.provenance(tenant_id uuid, kind text, entity_id uuid)
returns table (
    field text, value jsonb, source text, connector_id uuid, external_id text, birth_id uuid, source_time timestamptz,
    event_id uuid, mapping_version integer, is_winner boolean
)
language sql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
    select p.field, p.value, c.name, p.connector_id, p.external_id, p.birth_id,
           timestamptz 'epoch' + p.source_time * interval '1 microsecond', p.event_id, p.manifest_version, p.is_winner
    from nexus._provenance($1, $2, nexus.current_entity($1, $2, $3)) p
    left join nexus.connector c on c.tenant_id = $1 and c.connector_id = p.connector_id
$$;
comment on function nexus.provenance(uuid, text, uuid) is
    'What every source says of every field of an entity, by which event and mapping version, and which claim survives.';

create function nexus.entity_at(tenant_id uuid, kind text, entity_id uuid, at timestamptz) returns jsonb
language sql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
    select nexus._check_kind($2);
    -- An entity bears the id of one of its records, which tells where it went.
    with place as (
        select coalesce((select c.new_entity_id from nexus.entity_change c
                         where c.tenant_id = $1 and c.birth_id = $3 and c.changed_at <= $4
                         order by c.changed_at desc, c.entity_change_id desc limit 1), $3) as id
    )
    select v.payload from place p
    join nexus.domain_event v on v.tenant_id = $1 and v.entity_id = p.id
    where v.entity_kind = $2 and v.created_at <= $4
    order by v.entity_version desc limit 1
$$;
comment on function nexus.entity_at(uuid, text, uuid, timestamptz) is
    'An entity as it was at a moment, from the outbox''s snapshots; null before it was, and before the outbox begins.';

create function nexus.history(
    tenant_id uuid, kind text, entity_id uuid, before uuid default null, max integer default 100
)
returns table (
    history_id uuid, at timestamptz, what text, entity_id uuid, entity_version bigint, changed text[], payload jsonb,
    birth_id uuid, old_entity_id uuid, new_entity_id uuid, because jsonb, actor text, event_id uuid, trace_id text
)
language sql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
    select nexus._check_kind($2);
    -- Entities bear the ids of records: those that are part of this one today were entities of their own, perhaps.
    with record as (
        select r.birth_id from nexus.source_record r
        where r.tenant_id = $1 and r.kind = $2 and r.entity_id = (select nexus.current_entity($1, $2, $3))
    ), told as (
        select v.domain_event_id, v.created_at, v.event_type, v.entity_id, v.entity_version, v.changed, v.payload, null::uuid,
               null::uuid, null::uuid, null::jsonb, null::text, v.event_id, v.trace_id
        from nexus.domain_event v
        where v.tenant_id = $1 and v.entity_id = any (array(select r.birth_id from record r)) and v.entity_kind = $2
          and ($4 is null or v.domain_event_id < $4)
        order by v.domain_event_id desc limit $5
    ), moved as (
        select c.entity_change_id, c.changed_at, 'record.moved', null::uuid, null::bigint, null::text[], null::jsonb, c.birth_id,
               c.old_entity_id, c.new_entity_id, c.because, c.actor, c.event_id, null::text
        from nexus.entity_change c
        where c.tenant_id = $1 and c.birth_id = any (array(select r.birth_id from record r)) and c.kind = $2
          and ($4 is null or c.entity_change_id < $4)
        order by c.entity_change_id desc limit $5
    )
    select * from told union all select * from moved order by 1 desc limit $5
$$;
comment on function nexus.history(uuid, text, uuid, uuid, integer) is
    'What became of an entity and of those that went into it, the newest first: domain events with their snapshots, and records that moved, with the reason. before: the history_id of the last row of the page before. As long as the outbox is kept.';
