//! Every SQL text of the gateway.
//!
//! What must hold is decided by the functions called here; the gateway knows their names and no more. The
//! lists of the REST API read tables, under row-level security, and name tenant ($1) and environment ($2)
//! besides: that is what their indexes begin with.

use nexus_core::canonical::{Field, FieldType, Kind};
use std::fmt::Write as _;
use std::sync::LazyLock;

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

/// Takes a batch in. The doorbell is turned off for this transaction, and `case` makes the call wait for it:
/// the gateway rings by itself, since a NOTIFY at commit takes a lock on the whole instance.
pub const INGEST_BATCH: &str = "select r.status, r.event_id, r.trace_id, r.duplicate_of, r.reason
    from (select set_config('nexus.doorbell', 'off', true) as doorbell) s
    cross join lateral nexus.ingest_batch(case s.doorbell when 'off' then $1 end, $2, $3, $4, $5, $6) r";
/// Rings for the dispatchers of other processes.
pub const NOTIFY: &str = "notify nexus_doorbell";
/// Hears it.
pub const LISTEN: &str = "listen nexus_doorbell";

/// Tenants with deliveries due.
pub const DUE_TENANTS: &str = "select tenant_id from nexus.due_tenants($1)";
/// Leases some of a tenant's deliveries.
pub const CLAIM: &str = "select delivery_id, environment_id, environment, kind, destination_id, attempt, trace_id, url,
        definition, job_id, is_callback_timeout, event_id, entity_kind, entity_id, normalized_payload, domain_event_id,
        event_type, schema_version, entity_version, dedupe_key, changed, payload, event_created_at
    from nexus.claim($1, $2, $3, make_interval(secs => $4))";
/// Reports attempts.
pub const SETTLE: &str = "select nexus.settle($1, $2, $3)";
/// Keeps leases while attempts run.
pub const RENEW_LEASES: &str = "select nexus.renew_leases($1, $2, $3, make_interval(secs => $4))";
/// Gives leases back.
pub const RELEASE_LEASES: &str = "select nexus.release_leases($1, $2, $3)";
/// Ends a job by its callback.
pub const COMPLETE_JOB: &str = "select nexus.complete_job($1, $2, $3, $4, $5, $6, $7)";

/// Keeps a wrapped data key unless the tenant has one.
pub const PUT_DATA_KEY: &str = "select nexus.put_data_key($1, $2, $3, $4)";
/// The tenant's data key, wrapped.
pub const DATA_KEY: &str = "select data_key_id, wrapped_key, master_key_id from nexus.data_key($1)";
/// Keeps a sealed secret.
pub const PUT_SECRET: &str = "select nexus.put_secret($1, $2, $3, $4, $5, $6, make_interval(secs => $7))";
/// Keeps the hash of an API key.
pub const PUT_API_KEY: &str = "select nexus.put_api_key($1, $2, $3, $4, $5, $6)";
/// Keeps the hash of a platform key.
pub const PUT_PLATFORM_KEY: &str = "select nexus.put_platform_key($1, $2, $3)";
/// Makes a tenant with its environments.
pub const CREATE_TENANT: &str = "select nexus.create_tenant($1, $2)";
/// Makes a connector.
pub const CREATE_CONNECTOR: &str = "select nexus.create_connector($1, $2, $3, $4, $5)";
/// Makes a flow.
pub const CREATE_FLOW: &str = "select nexus.create_flow($1, $2, $3, $4)";
/// Makes a subscription.
pub const CREATE_SUBSCRIPTION: &str = "select nexus.create_subscription($1, $2, $3, $4, $5)";
/// Binds a login to a tenant, or to one environment of it.
pub const BIND_ROLE: &str = "select nexus.bind_role($1::text::name, $2, $3)";
/// The statement that creates a login, quoted by the server. $2 is a SCRAM verifier, not a password.
pub const CREATE_LOGIN: &str = "select format('create role %I login password %L', $1::text, $2::text)";
/// A tenant's environments.
pub const ENVIRONMENTS: &str =
    "select e.environment_id, e.name from nexus.environment e where e.tenant_id = $1 order by e.name";

/// The timeline of a trace.
pub const TRACE: &str = "select count(*), coalesce(jsonb_agg(jsonb_build_object(
        'at', s.at, 'stage', s.stage, 'outcome', s.outcome, 'detail', s.detail)), '[]')::text
    from nexus.trace($1, $2) s";
/// The outbox after a cursor.
pub const DOMAIN_EVENTS: &str = "select (to_jsonb(e) - 'cursor')::text, e.cursor
    from nexus.read_domain_events($1, $3, $4) e where e.environment_id = $2";
/// An event's body, which is bytes and not JSON.
pub const EVENT_BODY: &str = "select e.body from nexus.event e
    where e.tenant_id = $1 and e.environment_id = $2 and e.event_id = $3";

