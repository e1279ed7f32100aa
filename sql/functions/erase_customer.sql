-- Entity ids of events, domain events and jobs are those of their time, and rows that refer to a merged entity follow it
-- later: so everything is found by records, whose ids never change. What is long to read is read before anything is locked.
create function nexus.erase_customer(tenant_id uuid, customer_id uuid) returns jsonb
language plpgsql security definer
set search_path to pg_catalog, nexus, pg_temp
as $$
declare
    people uuid[];      -- source records that are the customer
    orders uuid[];      -- records of their orders
    records uuid[];     -- those, and the records of what belongs to the orders
    entities uuid[];    -- the golden rows of all of them, as they are and as they were
    addresses text[];   -- e-mail addresses that are theirs alone, now or formerly, and telephone numbers:
    phones text[];      -- by them events are found that made no record
    their_environment_id uuid;
    -- Events that came while older ones were read; a request that was taken in meanwhile began no earlier.
    lately constant uuid := nexus._uuid_at(now() - interval '5 minutes');
    events uuid[];
    outbox uuid[];
    jobs uuid[];
    traces text[];
    counted jsonb;
    affected bigint;
begin
    perform nexus._require_whole_tenant($1);
    -- A customer is one environment's, and so is what the activity log says of it.
    select array_agg(r.birth_id), (array_agg(r.environment_id))[1] into people, their_environment_id
    from nexus.source_record r where r.tenant_id = $1 and r.entity_id = $2 and r.kind = 'customer';
    if people is null then
        raise no_data_found using message = format('tenant %s has no customer %s', $1, $2), detail = '{"code": "NX404"}';
    end if;
    with claimed (content) as (
        select r.document from nexus.source_record r where r.tenant_id = $1 and r.birth_id = any (people)
        union all
        select v.payload from nexus.domain_event v where v.tenant_id = $1 and v.entity_id = any (people || $2)
    )
    select nexus._personal_addresses(coalesce(array_agg(distinct c.content ->> 'email') filter (where c.content ->> 'email' is not null), '{}')),
           coalesce(array_agg(distinct p.phone) filter (where p.phone is not null), '{}')
    into addresses, phones
    from claimed c cross join lateral (
        select c.content ->> 'phone' union all
        select a ->> 'phone' from jsonb_array_elements(
            case jsonb_typeof(c.content -> 'addresses') when 'array' then c.content -> 'addresses' else '[]' end) a
    ) p (phone);

    -- An order that names the address and no customer who is known is theirs too.
    select array_agg(r.birth_id) into orders
    from nexus.source_record r
    where r.tenant_id = $1 and r.entity_id = any (array(
        select o.sales_order_id from nexus.sales_order o
        where o.tenant_id = $1 and o.customer_id = any (nexus._former_entities($1, people)) and o.customer_birth_id = any (people)
        union
        select o.sales_order_id from nexus.sales_order o
        where o.tenant_id = $1 and o.email_key = any (addresses)
          and not exists (select from nexus.source_record c where c.tenant_id = $1 and c.birth_id = o.customer_birth_id)));
    with former as (
        select nexus._former_entities($1, orders) as ids
    ), belonging as (
        select f.fulfillment_id as id from nexus.fulfillment f
        where f.tenant_id = $1 and f.sales_order_id = any (array(select unnest(ids) from former)) and f.sales_order_birth_id = any (orders)
        union select f.refund_id from nexus.refund f
        where f.tenant_id = $1 and f.sales_order_id = any (array(select unnest(ids) from former)) and f.sales_order_birth_id = any (orders)
        union select p.payment_id from nexus.payment p
        where p.tenant_id = $1 and p.sales_order_id = any (array(select unnest(ids) from former)) and p.sales_order_birth_id = any (orders)
    )
    select people || coalesce(orders, '{}') || array_agg(r.birth_id) into records from nexus.source_record r
    where r.tenant_id = $1 and r.entity_id = any (array(select b.id from belonging b));
    entities := nexus._former_entities($1, records);
    events := nexus._events_about($1, records, addresses, phones, '00000000-0000-0000-0000-000000000000');

    -- Records and golden rows; later claims of what was erased are never joined.
    perform nexus._erase_records($1, records, (extract(epoch from now()) * 1000000)::bigint);
    counted := jsonb_build_object('source_records', cardinality(records));
    delete from nexus.fetch_request f where f.tenant_id = $1 and f.fetch_request_id = any (records);

    -- What they were told and brought together by. The records are locked: nobody adds to it.
    delete from nexus.identity_key k where k.tenant_id = $1 and k.birth_id = any (people);
    delete from nexus.merge_candidate c where c.tenant_id = $1 and (c.a = any (records) or c.b = any (records));
    update nexus.entity_change c set because = '[]'
    where c.tenant_id = $1 and c.because <> '[]'
      and (c.birth_id = any (records)
           or exists (select from jsonb_array_elements(c.because) b
                      where (b ->> 'a')::uuid = any (records) or (b ->> 'b')::uuid = any (records)));

    events := array(select unnest(events) union select unnest(nexus._events_about($1, records, addresses, phones, lately)));
    update nexus.event e set
        body = '', headers = '{}', erased_at = now(),
        reason = case when e.reason is null then null else 'erased' end,
        outcome = case when e.outcome is null then null else jsonb_set(e.outcome - 'fetch', '{documents}', coalesce((
            select jsonb_agg(case when d ->> 'external_id' like '%@%'
                             then jsonb_set(d, '{external_id}', '"erased"') else d end)
            from jsonb_array_elements(e.outcome -> 'documents') d), '[]')) end
    where e.tenant_id = $1 and e.event_id = any (events);
    get diagnostics affected = row_count;
    counted := counted || jsonb_build_object('events', affected);

    -- Of an event that tells of several, what it made of others stays, unless it names them.
    select array_agg(v.domain_event_id), array_agg(v.trace_id) into outbox, traces from nexus.domain_event v
    where v.tenant_id = $1
      and (v.entity_id = any (entities)
           or v.event_id = any (events) and (v.entity_id is null or nexus._is_mentioned(
                  '{}', convert_to(v.payload::text, 'UTF8'), addresses, '{}')));
    update nexus.domain_event v set payload = jsonb_build_object('is_erased', true)
    where v.tenant_id = $1 and v.domain_event_id = any (outbox);
    get diagnostics affected = row_count;
    counted := counted || jsonb_build_object('domain_events', affected);

    select array_agg(j.job_id), traces || array_agg(j.trace_id) into jobs, traces from nexus.job j
    where j.tenant_id = $1
      and (j.birth_id = any (records)
           or j.event_id = any (events) and nexus._is_mentioned(
                  '{}', convert_to(j.normalized_payload::text, 'UTF8'), addresses, '{}'));
    update nexus.job j set normalized_payload = jsonb_build_object('is_erased', true), result = null, error = null
    where j.tenant_id = $1 and j.job_id = any (jobs);
    get diagnostics affected = row_count;
    counted := counted || jsonb_build_object('jobs', affected);

    -- By their traces, which have an index.
    update nexus.webhook_delivery_log l set response_body = null, response_headers = null, request_sha256 = null, error = null
    where l.tenant_id = $1 and l.trace_id = any (traces) and (l.job_id = any (jobs) or l.domain_event_id = any (outbox));
    get diagnostics affected = row_count;
    counted := counted || jsonb_build_object('attempts', affected);

    perform nexus._audit($1, their_environment_id, 'customer.erased', 'customer', $2, counted);
    return counted;
