-- What applies, and whence: the platform's settings, a connector's and a flow's.

create function nexus._platform_setting(name text) returns jsonb
language sql stable
set search_path to pg_catalog, nexus, pg_temp
as $$ select coalesce(s.value, s.default_value) from nexus.setting s where s.setting_id = name $$;
comment on function nexus._platform_setting(text) is 'A setting of the platform as it applies.';

create function nexus.set_setting(name text, value jsonb) returns void
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    perform nexus._require_role('nexus_gateway', 'nexus_admin');
    if $2 is not null then
        perform nexus._check_setting($1, $2);
    end if;
    update nexus.setting s set value = $2, updated_at = now(), updated_by = nexus._actor() where s.setting_id = $1;
    if not found then
        raise no_data_found using
            message = format('there is no setting "%s"', $1),
            hint = 'select setting_id, description from nexus.setting lists them.', detail = '{"code": "NX404"}';
    end if;
end;
$$;
comment on function nexus.set_setting(text, jsonb) is 'Sets a setting of the platform; null goes back to the default.';

create function nexus.effective_settings(tenant_id uuid, flow_id uuid)
returns table (setting text, value jsonb, tier text, is_default boolean, connector_id uuid)
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
declare
    flow nexus.flow;
begin
    select * into flow from nexus.flow f where f.tenant_id = $1 and f.flow_id = $2;
    if not found then
        raise no_data_found using message = format('there is no flow %s', $2), detail = '{"code": "NX404"}';
    end if;
    return query
    select s.setting, s.value, 'flow', s.is_default, null::uuid from nexus._flow_settings(flow.definition) s
    union all
    select s.key, s.value, 'connector', not c.settings ? s.key, c.connector_id
    from nexus.connector c
    cross join lateral jsonb_each(nexus._connector_settings(
        c.connector_type, nexus._manifest_version($1, c.connector_id), c.settings)) s
    where c.tenant_id = $1 and c.environment_id = flow.environment_id
      and (coalesce(jsonb_typeof(flow.definition -> 'connector_ids'), 'null') = 'null'
           or flow.definition -> 'connector_ids' ? c.connector_id::text)
    union all
    select s.setting_id, coalesce(s.value, s.default_value), 'platform', s.value is null, null
    from nexus.setting s
    order by 3, 5, 1;
end;
$$;
comment on function nexus.effective_settings(uuid, uuid) is
    'Every setting that applies to a flow: its own, those of the connectors it listens to and the platform''s, and whether each is a default.';

create function nexus.explain_routing(tenant_id uuid, event_id uuid)
returns table (flow_id uuid, flow_name text, kind text, external_id text, is_wanted boolean, reason text)
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
#variable_conflict use_column
declare
    event record;
begin
    select e.event_id, e.environment_id, e.connector_id, e.topic, e.status, e.reason, e.outcome into event
    from nexus.event e where e.tenant_id = $1 and e.event_id = $2;
    if not found then
        raise no_data_found using message = format('there is no event %s', $2), detail = '{"code": "NX404"}';
    end if;
    return query
    with claimed as (
        select d ->> 'kind' as kind, d ->> 'external_id' as external_id, d ->> 'result' as result,
               nexus.birth_id($1, event.environment_id, event.connector_id, d ->> 'kind', d ->> 'external_id') as birth_id
        from jsonb_array_elements(event.outcome -> 'documents') d
    ), asked as (
        select f.flow_id, f.name, c.kind, c.external_id,
               case when event.status <> 'accepted' then format('the event is %s: %s', event.status, event.reason)
                    when not f.is_active then 'the flow is not active'
                    when f.environment_id <> event.environment_id then 'the flow is of another environment'
                    else coalesce(
                        nexus._flow_refusal(f.definition, c.kind, event.connector_id, event.topic, coalesce(r.document, '{}')),
                        case when c.result in ('unchanged', 'stale')
                             then format('the event changed nothing of the record: %s', c.result) end)
               end as refusal
        from nexus.flow f
        left join claimed c on true
        left join nexus.source_record r on r.tenant_id = $1 and r.birth_id = c.birth_id
        where f.tenant_id = $1
    )
    select a.flow_id, a.name, a.kind, a.external_id, a.refusal is null, coalesce(a.refusal, 'it gets a job') from asked a
    order by a.name, a.kind, a.external_id;
end;
$$;
comment on function nexus.explain_routing(uuid, uuid) is
    'For each flow and each record of an event: whether the flow hears of it, or why not, by the definitions and documents as they are now.';