/// A list of the REST API and the single objects in it.
pub struct Collection {
    /// What one is called, in errors.
    pub thing: &'static str,
    table: &'static str,
    id: &'static str,
    /// When an object came into being. The id itself tells where it is a UUIDv7; then this is null.
    created: &'static str,
    item: String,
    detail: String,
    condition: &'static str,
    /// The parameters that narrow the list.
    pub filters: &'static [Filter],
}

/// A parameter that narrows a list.
pub struct Filter {
    /// Its name.
    pub name: &'static str,
    /// How its value is read.
    pub value: FilterValue,
    /// The condition, with `?` for the value.
    condition: &'static str,
}

/// How the value of a filter is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FilterValue {
    /// As it is.
    Text,
    /// One or several, separated by commas.
    Words,
    /// An id.
    Id,
    /// RFC 3339.
    Time,
    /// `true` or `false`.
    Boolean,
    /// An e-mail address, compared as identity keys are.
    Email,
    /// An order's number, compared without `#` and case.
    OrderNumber,
    /// A SKU, compared without case.
    Sku,
}

const fn filter(name: &'static str, value: FilterValue, condition: &'static str) -> Filter {
    Filter { name, value, condition }
}

impl Collection {
    /// The list: $3 is how many; then the filters' values in order; then, after a cursor, its time (where
    /// the list has one) and its id. Rows are the object, its time and its id.
    pub fn list(&self, filters: &[&Filter], after_cursor: bool) -> String {
        let Self { table, id, created, item, condition, .. } = self;
        let mut sql = format!(
            "select ({item})::text, {created}, t.{id} from nexus.{table} t
             where t.tenant_id = $1 and t.environment_id = $2 and {condition}"
        );
        let mut place = 4;
        for filter in filters {
            // A String takes what is written to it.
            let _ = write!(sql, " and {}", filter.condition.replace('?', &format!("${place}")));
            place += 1;
        }
        if self.has_time() {
            if after_cursor {
                let _ = write!(sql, " and ({created}, t.{id}) < (${place}, ${})", place + 1);
            }
            let _ = write!(sql, " order by {created} desc, t.{id} desc limit $3");
        } else {
            if after_cursor {
                let _ = write!(sql, " and t.{id} < ${place}");
            }
            let _ = write!(sql, " order by t.{id} desc limit $3");
        }
        sql
    }

    /// The object whose id is $3.
    pub fn single(&self) -> String {
        let Self { table, id, detail, .. } = self;
        format!(
            "select ({detail})::text from nexus.{table} t
             where t.tenant_id = $1 and t.environment_id = $2 and t.{id} = $3"
        )
    }

    /// Whether the list is sorted by a time beside the id.
    pub fn has_time(&self) -> bool {
        self.created != NO_TIME
    }
}

const NO_TIME: &str = "null::timestamptz";

/// Inbound events.
pub static EVENTS: LazyLock<Collection> = LazyLock::new(|| {
    let item = "jsonb_build_object('event_id', t.event_id, 'connector_id', t.connector_id,
        'connector_type', t.connector_type, 'manifest_version', t.manifest_version, 'topic', t.topic,
        'status', t.status, 'reason_code', t.reason_code, 'reason', t.reason, 'trace_id', t.trace_id,
        'delivery_key', t.delivery_key, 'emitted_at', t.emitted_at, 'received_at', t.received_at,
        'is_verified', t.is_verified, 'outcome', t.outcome)";
    Collection {
        thing: "event",
        table: "event",
        id: "event_id",
        created: NO_TIME,
        item: item.to_owned(),
        detail: format!("{item} || jsonb_build_object('headers', t.headers)"),
        condition: "true",
        filters: const {
            &[
                filter("status", FilterValue::Words, "t.status = any(?)"),
                filter("connector_id", FilterValue::Id, "t.connector_id = ?"),
                filter("topic", FilterValue::Text, "t.topic = ?"),
                filter("trace_id", FilterValue::Text, "t.trace_id = ?"),
                filter("since", FilterValue::Time, "t.received_at >= ?"),
                filter("until", FilterValue::Time, "t.received_at < ?"),
            ]
        },
    }
});

