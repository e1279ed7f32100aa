-- Manifests at run time: registering one, going back to one, and seeing beforehand what one would change.

create function nexus.register_connector_type(manifest jsonb) returns integer
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    version integer;
begin
    perform nexus._require_role('nexus_gateway', 'nexus_admin');
    version := nexus._register_manifest($1);
    perform nexus._audit('00000000-0000-0000-0000-000000000000', null, 'connector_type.registered', 'connector_type', null,
                         jsonb_build_object('connector_type', $1 ->> 'type', 'version', version));
    return version;
end;
$$;
comment on function nexus.register_connector_type(jsonb) is
    'Checks a connector type''s manifest and makes it the current one, for every connector that pins no other; its version.';

create function nexus.use_connector_type_version(connector_type text, version integer) returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_role('nexus_gateway', 'nexus_admin');
    if not exists (select from nexus.connector_type t where t.connector_type = $1 and t.version = $2) then
        raise invalid_parameter_value using
            message = format('there is no version %s of connector type "%s"', $2, $1),
            hint = 'select connector_type, version from nexus.connector_type lists them.', detail = '{"code": "NX103"}';
    end if;
    update nexus.connector_type t set is_current = false
    where t.connector_type = $1 and t.is_current and t.version <> $2;
    update nexus.connector_type t set is_current = true where t.connector_type = $1 and t.version = $2;
    perform nexus._audit('00000000-0000-0000-0000-000000000000', null, 'connector_type.version_chosen', 'connector_type', null,
                         jsonb_build_object('connector_type', $1, 'version', $2));
end;
$$;
comment on function nexus.use_connector_type_version(text, integer) is
    'Makes a version of a connector type the current one, such as the one before. What is stored changes with nexus.reprocess.';

create function nexus.preview_mapping(
    tenant_id uuid, connector_type text, manifest jsonb, since timestamptz default '-infinity', environment_id uuid default null
) returns table (kind text, entity_id uuid, field text, old jsonb, new jsonb)
language plpgsql stable security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
declare
    most constant integer := 20000;
    first_event_id constant uuid := case when isfinite($4) then nexus._uuid_at($4)
                                         else '00000000-0000-0000-0000-000000000000' end;
    read uuid;
    batch uuid[];
    swept jsonb;
begin
    perform nexus._require_platform($1);
    if $3 ->> 'type' is distinct from $2 then
        raise invalid_parameter_value using
            message = format('the manifest is of connector type "%s", not "%s"', $3 ->> 'type', $2),
            detail = '{"code": "NX101", "path": "type"}';
    end if;
    for read in
        select c.connector_id from nexus.connector c
        where c.tenant_id = $1 and c.connector_type = $2 and c.is_active and c.pinned_version is null
          and (c.environment_id = $5 or $5 is null)
        order by c.connector_id
    loop
        batch := array(
            select e.event_id from nexus.event e
            where e.tenant_id = $1 and e.connector_id = read and e.event_id >= first_event_id
            order by e.event_id desc limit most + 1);
        if cardinality(batch) > most then
            raise program_limit_exceeded using
                message = format('connector %s has more than %s events since then', read, most),
                hint = 'Choose a later "since".', detail = '{"code": "NX403"}';
        end if;
        select coalesce(jsonb_agg(jsonb_build_object('birth_id', s.birth_id, 'generation', c.generation + 1,
                                                     'oldest_event_id', batch[cardinality(batch)])), '[]')
        into swept
        from nexus.connector c
        join nexus.source_record s on s.tenant_id = c.tenant_id and s.connector_id = c.connector_id
        where c.tenant_id = $1 and c.connector_id = read and batch <> '{}'
          and (s.event_id >= batch[cardinality(batch)] or s.group_stamps is not null or s.tombstone is not null);
        return query select * from nexus._preview_batch($1, $3, batch, swept);
    end loop;
end;
$$;
comment on function nexus.preview_mapping(uuid, text, jsonb, timestamptz, uuid) is
    'What another manifest would change, were the events of the tenant''s connectors of its type, or of one environment''s, read again with it: a row for each field of each golden entity, and for each event (kind event) whose status would differ. Nothing is written.';
