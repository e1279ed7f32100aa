//! Every SQL text of the gateway.
//!
//! What must hold is decided by the functions called here; the gateway knows their names and no more. The
//! lists of the REST API read tables, under row-level security, and name tenant ($1) and environment ($2)
//! besides: that is what their indexes begin with.

mod collection;

pub use collection::*;

/// Begins a write for somebody.
pub const BEGIN: &str = "begin";
/// For whom the transaction acts, as the activity log names it.
pub const ACTOR: &str = "select set_config('nexus.actor', $1, true)";
/// Begins a tenant's read.
pub const BEGIN_READ: &str = "begin read only";
/// Ends it.
pub const COMMIT: &str = "commit";
/// Whose rows the transaction may see. Times are written in UTC.
pub const SCOPE: &str =
    "select set_config('nexus.tenant_id', $1, true), set_config('nexus.environment_id', $2, true),
    set_config('timezone', 'UTC', true), set_config('statement_timeout', '10s', true)";

/// What must be so before the gateway starts.
pub const IS_INSTALLED: &str = "select exists (select from pg_catalog.pg_extension where extname = 'nexus'),
    (select rolsuper or rolbypassrls from pg_catalog.pg_roles where rolname = session_user)";
/// The extension's version and how many migrations are pending.
pub const READINESS: &str = "select installed_version, pending_migrations from nexus.readiness()";
/// All that is held in memory, unless it is the version known already.
pub const CONFIGURATION: &str = "select fingerprint, configuration from nexus.gateway_configuration($1)";
/// Regular upkeep.
pub const MAINTAIN: &str = "select action, detail::text from nexus.maintain()";
/// Up to when partitions stand ready, in seconds since 1970, and for how many days that is.
pub const PARTITIONED_UNTIL: &str =
    "select extract(epoch from u)::float8, extract(epoch from u - now())::float8 / 86400
    from nexus.partitioned_until() u";
/// Rewrites some of what merges left.
pub const FOLLOW_MOVES: &str = "select nexus.follow_moves()";

/// Takes a batch in. The doorbell is turned off for this transaction, and `case` makes the call wait for it:
/// the gateway rings by itself, since a NOTIFY at commit takes a lock on the whole instance.
pub const INGEST_BATCH: &str = "select r.status, r.event_id, r.trace_id, r.duplicate_of, r.reason
    from (select set_config('nexus.doorbell', 'off', true) as doorbell) s
    cross join lateral nexus.ingest_batch(case s.doorbell when 'off' then $1 end, $2, $3, $4, $5, $6) r";
/// Rings for other processes, if one sleeps.
pub const RING_DOORBELL: &str = "select nexus.ring_doorbell()";
/// Hears it.
pub const LISTEN: &str = "listen nexus_doorbell";
/// Asks to be rung for.
pub const FALL_ASLEEP: &str = "select nexus.fall_asleep()";
/// Whether all who work know of it.
pub const IS_KNOWN_ASLEEP: &str = "select nexus.is_known_asleep()";
/// Asks not to be rung for any more.
pub const WAKE_UP: &str = "select nexus.wake_up()";

/// Tenants with deliveries due, without those of $2.
pub const DUE_TENANTS: &str = "select tenant_id from nexus.due_tenants($1, $2, $3, $4, $5, $6)";
/// Leases some of a tenant's deliveries.
pub const CLAIM: &str = "select delivery_id, environment_id, environment, kind, destination_id, attempt, former_attempts,
        is_ordered, trace_id, due_at, url, definition, destination_changed_at, rate_limit, job_id, is_callback_timeout, event_id, entity_kind, entity_id,
        normalized_payload, domain_event_id, event_type, schema_version, entity_version, dedupe_key, changed,
        nexus._json_text(payload) as payload, event_created_at, headers, retry, envelope
    from nexus.claim($1, $2, $3, make_interval(secs => $4), $5, $6, $7, $8, $9, $10)";
/// Reports attempts.
pub const SETTLE: &str = "select nexus.settle($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
    $20, $21, $22, $23, $24, $25, $26, $27)";