/// Jobs.
pub static JOBS: LazyLock<Collection> = LazyLock::new(|| {
    Collection {
    thing: "job",
    table: "job",
    id: "job_id",
    created: NO_TIME,
    item: JOB.to_owned(),
    detail: format!(
        "{JOB} || jsonb_build_object('normalized_payload', t.normalized_payload, 'attempts',
            (select coalesce(jsonb_agg({ATTEMPT} order by l.webhook_delivery_log_id), '[]')
             from nexus.webhook_delivery_log l where l.tenant_id = $1 and l.trace_id = t.trace_id and l.job_id = $3))"
    ),
    condition: "true",
    filters: const {
        &[
            filter("status", FilterValue::Words, "t.status = any(?)"),
            filter("flow_id", FilterValue::Id, "t.flow_id = ?"),
            filter("event_id", FilterValue::Id, "t.event_id = ?"),
            filter("entity_id", FilterValue::Id, "t.entity_id = ?"),
            filter("since", FilterValue::Time, "t.created_at >= ?"),
            filter("until", FilterValue::Time, "t.created_at < ?"),
        ]
    },
}
});

const JOB: &str = "jsonb_build_object('job_id', t.job_id, 'flow_id', t.flow_id, 'event_id', t.event_id,
    'trace_id', t.trace_id, 'entity', jsonb_build_object('kind', t.entity_kind, 'entity_id', t.entity_id),
    'status', t.status, 'attempt', t.attempt, 'result', t.result, 'error_code', t.error_code, 'error', t.error,
    'created_at', t.created_at, 'updated_at', t.updated_at, 'finished_at', t.finished_at)";

const ATTEMPT: &str = "to_jsonb(l) - 'tenant_id' - 'environment_id'";

/// Attempts to deliver.
pub static ATTEMPTS: LazyLock<Collection> = LazyLock::new(|| Collection {
    thing: "delivery attempt",
    table: "webhook_delivery_log",
    id: "webhook_delivery_log_id",
    created: NO_TIME,
    item: ATTEMPT.replace("(l)", "(t)"),
    detail: ATTEMPT.replace("(l)", "(t)"),
    condition: "true",
    filters: const {
        &[
            filter("kind", FilterValue::Words, "t.kind = any(?)"),
            filter("outcome", FilterValue::Words, "t.outcome = any(?)"),
            filter("error_class", FilterValue::Words, "t.error_class = any(?)"),
            filter("delivery_id", FilterValue::Id, "t.delivery_id = ?"),
            filter("subscription_id", FilterValue::Id, "t.kind = 'webhook' and t.destination_id = ?"),
            filter("flow_id", FilterValue::Id, "t.kind = 'job' and t.destination_id = ?"),
            filter("job_id", FilterValue::Id, "t.job_id = ?"),
            filter("event_id", FilterValue::Id, "t.domain_event_id = ?"),
            filter("trace_id", FilterValue::Text, "t.trace_id = ?"),
            filter("since", FilterValue::Time, "t.attempted_at >= ?"),
            filter("until", FilterValue::Time, "t.attempted_at < ?"),
        ]
    },
});

/// Connectors.
pub static CONNECTORS: LazyLock<Collection> =
    LazyLock::new(|| plain("connector", "connector", "connector_id", &[]));

/// Flows.
pub static FLOWS: LazyLock<Collection> = LazyLock::new(|| plain("flow", "flow", "flow_id", &[]));

/// Webhook subscriptions.
pub static SUBSCRIPTIONS: LazyLock<Collection> = LazyLock::new(|| {
    let item = "to_jsonb(t) - 'tenant_id' - 'webhook_subscription_id'
        || jsonb_build_object('subscription_id', t.webhook_subscription_id)";
    Collection {
        item: item.to_owned(),
        detail: item.to_owned(),
        filters: const { &[filter("status", FilterValue::Words, "t.status = any(?)")] },
        ..plain("subscription", "webhook_subscription", "webhook_subscription_id", &[])
    }
});

/// Golden customers with their addresses.
pub static CUSTOMERS: LazyLock<Collection> = LazyLock::new(|| {
    golden(
        "customer",
        const {
            &[
                filter("email", FilterValue::Email, "t.email_key = ?"),
                filter("updated_since", FilterValue::Time, "t.updated_at >= ?"),
            ]
        },
    )
});

/// Golden orders with their lines.
pub static ORDERS: LazyLock<Collection> = LazyLock::new(|| {
    golden(
        "sales_order",
        const {
            &[
                filter("email", FilterValue::Email, "lower(t.email) = ?"),
                filter("order_number", FilterValue::OrderNumber, "t.order_number_key = ?"),
                filter("customer_id", FilterValue::Id, "t.customer_id = ?"),
                filter("order_status", FilterValue::Words, "t.order_status = any(?)"),
                filter("financial_status", FilterValue::Words, "t.financial_status = any(?)"),
                filter("fulfillment_status", FilterValue::Words, "t.fulfillment_status = any(?)"),
                filter("updated_since", FilterValue::Time, "t.updated_at >= ?"),
                filter("ordered_since", FilterValue::Time, "t.ordered_at >= ?"),
                filter("ordered_until", FilterValue::Time, "t.ordered_at < ?"),
            ]
        },
    )
});

