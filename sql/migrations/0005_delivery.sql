-- What goes out: the outbox, jobs, the queue of deliveries and the log of attempts.

create table nexus.outbox_epoch (
    epoch             integer primary key,
    system_identifier bigint not null,
    timeline          integer not null,
    began_at          timestamptz not null default now(),
    accepted_at       timestamptz
);
comment on table nexus.outbox_epoch is
    'Rises when the outbox stands on another cluster or timeline than before, where transaction ids start anew.';
comment on column nexus.outbox_epoch.accepted_at is
    'Since when dispatchers may send: what stands in the queue may have been sent before a restore, so an operator says so.';

create table nexus.domain_event (
    tenant_id       uuid not null,
    domain_event_id uuid not null,
    environment_id  uuid not null,
    epoch           integer not null,
    xact_id         xid8 not null default pg_current_xact_id(),
    event_type      text not null,
    schema_version  integer not null default 1,
    dedupe_key      text not null,
    entity_kind     text,
    entity_id       uuid,
    entity_version  bigint,
    changed         text[] not null default '{}',
    payload         jsonb compression lz4 not null,
    trace_id        text not null,
    event_id        uuid,
    created_at      timestamptz not null,
    primary key (tenant_id, domain_event_id)
) partition by range (domain_event_id);
comment on table nexus.domain_event is
    'The outbox: one row for every real change of a golden entity, written in the transaction that made it.';
comment on column nexus.domain_event.xact_id is 'With epoch and domain_event_id its position; see nexus.read_domain_events.';
comment on column nexus.domain_event.dedupe_key is 'The same for the same change, also in a replay.';
comment on column nexus.domain_event.event_id is 'The inbound event that caused it.';
create index domain_event_position_idx on nexus.domain_event (tenant_id, epoch, xact_id, domain_event_id);
create index domain_event_entity_id_idx on nexus.domain_event (entity_id, entity_version) where entity_id is not null;
-- Of a trace: by the inbound event, which has it, and only what none caused by the trace itself. Ids of events rise.
create index domain_event_event_id_idx on nexus.domain_event (event_id) where event_id is not null;
create index domain_event_trace_id_idx on nexus.domain_event (tenant_id, trace_id) where event_id is null;

create table nexus.job (
    tenant_id          uuid not null,
    job_id             uuid not null,
    environment_id     uuid not null,
    flow_id            uuid not null,
    event_id           uuid not null,
    trace_id           text not null,
    entity_kind        text not null,
    entity_id          uuid not null,
    birth_id           uuid not null,
    normalized_payload jsonb compression lz4 not null,
    status             text not null default 'pending',
    attempt            integer not null default 0,
    result             jsonb,
    error_code         text,
    error              text,
    created_at         timestamptz not null,
    updated_at         timestamptz not null,
    finished_at        timestamptz,
    primary key (tenant_id, job_id),
    constraint job_status_known check (status in ('pending', 'dispatched', 'awaiting_callback', 'retry',
                                                  'succeeded', 'failed', 'dead', 'cancelled')),
    constraint job_finished_when_ended check
        ((status in ('succeeded', 'failed', 'dead', 'cancelled')) = (finished_at is not null)),
    constraint job_attempted_before_outcome check (attempt > 0 or status in ('pending', 'cancelled'))
) with (fillfactor = 85);
comment on table nexus.job is 'One execution of a flow for one changed record; docs/state-machine.md draws its states.';
comment on column nexus.job.normalized_payload is 'The joined source record at the time of the event, so that a stale event never regresses a destination.';
comment on column nexus.job.attempt is 'The number of the latest attempt; 0 before the first.';
create index job_event_id_idx on nexus.job (event_id);
create index job_ended_badly_idx on nexus.job (tenant_id, environment_id, job_id) where status in ('failed', 'dead');

