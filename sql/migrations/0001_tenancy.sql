-- Tenants, their environments, and what opens doors: keys, data keys and sealed secrets.

comment on table nexus.schema_migration is 'The migrations applied, by name.';

create table nexus.tenant (
    tenant_id    uuid primary key,
    slug         text not null,
    name         text not null,
    is_active    boolean not null default true,
    created_at   timestamptz not null default now(),
    outbox_floor text,
    constraint tenant_slug_form check (slug ~ '^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$')
);
comment on table nexus.tenant is 'A customer of the platform. Nothing of one tenant is visible to another.';
comment on column nexus.tenant.slug is 'Short name for URLs and commands, unique over all tenants; see tenant_slug.';
comment on column nexus.tenant.outbox_floor is
    'The cursor of the last domain event that retention took: who stands before it has missed something.';
comment on column nexus.tenant.is_active is 'False stops ingest, delivery and keys of this tenant; its data stays.';

-- A global table, because uniqueness over all tenants cannot be a constraint of a table that shards by tenant.
create table nexus.tenant_slug (
    slug      text primary key,
    tenant_id uuid not null
);
comment on table nexus.tenant_slug is 'Which tenant holds a slug. Not readable by tenants: it would tell who else is here.';

create table nexus.environment (
    tenant_id        uuid not null references nexus.tenant,
    environment_id   uuid not null,
    name             text not null,
    created_at       timestamptz not null default now(),
    primary key (tenant_id, environment_id),
    constraint environment_name_known check (name in ('dev', 'test', 'prod')),
    constraint environment_name_once unique (tenant_id, name)
);
comment on table nexus.environment is 'dev, test and prod of a tenant. Identity and data never cross them.';

create table nexus.api_key (
    tenant_id      uuid not null,
    api_key_id     uuid not null,
    environment_id uuid not null,
    name           text not null,
    key_prefix     text not null,
    key_sha256     bytea not null,
    scopes         text[] not null,
    created_at     timestamptz not null default now(),
    expires_at     timestamptz,
    revoked_at     timestamptz,
    last_used_at   timestamptz,
    primary key (tenant_id, api_key_id),
    foreign key (tenant_id, environment_id) references nexus.environment,
    constraint api_key_sha256_length check (length(key_sha256) = 32),
    constraint api_key_scopes_known check (scopes <@ array['read', 'write', 'admin'] and scopes <> '{}')
);
comment on table nexus.api_key is 'REST keys. Only the SHA-256 of a key is kept; the key is shown once.';
comment on column nexus.api_key.key_prefix is 'The first characters of the key, to recognise it by.';

create table nexus.platform_key (
    platform_key_id uuid primary key,
    name            text not null,
    key_prefix      text not null,
    key_sha256      bytea not null,
    created_at      timestamptz not null default now(),
    expires_at      timestamptz,
    revoked_at      timestamptz,
    constraint platform_key_sha256_length check (length(key_sha256) = 32)
);
comment on table nexus.platform_key is 'Keys of the platform''s operators: they act on tenants, not within one.';

create table nexus.tenant_data_key (
    tenant_id          uuid not null references nexus.tenant,
    tenant_data_key_id uuid not null,
    wrapped_key        bytea not null,
    master_key_id      text not null,
    created_at         timestamptz not null default now(),
    primary key (tenant_id, tenant_data_key_id)
);
comment on table nexus.tenant_data_key is
    'Data keys that seal a tenant''s secrets, each wrapped by a master key that only gateways hold.';

create table nexus.secret (
    tenant_id          uuid not null,
    secret_id          uuid not null,
    environment_id     uuid not null,
    owner_kind         text not null,
    owner_id           uuid not null,
    name               text not null,
    tenant_data_key_id uuid not null,
    sealed             bytea not null,
    valid_until        timestamptz,
    created_at         timestamptz not null default now(),
    primary key (tenant_id, secret_id),
    foreign key (tenant_id, environment_id) references nexus.environment,
    foreign key (tenant_id, tenant_data_key_id) references nexus.tenant_data_key,
    constraint secret_owner_known check (owner_kind in ('connector', 'flow', 'webhook_subscription', 'tenant'))
);
comment on table nexus.secret is
    'Sealed secrets (AES-256-GCM). No SQL role can open one: the key to the keys is outside the database.';
comment on column nexus.secret.valid_until is 'End of a rotation''s overlap; null while the secret is the current one.';
create index secret_owner_id_idx on nexus.secret (tenant_id, owner_id);