/// Golden products with their variants.
pub static PRODUCTS: LazyLock<Collection> = LazyLock::new(|| {
    let mut products = golden(
        "product",
        const {
            &[
                filter(
                    "sku",
                    FilterValue::Sku,
                    "t.product_id in (select v.product_id from nexus.product_variant v
                where v.tenant_id = $1 and v.environment_id = $2 and v.sku_key = ?)",
                ),
                filter("status", FilterValue::Words, "t.status = any(?)"),
                filter("updated_since", FilterValue::Time, "t.updated_at >= ?"),
            ]
        },
    );
    let variant = object("v", amounts("product_variant"));
    for text in [&mut products.item, &mut products.detail] {
        let _ = write!(
            text,
            " || jsonb_build_object('variants', (select coalesce(jsonb_agg({variant}
            order by v.position, v.product_variant_id), '[]') from nexus.product_variant v
            where v.tenant_id = $1 and v.product_id = t.product_id and v.deleted_at is null))"
        );
    }
    products
});

/// Golden stock.
pub static INVENTORY: LazyLock<Collection> = LazyLock::new(|| {
    golden(
        "inventory_level",
        const {
            &[
                filter(
                    "sku",
                    FilterValue::Sku,
                    "t.product_variant_id in (select v.product_variant_id from nexus.product_variant v
                where v.tenant_id = $1 and v.environment_id = $2 and v.sku_key = ?)",
                ),
                filter("location_id", FilterValue::Id, "t.location_id = ?"),
                filter("product_variant_id", FilterValue::Id, "t.product_variant_id = ?"),
                filter("connector_id", FilterValue::Id, "t.connector_id = ?"),
                filter("is_authoritative", FilterValue::Boolean, "t.is_authoritative = ?"),
                filter("updated_since", FilterValue::Time, "t.updated_at >= ?"),
            ]
        },
    )
});

/// A table whose rows are shown as they are and whose ids are UUIDv7.
fn plain(
    thing: &'static str,
    table: &'static str,
    id: &'static str,
    filters: &'static [Filter],
) -> Collection {
    let item = "to_jsonb(t) - 'tenant_id'".to_owned();
    Collection { thing, table, id, created: NO_TIME, detail: item.clone(), item, condition: "true", filters }
}

/// A table of golden rows. Lists leave out what every source has deleted; child rows are shown with their
/// parent in both.
fn golden(table: &'static str, filters: &'static [Filter]) -> Collection {
    let (thing, id) = match table {
        "customer" => ("customer", "customer_id"),
        "sales_order" => ("order", "sales_order_id"),
        "product" => ("product", "product_id"),
        _ => ("inventory level", "inventory_level_id"),
    };
    let mut item = object("t", amounts(table));
    if let Some(children) = Kind::named(table).ok().and_then(|kind| kind.children) {
        let (field, children_table) = (children.field, children.table);
        let child = object("c", decimals(children.fields));
        let _ = write!(
            item,
            " || jsonb_build_object('{field}', (select coalesce(jsonb_agg({child}
            order by c.position, c.external_id), '[]') from nexus.{children_table} c
            where c.tenant_id = $1 and c.{id} = t.{id}))"
        );
    }
    Collection {
        thing,
        table,
        id,
        created: "t.created_at",
        detail: item.clone(),
        item,
        condition: "t.deleted_at is null",
        filters,
    }
}

/// A row as JSON, its numerics as text: a JSON number would lose digits in most readers.
fn object(alias: &str, decimals: Vec<&'static str>) -> String {
    let pairs: Vec<String> = decimals.iter().map(|name| format!("'{name}', {alias}.{name}::text")).collect();
    format!("to_jsonb({alias}) - 'tenant_id' || jsonb_build_object({})", pairs.join(", "))
}

fn amounts(kind: &str) -> Vec<&'static str> {
    Kind::named(kind).map_or_else(|_| Vec::new(), |kind| decimals(kind.fields))
}

fn decimals(fields: &'static [Field]) -> Vec<&'static str> {
    fields.iter().filter(|field| field.field_type == FieldType::Decimal).map(|field| field.name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_asks_for_what_was_given() {
        let status = &JOBS.filters[0];
        let sql = JOBS.list(&[status], true);
        assert!(sql.contains("t.status = any($4)") && sql.contains("t.job_id < $5"), "{sql}");
        let sql = ORDERS.list(&[], true);
        assert!(sql.contains("(t.created_at, t.sales_order_id) < ($4, $5)"), "{sql}");
    }

    #[test]
    fn amounts_are_text() {
        assert!(ORDERS.single().contains("'total_amount', t.total_amount::text"));
        assert!(ORDERS.single().contains("'unit_price', c.unit_price::text"));
        assert!(INVENTORY.single().contains("'available', t.available::text"));
    }
}