create table nexus.delivery (
    tenant_id        uuid not null,
    delivery_id      uuid not null,
    environment_id   uuid not null,
    kind             text not null,
    destination_id   uuid not null,
    job_id           uuid,
    domain_event_id  uuid,
    attempt          integer not null default 0,
    former_attempts  integer not null default 0,
    ordering_key     uuid,
    ordering_version bigint,
    due_at           timestamptz not null,
    leased_until     timestamptz,
    leased_by        text,
    created_at       timestamptz not null,
    constraint delivery_ordering_whole check ((ordering_key is null) = (ordering_version is null)),
    constraint delivery_of_one_thing check
        ((kind = 'job' and job_id is not null and domain_event_id is null)
      or (kind = 'webhook' and domain_event_id is not null and job_id is null)),
    constraint delivery_lease_whole check ((leased_until is null) = (leased_by is null))
) with (fillfactor = 42); -- Room for each row's lease beside it, also while an open snapshot lets nothing be removed.
comment on table nexus.delivery is 'The queue: only live work. A row goes when its delivery has ended. What it carries, and in which trace, its job or domain event says.';
comment on column nexus.delivery.destination_id is 'The flow (job) or the webhook subscription it is for.';
comment on column nexus.delivery.ordering_key is 'The entity within which the deliveries to a destination go out one after the other; null: in no order.';
comment on column nexus.delivery.ordering_version is 'Its place among them: the version of the entity that it tells of.';
comment on column nexus.delivery.due_at is
    'Infinity while it waits: for its subscription to be resumed, or for the delivery before it in its order to end.';
comment on column nexus.delivery.attempt is 'Attempts begun so far; of a job that was retried by hand, also those of its deliveries before.';
comment on column nexus.delivery.former_attempts is 'Attempts of the deliveries before: the retry policy does not count them.';
comment on column nexus.delivery.leased_until is 'Until then a dispatcher works on it; afterwards any may take it. Not indexed: a claim stays a HOT update.';
create index delivery_destination_id_idx on nexus.delivery (tenant_id, destination_id, due_at, delivery_id);
create index delivery_ordering_key_idx on nexus.delivery
    (tenant_id, destination_id, ordering_key, ordering_version, domain_event_id, delivery_id) where ordering_key is not null;
create index delivery_job_id_idx on nexus.delivery (job_id) where job_id is not null;
-- Last, as source_record's is: a queue is empty most of the time, and when statistics are taken.
alter table nexus.delivery add primary key (tenant_id, delivery_id);

create table nexus.webhook_delivery_log (
    tenant_id               uuid not null,
    webhook_delivery_log_id uuid not null,
    environment_id          uuid not null,
    delivery_id             uuid not null,
    kind                    text not null,
    destination_id          uuid not null,
    job_id                  uuid,
    domain_event_id         uuid,
    trace_id                text not null,
    attempt                 integer not null,
    outcome                 text not null,
    url                     text,
    status_code             integer,
    latency_ms              integer,
    error_class             text,
    error                   text,
    request_headers         jsonb,
    request_bytes           integer,
    request_sha256          bytea,
    response_headers        jsonb,
    response_body           text compression lz4,
    next_attempt_at         timestamptz,
    attempted_at            timestamptz not null,
    primary key (tenant_id, webhook_delivery_log_id),
    constraint webhook_delivery_log_outcome_known check
        (outcome in ('succeeded', 'awaiting_callback', 'retry', 'dead')),
    constraint webhook_delivery_log_retry_when check ((outcome = 'retry') = (next_attempt_at is not null))
) partition by range (webhook_delivery_log_id);
comment on table nexus.webhook_delivery_log is
    'One row per attempt of a job, a webhook or a test: what was sent, what came back, how long it took, what is next.';
comment on column nexus.webhook_delivery_log.kind is 'job, webhook or test; a test is of no event, and is queued nowhere.';
comment on column nexus.webhook_delivery_log.request_headers is
    'As they were sent, or were to be; of each signature only the beginning, so that the log is not enough to send a request again.';
comment on column nexus.webhook_delivery_log.request_bytes is 'The body''s length. The body itself is made of the domain event or job, and not kept twice.';
comment on column nexus.webhook_delivery_log.request_sha256 is 'The body''s SHA-256: whether something is what was sent.';
comment on column nexus.webhook_delivery_log.response_headers is 'At most the first 8192 characters, without Set-Cookie.';
comment on column nexus.webhook_delivery_log.response_body is 'At most the first 4096 characters, callback tokens masked.';
comment on column nexus.webhook_delivery_log.error_class is 'dns, connect, tls, timeout, http, ssrf, callback_timeout or configuration; null when it succeeded.';
create index webhook_delivery_log_delivery_id_idx on nexus.webhook_delivery_log (delivery_id);
create index webhook_delivery_log_trace_id_idx on nexus.webhook_delivery_log (tenant_id, trace_id);
create index webhook_delivery_log_destination_id_idx on nexus.webhook_delivery_log (tenant_id, destination_id, webhook_delivery_log_id);