end;
$$;
comment on function nexus.erase_customer(uuid, uuid) is
    'Takes a person out of events, records, golden rows, payloads and logs, for good; how many rows of each. Amounts, lines and ids stay.';

-- Where rows may still say that these records belong.
create function nexus._former_entities(tenant_id uuid, birth_ids uuid[]) returns uuid[]
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return array(
        select unnest($2)
        union select r.entity_id from nexus.source_record r where r.tenant_id = $1 and r.birth_id = any ($2)
        union select c.old_entity_id from nexus.entity_change c where c.tenant_id = $1 and c.birth_id = any ($2));
end;
$$;
comment on function nexus._former_entities(uuid, uuid[]) is 'The entities that these records contribute to, and those that they ever did.';

-- Events that made these records or name one of the addresses, and those that made no record and name a number, which may
-- be a household's: in others' records it is theirs.
create function nexus._events_about(tenant_id uuid, records uuid[], addresses text[], phones text[], since uuid) returns uuid[]
language plpgsql stable
set search_path to pg_catalog, nexus, pg_temp
as $$
begin
    return array(
        select e.event_id from nexus.event e
        where e.tenant_id = $1 and e.event_id >= since
          and (exists (select from jsonb_array_elements(e.outcome -> 'documents') d
                       where nexus.birth_id($1, e.environment_id, e.connector_id, d ->> 'kind', d ->> 'external_id') = any (records))
               or nexus._is_mentioned(e.headers, e.body, addresses, case e.status when 'accepted' then '{}' else phones end)));
end;
$$;
comment on function nexus._events_about(uuid, uuid[], text[], text[], uuid) is
    'The events, from that one on, that made these records or name one of the addresses or, if they made no record, numbers.';