/// Keeps leases while attempts run.
pub const RENEW_LEASES: &str = "select nexus.renew_leases($1, $2, $3, make_interval(secs => $4))";
/// Gives leases back.
pub const RELEASE_LEASES: &str = "select nexus.release_leases($1, $2, $3)";
/// Ends a job by its callback.
pub const COMPLETE_JOB: &str = "select nexus.complete_job($1, $2, $3, $4, $5, $6, $7)";

/// Tries a job that ended badly again.
pub const RETRY_JOB: &str = "select nexus.retry_job($1, $2, $3)";
/// Ends a job that has not ended.
pub const CANCEL_JOB: &str = "select nexus.cancel_job($1, $2, $3)";

/// Keeps a wrapped data key unless the tenant has one.
pub const PUT_DATA_KEY: &str = "select nexus.put_data_key($1, $2, $3, $4)";
/// The tenant's data key, wrapped.
pub const DATA_KEY: &str = "select data_key_id, wrapped_key, master_key_id from nexus.data_key($1)";
/// Keeps sealed secrets of one owner.
pub const PUT_SECRETS: &str =
    "select nexus.put_secret($1, $2, $3, s.name, $5, s.sealed, make_interval(secs => $7))
    from unnest($4::text[], $6::bytea[]) s (name, sealed)";
/// Keeps the hash of an API key.
pub const PUT_API_KEY: &str = "select nexus.put_api_key($1, $2, $3, $4, $5, $6, $7)";
/// Keeps the hash of an API key's successor.
pub const ROTATE_API_KEY: &str =
    "select nexus.rotate_api_key($1, $2, $3, $4, make_interval(secs => $5), $6, $7)";
/// Ends an API key.
pub const REVOKE_API_KEY: &str = "select nexus.revoke_api_key($1, $2, $3)";
/// Notes when keys were used.
pub const TOUCH_API_KEYS: &str = "select nexus.touch_api_keys($1, $2, $3)";
/// The environment of an API key: its name, or null.
pub const ENVIRONMENT_OF_API_KEY: &str =
    "select max(k.environment) from nexus.api_keys($1, null) k where k.api_key_id = $2";
/// Keeps the hash of a platform key.
pub const PUT_PLATFORM_KEY: &str = "select nexus.put_platform_key($1, $2, $3, $4)";
/// Ends a platform key.
pub const REVOKE_PLATFORM_KEY: &str = "select nexus.revoke_platform_key($1)";
/// Data keys that another master key wraps.
pub const DATA_KEYS_TO_REWRAP: &str =
    "select tenant_id, data_key_id, wrapped_key, wrapped_by from nexus.data_keys_to_rewrap($1, $2)";
/// Keeps a data key as wrapped by another master key.
pub const REWRAP_DATA_KEY: &str = "select nexus.rewrap_data_key($1, $2, $3, $4, $5)";
/// A tenant by its id or slug.
pub const FIND_TENANT: &str =
    "select t.tenant_id, t.slug from nexus.tenants() t where t.slug = $1 or t.tenant_id::text = lower($1)";
/// A tenant's copy, a JSON object a row.
pub const EXPORT_TENANT: &str =
    "select jsonb_build_object('table', e.table_name, 'row', e.content)::text from nexus.export_tenant($1) e";
/// Before a tenant is deleted, which takes its time: who finds it active waits for its rows meanwhile.
pub const SWITCH_TENANT_OFF: &str = r#"select nexus.update_tenant($1, '{"is_active": false}')"#;
/// Deletes a tenant; how many rows of each table.
pub const DELETE_TENANT: &str = "select table_name, rows from nexus.delete_tenant($1)";
/// Drops the group roles of a tenant that has been deleted.
pub const DROP_GROUPS: &str = "select nexus.drop_groups($1)";
/// Takes a person out of everything.
pub const ERASE_CUSTOMER: &str = "select nexus.erase_customer($1, $2)";
/// What the catalogue says, for dbt.
pub const DBT_SOURCES: &str = "select nexus.dbt_sources()";
/// Who can see what.
pub const ACCESS_REPORT: &str = "select to_jsonb(r) from nexus.access_report r
    order by r.access, r.tenant, r.environment, r.role_name, r.holds";
