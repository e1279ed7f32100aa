-- Which records are one thing: their keys, what people say, how entities came about, and what to ask people.

create table nexus.identity_key (
    tenant_id      uuid not null,
    environment_id uuid not null,
    kind           text not null,
    key_type       text not null,
    key_value      text not null,
    birth_id       uuid not null,
    is_live        boolean not null
);
comment on table nexus.identity_key is
    'Identity keys of source records in normal form. Records that share one are the same entity, or a candidate for it; see docs/identity.md.';
comment on column nexus.identity_key.is_live is 'The source still has the record.';
create index identity_key_birth_id_idx on nexus.identity_key (birth_id);
-- Live holders stand together, and so do deleted ones: whoever wants some of either reads no others.
-- Last, as source_record's is.
alter table nexus.identity_key add primary key (tenant_id, environment_id, kind, key_type, key_value, is_live, birth_id);

create table nexus.entity_link (
    tenant_id      uuid not null,
    entity_link_id uuid not null,
    environment_id uuid not null,
    kind           text not null,
    a              uuid not null,
    b              uuid not null,
    link           text not null,
    reason         text not null,
    actor          text not null,
    created_at     timestamptz not null default now(),
    primary key (tenant_id, entity_link_id),
    constraint entity_link_known check (link in ('must', 'cannot')),
    constraint entity_link_sorted check (a < b),
    constraint entity_link_once unique (tenant_id, a, b)
);
comment on table nexus.entity_link is
    'What people said of two source records: that they are the same (must), or are not (cannot). Of one pair the last word counts.';
comment on column nexus.entity_link.a is 'The birth_id of the record with the lesser one.';
create index entity_link_b_idx on nexus.entity_link (tenant_id, b);

create table nexus.entity_change (
    tenant_id          uuid not null,
    entity_change_id   uuid not null,
    environment_id     uuid not null,
    kind               text not null,
    birth_id           uuid not null,
    old_entity_id      uuid not null,
    new_entity_id      uuid not null,
    old_entity_version bigint,
    because            jsonb not null,
    actor              text not null,
    event_id           uuid,
    changed_at         timestamptz not null default now(),
    is_settled         boolean not null default true,
    primary key (tenant_id, entity_change_id)
);
comment on table nexus.entity_change is 'Every time a source record came to contribute to another entity than before.';
comment on column nexus.entity_change.old_entity_version is
    'The version that the old entity ended with, where no record contributes to it any more: should it come back, it goes on from there.';
comment on column nexus.entity_change.because is
    'What joins the record to its entity now: {"a", "b", "key_type", "key_value"} each, or {"a", "b", "link": "must"}; empty where it stands alone.';
comment on column nexus.entity_change.event_id is 'The event whose claims led to it; null where a person did.';
comment on column nexus.entity_change.is_settled is
    'Everything that refers to the record follows it. Until then nexus.follow_moves goes on, and only …_birth_id tells.';
create index entity_change_birth_id_idx on nexus.entity_change (tenant_id, birth_id, entity_change_id);
create index entity_change_old_entity_id_idx on nexus.entity_change (tenant_id, old_entity_id);
create index entity_change_unsettled_idx on nexus.entity_change (tenant_id, entity_change_id) where not is_settled;

create table nexus.merge_candidate (
    tenant_id          uuid not null,
    merge_candidate_id uuid not null,
    environment_id     uuid not null,
    kind               text not null,
    a                  uuid not null,
    b                  uuid not null,
    score              numeric(3, 2) not null,
    reasons            text[] not null,
    found_at           timestamptz not null default now(),
    primary key (tenant_id, merge_candidate_id),
    constraint merge_candidate_sorted check (a < b)
);
comment on table nexus.merge_candidate is
    'Pairs of source records that are likely the same thing, but not certainly: nexus.merge or nexus.unmerge decides.';
comment on column nexus.merge_candidate.merge_candidate_id is 'Derived from the pair.';
comment on column nexus.merge_candidate.score is 'How likely they are the same: 0.40 to 0.99.';
create index merge_candidate_a_idx on nexus.merge_candidate (tenant_id, a);
create index merge_candidate_b_idx on nexus.merge_candidate (tenant_id, b);

create table nexus.survivorship_rule (
    tenant_id            uuid not null,
    survivorship_rule_id uuid not null,
    environment_id       uuid not null,
    kind                 text not null,
    field                text,
    connector_id         uuid not null,
    rank                 integer not null,
    created_at           timestamptz not null default now(),
    primary key (tenant_id, survivorship_rule_id),
    constraint survivorship_rule_rank_range check (rank between 0 and 1000)
);
comment on table nexus.survivorship_rule is
    'Which source goes first, by kind and field: the lowest rank. A source without a rule has rank 100.';
comment on column nexus.survivorship_rule.field is 'A field, or a group of fields that survive together; null: all that no other rule is about.';
