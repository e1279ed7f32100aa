-- What came in: events, the ledger that tells duplicates, each source's records, and the log.
--
-- An index on an id that we make, by which what refers to it is found, does not begin with the tenant, here and in the
-- migrations that follow: such an id names one tenant's thing. Without it an entry takes 16 bytes less, and the planner
-- cannot take the index for one of all of a tenant's rows (docs/adr/0009-indexes-of-ids.md).

create table nexus.event (
    tenant_id        uuid not null,
    event_id         uuid not null,
    environment_id   uuid not null,
    connector_id     uuid not null,
    connector_type   text not null,
    manifest_version integer not null,
    topic            text,
    status           text not null,
    reason_code      text,
    reason           text,
    outcome          jsonb,
    trace_id         text not null,
    parent_span_id   text,
    delivery_key     text,
    emitted_at       timestamptz,
    received_at      timestamptz not null,
    is_verified      boolean not null,
    erased_at        timestamptz,
    headers          jsonb not null,
    body             bytea compression lz4 not null,
    primary key (tenant_id, event_id),
    constraint event_status_known check (status in ('accepted', 'ignored', 'quarantined')),
    constraint event_reason_given check ((status = 'accepted') = (reason is null)),
    constraint event_trace_id_form check (trace_id ~ '^[0-9a-f]{32}$')
) partition by range (event_id);
comment on table nexus.event is
    'Every authentic request as it was received, byte for byte, once. Partitioned by the time in event_id.';
comment on column nexus.event.status is
    'accepted: became documents; ignored: nothing to do, see reason; quarantined: kept until its mapping is mended.';
comment on column nexus.event.is_verified is 'A gateway checked the platform''s signature; false: taken in by SQL, under the caller''s own rights.';
comment on column nexus.event.erased_at is 'When body and headers were taken out, or not kept, because a person asked to be forgotten.';
comment on column nexus.event.outcome is
    'What came of it: {"documents": [{"kind", "external_id", "entity_id", "result"}], "no_job": why}; result is created, changed, unchanged, stale or deleted.';
comment on column nexus.event.delivery_key is 'The platform''s own id of the delivery, where it has one.';
comment on column nexus.event.emitted_at is 'When the platform says it sent it.';
create index event_trace_id_idx on nexus.event (tenant_id, trace_id);
create index event_connector_id_idx on nexus.event (tenant_id, connector_id, event_id);
-- What was not accepted is what people ask for, and so little that it costs nothing to keep it apart.
create index event_unaccepted_idx on nexus.event (tenant_id, event_id) where status <> 'accepted';

create table nexus.idempotency_key (
    tenant_id     uuid not null,
    connector_id  uuid not null,
    key_sha256    bytea not null,
    event_id      uuid not null,
    first_seen_at timestamptz not null,
    primary key (tenant_id, connector_id, key_sha256)
);
comment on table nexus.idempotency_key is
    'The ledger of deliveries seen. Apart from nexus.event, so that it outlives the events'' retention.';

-- Rows come in the order of time, so that the little index finds those that are old enough to go.
create index idempotency_key_first_seen_at_idx on nexus.idempotency_key using brin (first_seen_at);

create table nexus.source_record (
    tenant_id           uuid not null,
    birth_id            uuid not null,
    source_record_id    uuid generated always as (birth_id) stored,
    environment_id      uuid not null,
    connector_id        uuid not null,
    kind                text not null,
    external_id         text not null,
    entity_id           uuid not null,
    has_siblings        boolean not null,
    document            jsonb compression lz4 not null,
    source_time         timestamptz not null,
    observed_at         timestamptz not null,
    generation          integer not null,
    event_id            uuid not null,
    manifest_version    integer not null,
    group_stamps        jsonb,
    tombstone           jsonb,
    is_deleted          boolean not null,
    created_at          timestamptz not null,
    updated_at          timestamptz not null,
    constraint source_record_external_id_length check (length(external_id) between 1 and 255)
) with (fillfactor = 85);
comment on table nexus.source_record is
    'What each source says of each of its records: the join of all its claims, whatever order they came in.';
comment on column nexus.source_record.birth_id is
    'UUIDv5 of tenant, environment, connector, kind and external id: known before the record is, and for ever.';
comment on column nexus.source_record.source_record_id is 'The same as birth_id, under the name every table''s key has.';
comment on column nexus.source_record.entity_id is 'The golden row this record contributes to: <kind>_id in the table of its kind.';
comment on column nexus.source_record.has_siblings is 'Other records contribute to the same golden row.';
comment on column nexus.source_record.document is 'The canonical document as this source claims it. Amounts are strings, digit for digit.';
comment on column nexus.source_record.source_time is
    'When the source says it last changed, no later than observed_at + 5 minutes; the first part of the version.';