/// Makes a tenant with its environments.
pub const CREATE_TENANT: &str = "select nexus.create_tenant($1, $2)";
/// Makes a connector.
pub const CREATE_CONNECTOR: &str = "select nexus.create_connector($1, $2, $3, $4, $5)";
/// Makes a flow.
pub const CREATE_FLOW: &str = "select nexus.create_flow($1, $2, $3, $4)";
/// Makes a subscription.
pub const CREATE_SUBSCRIPTION: &str = "select nexus.create_subscription($1, $2, $3, $4, $5, $6, $7)";
/// Changes a subscription.
pub const UPDATE_SUBSCRIPTION: &str = "select nexus.update_subscription($1, $2, $3, $4)";
/// Removes a subscription.
pub const DELETE_SUBSCRIPTION: &str = "select nexus.delete_subscription($1, $2, $3)";
/// Queues domain events once more; how many deliveries, and where and when the next page begins.
pub const REPLAY_PAGE: &str =
    "select deliveries, next_event_id, next_due_at from nexus.replay_page($1, $2, $3)";
/// Whether a domain event is there.
pub const HAS_DOMAIN_EVENT: &str = "select from nexus.domain_event e
    where e.tenant_id = $1 and e.environment_id = $2 and e.domain_event_id = $3";
/// Binds a login to a tenant, or to one environment of it.
pub const BIND_ROLE: &str = "select nexus.bind_role($1::text::name, $2, $3)";
/// The statement that creates a login, quoted by the server. $2 is a SCRAM verifier, not a password.
pub const CREATE_LOGIN: &str = "select format('create role %I login password %L', $1::text, $2::text)";
/// Changes a tenant.
pub const UPDATE_TENANT: &str = "select nexus.update_tenant($1, $2)";
/// Changes a connector.
pub const UPDATE_CONNECTOR: &str = "select nexus.update_connector($1, $2, $3, $4)";
/// Removes a connector.
pub const DELETE_CONNECTOR: &str = "select nexus.delete_connector($1, $2, $3)";
/// Changes a flow.
pub const UPDATE_FLOW: &str = "select nexus.update_flow($1, $2, $3, $4)";
/// Removes a flow.
pub const DELETE_FLOW: &str = "select nexus.delete_flow($1, $2, $3)";
/// Begins a write under an Idempotency-Key.
pub const BEGIN_REQUEST: &str = "select state, status, answer from nexus.begin_request($1, $2, $3, $4)";
/// Ends it.
pub const END_REQUEST: &str = "select nexus.end_request($1, $2, $3, $4, $5)";
/// The current connector types.
pub const CONNECTOR_TYPES: &str =
    "select jsonb_build_object('connector_type', m.connector_type, 'version', m.version,
        'registered_at', m.registered_at)::text
    from nexus.connector_type m where m.is_current order by m.connector_type";
/// A connector type with its manifest.
pub const CONNECTOR_TYPE: &str =
    "select jsonb_build_object('connector_type', m.connector_type, 'version', m.version,
        'registered_at', m.registered_at, 'manifest', m.manifest)::text
    from nexus.connector_type m where m.is_current and m.connector_type = $1";
/// The manifest that a new connector of a type gets.
pub const CURRENT_MANIFEST: &str =
    "select m.manifest from nexus.connector_type m where m.is_current and m.connector_type = $1";
/// The manifest of a connector, and its settings: of the version it stands on ($4 false), or that is to be
/// ($5, or null for the current one).
pub const MANIFEST_OF_CONNECTOR: &str = "select m.manifest, c.settings from nexus.connector c
    join nexus.connector_type m on m.connector_type = c.connector_type
        and coalesce(m.version = case when $4 then $5 else c.pinned_version end, m.is_current)
    where c.tenant_id = $1 and c.connector_id = $3 and ($2::uuid is null or c.environment_id = $2)";
/// Registers a manifest; its version.
pub const REGISTER_CONNECTOR_TYPE: &str = "select nexus.register_connector_type($1)";
/// Makes a version of a connector type the current one.
pub const USE_CONNECTOR_TYPE_VERSION: &str = "select nexus.use_connector_type_version($1, $2)";
/// What another manifest would change in a tenant's environment.
pub const PREVIEW_MAPPING: &str = "select jsonb_build_object('kind', p.kind, 'entity_id', p.entity_id,
        'field', p.field, 'old', p.old, 'new', p.new)::text
    from nexus.preview_mapping($1, $3, $4, coalesce($5, '-infinity'), $2) p";
