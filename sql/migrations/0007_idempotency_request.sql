-- Writes over REST that may be sent again: what came of the first.

create table nexus.idempotency_request (
    tenant_id       uuid not null,
    environment_id  uuid not null,
    idempotency_key text not null,
    request_sha256  bytea not null,
    started_at      timestamptz not null default now(),
    status          smallint,
    answer          bytea,
    primary key (tenant_id, environment_id, idempotency_key),
    constraint idempotency_request_sha256_length check (length(request_sha256) = 32),
    constraint idempotency_request_answered check ((status is null) = (answer is null))
);
comment on table nexus.idempotency_request is
    'Writes that came with an Idempotency-Key, for 24 hours. The platform''s own stand under the nil tenant.';
comment on column nexus.idempotency_request.request_sha256 is 'Of method, path and body: another request under the key is refused.';
comment on column nexus.idempotency_request.status is 'The answer''s HTTP status; null while the first is under way.';
comment on column nexus.idempotency_request.answer is
    'The answer''s body, sealed under the tenant''s data key: it may show a secret once, and twice would be in the clear here.';
create index idempotency_request_started_at_idx on nexus.idempotency_request (started_at);