comment on column nexus.source_record.observed_at is 'When we, or the platform sending it, saw that claim; the second part of the version.';
comment on column nexus.source_record.generation is
    'Which reading of the connector''s events the latest claim comes from; see nexus.reprocess.';
comment on column nexus.source_record.group_stamps is
    'Where field groups come from whose claim is not the latest one: {"group": [generation, source_time, observed_at, event_id, manifest_version]}, times in microseconds since 1970.';
comment on column nexus.source_record.tombstone is 'The latest delete, in the form of a group''s stamp.';
comment on column nexus.source_record.is_deleted is 'The latest claim of this source is that the record is gone.';
comment on column nexus.source_record.event_id is 'The event that carried the latest claim: where the values come from that group_stamps does not name.';
create index source_record_entity_id_idx on nexus.source_record (entity_id);
-- Last, because of indexes that look equally cheap, as all do while a table is empty, the planner takes the newest.
alter table nexus.source_record add primary key (tenant_id, birth_id);

create table nexus.fetch_request (
    tenant_id        uuid not null,
    fetch_request_id uuid not null,
    environment_id   uuid not null,
    connector_id     uuid not null,
    kind             text not null,
    external_id      text not null,
    event_id         uuid not null,
    requested_at     timestamptz not null,
    primary key (tenant_id, fetch_request_id)
);
comment on table nexus.fetch_request is
    'Records that a payload named without saying what is in them: to be fetched from their source. One row a record.';
comment on column nexus.fetch_request.fetch_request_id is 'The birth_id of the record to be fetched.';
comment on column nexus.fetch_request.event_id is 'The event that asked for it last.';

create table nexus.reprocessing (
    tenant_id        uuid not null,
    reprocessing_id  uuid not null,
    environment_id   uuid not null,
    connector_id     uuid not null,
    generation       integer not null,
    manifest_version integer not null,
    first_event_id   uuid not null,
    next_event_id    uuid not null,
    next_birth_id    uuid,
    events           bigint not null default 0,
    quarantined      bigint not null default 0,
    entities         bigint not null default 0,
    actor            text not null,
    started_at       timestamptz not null default now(),
    finished_at      timestamptz,
    is_superseded    boolean not null default false,
    primary key (tenant_id, reprocessing_id)
);
comment on table nexus.reprocessing is
    'Readings of a connector''s events with the mapping as it is now, from the newest to the oldest, and how far each has come.';
comment on column nexus.reprocessing.generation is 'The claims of this reading bear it, and stand above those of any before.';
comment on column nexus.reprocessing.first_event_id is 'The oldest event to be read: the least id, or that of the time asked for.';
comment on column nexus.reprocessing.next_event_id is 'Events from here on have been read; those before are next.';
comment on column nexus.reprocessing.next_birth_id is
    'Once all events have been read: records up to here have lost what only an earlier reading claimed.';
comment on column nexus.reprocessing.is_superseded is 'Another reading began, with another mapping, before this one had ended.';
create unique index reprocessing_open_idx on nexus.reprocessing (tenant_id, connector_id) where finished_at is null;

create table nexus.source_record_alias (
    tenant_id uuid not null,
    alias_id  uuid not null,
    birth_id  uuid
);
comment on table nexus.source_record_alias is
    'Other ids under which a source refers to its record, such as a variant''s inventory item. alias_id is derived like birth_id; birth_id is null while something refers to an alias that no record has claimed.';
-- What refers to a record by an alias of it follows when the record moves to another entity.
create index source_record_alias_birth_id_idx on nexus.source_record_alias (birth_id);
-- Last, as source_record's is.
alter table nexus.source_record_alias add primary key (tenant_id, alias_id);

create table nexus.activity_log (
    tenant_id       uuid not null,
    activity_log_id uuid not null,
    environment_id  uuid,
    at              timestamptz not null default now(),
    actor           text not null default session_user,
    stage           text,
    action          text not null,
    trace_id        text,
    event_id        uuid,
    object_kind     text,
    object_id       uuid,
    detail          jsonb not null default '{}',
    primary key (tenant_id, activity_log_id)
) partition by range (activity_log_id);
comment on table nexus.activity_log is
    'Who changed what configuration, and what happened to input that left no row of its own (a duplicate, a callback).';
create index activity_log_trace_id_idx on nexus.activity_log (tenant_id, trace_id) where trace_id is not null;
create index activity_log_event_id_idx on nexus.activity_log (tenant_id, event_id) where event_id is not null;