/// Reads events again; how far it came.
pub const REPROCESS: &str =
    "select events, quarantined, entities, next_event_id from nexus.reprocess($1, $2, $3)";
/// Every setting that applies to a flow.
pub const EFFECTIVE_SETTINGS: &str = "select coalesce(jsonb_agg(to_jsonb(s)), '[]')::text
    from nexus.effective_settings($1, $2) s";
/// Which flows hear of an event, and why others do not.
pub const EXPLAIN_ROUTING: &str = "select coalesce(jsonb_agg(to_jsonb(r)), '[]')::text
    from nexus.explain_routing($1, $2) r";
/// A tenant's environments.
pub const ENVIRONMENTS: &str =
    "select e.environment_id, e.name from nexus.environment e where e.tenant_id = $1 order by e.name";

/// The timeline of a trace.
pub const TRACE: &str = "select count(*), coalesce(jsonb_agg(jsonb_build_object(
        'at', s.at, 'stage', s.stage, 'outcome', s.outcome, 'detail', s.detail)), '[]')::text
    from nexus.trace($1, $2) s";
/// The entity that an id means today.
pub const CURRENT_ENTITY: &str = "select r.entity_id from nexus.source_record r
    where r.tenant_id = $1 and r.environment_id = $2 and r.kind = $3 and r.birth_id = $4";
/// What every source says of every field of an entity.
pub const PROVENANCE: &str = "select to_jsonb(p)::text from nexus.provenance($1, $2, $3) p";
/// What became of an entity, after a cursor.
pub const HISTORY: &str =
    "select (jsonb_strip_nulls(to_jsonb(h) - 'payload') || jsonb_build_object('payload', h.payload))::text, h.history_id
    from nexus.history($1, $2, $3, $4, $5) h order by h.history_id desc";
/// Ranks a source for a kind, or a field of it.
pub const SET_SURVIVORSHIP: &str = "select nexus.set_survivorship($1, $2, $3, $4, $5, $6)";

/// The outbox after a cursor.
pub const DOMAIN_EVENTS: &str = "select (to_jsonb(e) - 'cursor')::text, e.cursor
    from nexus.read_domain_events($1, $3, $4, $2) e";
/// Refuses a cursor from which one cannot go on; the latest one.
pub const CHECK_CURSOR: &str = "select nexus.latest_cursor(), count(e)
    from nexus.read_domain_events($1, $3, 0, $2) e";
/// A page of the outbox for streams: as much as $6 bytes, and of types that are not wanted only the place. A row
/// without an event if there is none.
pub const OUTBOX_PAGE: &str = "select s.latest, p.*
    from (select nexus.latest_cursor() as latest) s
    left join lateral (
        select w.*, count(*) over () as found,
               sum(pg_column_size(w.payload)) over (order by w.ordinality) - pg_column_size(w.payload) as bytes_before
        from (select e.ordinality, e.cursor, e.domain_event_id, e.event_type, e.schema_version, e.entity_version,
                     e.dedupe_key, e.changed, e.trace_id, e.created_at,
                     case when $5::text[] is null or nexus._matches_event_type($5, e.event_type) then e.payload end as payload
              from nexus.read_domain_events($1, $3, $4, $2) with ordinality e) w
    ) p on p.bytes_before is null or p.bytes_before < $6
    order by p.ordinality";
/// Which streams have something to read.
pub const OUTBOX_NEWS: &str = "select latest, news from nexus.outbox_news($1, $2, $3, $4)";
/// Where the outbox stands.
pub const OUTBOX_STATUS: &str =
    "select epoch, is_accepted, readable_before, next_xact_id from nexus.outbox_status()";
/// Lets dispatchers send in the current epoch.
pub const ACCEPT_EPOCH: &str = "select nexus.accept_epoch()";
/// An event's body, which is bytes and not JSON.
pub const EVENT_BODY: &str = "select e.body from nexus.event e
    where e.tenant_id = $1 and e.environment_id = $2 and e.event_id = $3";
