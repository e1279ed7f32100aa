-- Comments of the functions written in Rust, and of the schema; and the door stays shut until migrate() has
-- granted what is granted.

comment on schema nexus is 'Nexus: events in, golden entities, domain events and jobs out. Start with \d+ nexus.sales_order.';
comment on function nexus.migrate() is
    'Creates and upgrades the tables, sets owners, policies and grants; the migrations applied. For superusers, after CREATE EXTENSION, ALTER EXTENSION UPDATE and a restore.';
comment on function nexus._pending_migrations() is 'How many migrations this build has that the database has not.';
comment on function nexus.uuid_v7() is 'A new UUIDv7: in the order of time, without a sequence.';
comment on function nexus.current_tenant_id() is
    'The tenant this session may see: by the binding of its login role (a group nexus_t_<tenant id>); for the gateway, by the setting nexus.tenant_id.';
comment on function nexus.current_environment_id() is
    'The one environment this session may see (by a group nexus_e_<environment id>), or null for all of its tenant''s.';
comment on function nexus._session_is(text) is 'Whether the login role is a member of this nexus role, or a superuser.';
comment on function nexus._is_gateway() is
    'Whether a gateway asks, which has checked signatures and keys. A superuser may do the same, and has checked nothing.';
comment on function nexus._require_secured() is
    'Refuses to run in a definer function whose owner bypasses row-level security.';
comment on function nexus._require_role(text[]) is
    'Refuses unless the login is a member of one of these nexus roles, or a superuser.';
comment on function nexus._require_tenant(uuid) is 'Refuses unless the session may act for the tenant: bound to it, gateway, admin or superuser.';
comment on function nexus.birth_id(uuid, uuid, uuid, text, text) is
    'The id of a source''s record by tenant, environment, connector, kind and external id: source_record.birth_id.';
comment on function nexus.normalize(text, text, bytea) is
    'What a payload means: the canonical documents it gives, nothing written. Without a topic its shape decides.';
comment on function nexus._derived_id(uuid, uuid) is 'The id of what exists once for a pair, such as an event''s delivery to a subscription.';
comment on function nexus._matches_event_type(text[], text) is 'Whether one of a subscription''s patterns covers an event type.';
comment on function nexus._timeline() is 'The timeline that the cluster writes; an error on a standby.';
comment on function nexus._accepts_promotion(integer, integer) is 'Whether a step between timelines was a promotion, and nexus.accept_promotions lets it pass.';
comment on function nexus._json_text(jsonb) is 'A document as JSON text without blanks, in half the time that PostgreSQL takes to print it.';
comment on function nexus._check_flow(jsonb) is 'Refuses a flow''s definition that cannot work, naming the place.';
comment on function nexus._emit(uuid, jsonb) is 'Writes domain events, an array of objects, to the outbox and queues them for the subscriptions that want them, paused ones too; how many deliveries.';
comment on function nexus._filter_accepts(jsonb, text, bigint, text[], jsonb) is 'Whether a subscription''s filter lets an event pass: its type, entity_version, changed fields and data.';
comment on function nexus._subscription(jsonb) is 'A subscription''s definition with the defaults of what it does not say; refuses one that cannot work, naming the place.';
comment on function nexus.field_lineage(text, integer) is
    'Which places of a platform''s payloads feed which canonical field, by its current manifest or another version.';
comment on function nexus._check_identity(jsonb) is 'Refuses what a connector''s identifiers cannot mean, naming the place.';
comment on function nexus._check_kind(text) is 'Refuses the name of no entity kind.';
comment on function nexus._check_survivorship(text, text) is 'Refuses a survivorship rule about what there is not.';
comment on function nexus._resolve_anew(uuid, uuid[], boolean) is
    'Resolves records anew with all that is related to them, and mends golden rows; how many entities are others than before.';
comment on function nexus._follow_records(uuid, uuid[]) is
    'Rewrites rows that refer to records which have moved, as many as one transaction may; how many.';
comment on function nexus._redo_stock(uuid, uuid[]) is
    'Tells stock at locations anew whether it counts or mirrors another source''s; how many levels changed.';
comment on function nexus._unmerge_links(uuid, uuid) is 'The links by which a record is taken out of its entity.';
comment on function nexus._provenance(uuid, text, uuid) is 'What every source says of every field of an entity; nexus.provenance shows it.';
comment on function nexus._check_settings(text, jsonb) is
    'Refuses settings that cannot be right for a connector type; what is missing yet, or not known, is a warning.';
comment on function nexus._check_setting(text, jsonb) is 'Refuses a platform setting that there is not, or a value that it cannot have.';
comment on function nexus._flow_refusal(jsonb, text, uuid, text, jsonb) is 'Why a flow does not hear of a change; null if it does.';
comment on function nexus._flow_settings(jsonb) is 'A flow''s settings as they apply, and whether they are defaults.';
comment on function nexus._connector_settings(text, integer, jsonb) is 'A connector''s settings with the defaults of its manifest.';
comment on function nexus._register_manifest(jsonb) is 'Checks a manifest and makes it the current one of its connector type; its version.';
comment on function nexus._reprocess_batch(uuid, uuid[], jsonb) is
    'Reads events again with the mapping as it is now; how many, how many are in quarantine, how many golden entities changed.';
comment on function nexus._preview_batch(uuid, jsonb, uuid[], jsonb) is
    'What reading events again with another manifest would change, nothing written.';
comment on function nexus._erase_records(uuid, uuid[], bigint) is
    'Takes what is about a person out of records and their golden entities, for good.';
comment on function nexus._personal_addresses(text[]) is
    'The e-mail addresses among these that are somebody''s own, as identity keys.';
comment on function nexus._is_mentioned(jsonb, bytea, text[], text[]) is
    'Whether a request, as it is stored, names one of these addresses or telephone numbers.';
comment on function nexus._ingest_batch(uuid, uuid[], jsonb[], bytea[], timestamptz[], text[], boolean, boolean, text) is
    'The work of ingest_batch, without its exception block.';

revoke all on all functions in schema nexus from public;
revoke all on schema nexus from public;
