-- What a tenant has set up: connectors, flows and subscriptions.

create table nexus.connector_type (
    connector_type  text not null,
    version         integer not null,
    manifest        jsonb not null,
    manifest_sha256 bytea not null,
    is_current      boolean not null,
    is_built_in     boolean not null,
    registered_at   timestamptz not null default now(),
    primary key (connector_type, version)
);
comment on table nexus.connector_type is
    'Manifests by platform and version. The current one serves every connector that pins none.';
comment on column nexus.connector_type.is_built_in is
    'It came with Nexus. A newer one of these becomes current by itself only while no other one is.';
create unique index connector_type_current_idx on nexus.connector_type (connector_type) where is_current;

create table nexus.setting (
    setting_id    text primary key,
    value         jsonb,
    default_value jsonb not null,
    description   text not null,
    updated_at    timestamptz,
    updated_by    text
);
comment on table nexus.setting is
    'Settings of the platform: what applies to every tenant. A connector''s and a flow''s own stand with these; nexus.effective_settings shows all three.';
comment on column nexus.setting.setting_id is 'The setting''s name.';
comment on column nexus.setting.value is 'What nexus.set_setting has set; null: the default.';

create table nexus.connector (
    tenant_id      uuid not null,
    connector_id   uuid not null,
    environment_id uuid not null,
    connector_type text not null,
    pinned_version integer,
    name           text not null,
    settings       jsonb not null default '{}',
    identity       jsonb not null default '{}',
    generation     integer not null default 0,
    is_active      boolean not null default true,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    primary key (tenant_id, connector_id),
    foreign key (tenant_id, environment_id) references nexus.environment,
    constraint connector_name_once unique (tenant_id, environment_id, name),
    constraint connector_settings_object check (jsonb_typeof(settings) = 'object')
);
comment on table nexus.connector is 'One connected shop, marketplace or ERP. Its secrets are in nexus.secret.';
comment on column nexus.connector.pinned_version is 'The manifest version to stay on; null follows the current one.';
comment on column nexus.connector.identity is
    'What its identifiers mean beside other sources: sku_namespace, order_number_prefixes, references; see docs/identity.md.';
comment on column nexus.connector.generation is
    'How often its events have been read anew. Claims of a later reading stand above those of an earlier one.';
comment on column nexus.connector.settings is 'Settings the manifest asks for, such as time_zone. Never secrets.';

create table nexus.flow (
    tenant_id      uuid not null,
    flow_id        uuid not null,
    environment_id uuid not null,
    name           text not null,
    definition     jsonb not null,
    is_active      boolean not null default true,
    created_at     timestamptz not null default now(),
    updated_at     timestamptz not null default now(),
    primary key (tenant_id, flow_id),
    foreign key (tenant_id, environment_id) references nexus.environment,
    constraint flow_name_once unique (tenant_id, environment_id, name)
);
comment on table nexus.flow is 'What to do when a source record changes: a job for an execution URL.';
comment on column nexus.flow.definition is
    'kinds, topics and connector_ids it listens to, execution_url, retry policy; see docs/flows.md.';

create table nexus.webhook_subscription (
    tenant_id               uuid not null,
    webhook_subscription_id uuid not null,
    environment_id          uuid not null,
    url                     text not null,
    event_types             text[] not null,
    description             text,
    headers                 jsonb not null default '{}',
    filter                  jsonb,
    payload_version         integer not null default 1,
    ordering                text not null default 'none',
    retry                   jsonb,
    rate_limit              integer,
    envelope                text not null default 'nexus',
    signature               text not null default 'v1',
    status                  text not null default 'active',
    disabled_reason         text,
    failing_since           timestamptz,
    last_failed_at          timestamptz,
    created_at              timestamptz not null default now(),
    updated_at              timestamptz not null default now(),
    primary key (tenant_id, webhook_subscription_id),
    foreign key (tenant_id, environment_id) references nexus.environment,
    constraint webhook_subscription_event_types_some check (event_types <> '{}'),
    constraint webhook_subscription_headers_object check (jsonb_typeof(headers) = 'object'),
    constraint webhook_subscription_payload_version_known check (payload_version = 1),
    constraint webhook_subscription_ordering_known check (ordering in ('none', 'entity')),
    constraint webhook_subscription_rate_limit_positive check (rate_limit > 0),
    constraint webhook_subscription_envelope_known check
        (envelope in ('nexus', 'cloudevents-structured', 'cloudevents-binary')),
    constraint webhook_subscription_signature_known check (signature in ('v1', 'v1a')),
    constraint webhook_subscription_status_known check (status in ('active', 'paused', 'disabled')),
    constraint webhook_subscription_failed_since_and_last check ((failing_since is null) = (last_failed_at is null)),
    constraint webhook_subscription_disabled_why check ((status = 'disabled') = (disabled_reason is not null))
);
comment on table nexus.webhook_subscription is 'Who wants which domain events, and where.';
comment on column nexus.webhook_subscription.event_types is 'Types such as order.created, or patterns such as order.* or *.';
comment on column nexus.webhook_subscription.headers is 'Headers that its requests carry beside our own. Never secrets.';
comment on column nexus.webhook_subscription.filter is
    'A condition of the mapping language that an event must meet: over its data, type, changed and entity_version. Null: all events.';
comment on column nexus.webhook_subscription.payload_version is 'The version of the payload''s shape: schema_version of the envelope.';
comment on column nexus.webhook_subscription.ordering is
    'entity: an entity''s deliveries go out one after the other, in the order of its versions; none: when they are due.';
comment on column nexus.webhook_subscription.retry is
    'delays_seconds between attempts, as in a flow; null: the schedule of Standard Webhooks.';
comment on column nexus.webhook_subscription.rate_limit is 'Deliveries a second that each gateway makes at most; null: no limit.';
comment on column nexus.webhook_subscription.envelope is
    'The form of a request: nexus, or CloudEvents 1.0 (cloudevents-structured, cloudevents-binary).';
comment on column nexus.webhook_subscription.signature is
    'How a request is signed by Standard Webhooks: v1, HMAC-SHA256 under a shared secret, or v1a, ed25519.';
comment on column nexus.webhook_subscription.failing_since is
    'The first of the failed attempts since the last success that follow each other within 36 hours; null while it works. Five days of them disable the subscription.';
comment on column nexus.webhook_subscription.last_failed_at is 'The last of them.';
