//! The lists of the REST API, each by its table and its filters.

use nexus_core::canonical::{Field, FieldType, Kind};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// A list of the REST API and the single objects in it.
pub struct Collection {
    /// What one is called, in errors.
    pub thing: &'static str,
    table: &'static str,
    id: &'static str,
    /// When an object came into being. The id itself tells where it is a UUIDv7; then this is null.
    created: &'static str,
    /// Whose objects: the tenant is $1, the environment $2.
    scope: &'static str,
    item: String,
    detail: String,
    /// The condition for the object whose id is $3.
    named: String,
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
        let Self { table, id, created, scope, item, condition, .. } = self;
        let mut sql = format!(
            "select ({item})::text, {created}, t.{id} from nexus.{table} t where {scope} and {condition}"
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
        let Self { table, scope, detail, named, .. } = self;
        format!("select ({detail})::text from nexus.{table} t where {scope} and {named}")
    }

    /// Its table and the name of its ids.
    pub fn place(&self) -> (&'static str, &'static str) {
        (self.table, self.id)
    }

    /// Whether the list is sorted by a time beside the id.
    pub fn has_time(&self) -> bool {
        self.created != NO_TIME
    }
}

/// A reference to the entity that an id means today; to a record that nobody has seen yet, by its own id.
macro_rules! meant_by {
    ($column:literal) => {
        concat!(
            $column,
            " = coalesce((select r.entity_id from nexus.source_record r where r.tenant_id = $1 and r.birth_id = ?), ?)"
        )
    };
}

const NO_TIME: &str = "null::timestamptz";
const OF_ENVIRONMENT: &str = "t.tenant_id = $1 and t.environment_id = $2";

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
        scope: OF_ENVIRONMENT,
        item: item.to_owned(),
        detail: format!("{item} || jsonb_build_object('headers', t.headers)"),
        named: "t.event_id = $3".to_owned(),
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
    scope: OF_ENVIRONMENT,
    item: JOB.to_owned(),
    detail: format!(
        "{JOB} || jsonb_build_object('normalized_payload', t.normalized_payload, 'attempts',
            (select coalesce(jsonb_agg({ATTEMPT} order by l.webhook_delivery_log_id), '[]')
             from nexus.webhook_delivery_log l where l.tenant_id = $1 and l.trace_id = t.trace_id and l.job_id = $3))"
    ),
    named: "t.job_id = $3".to_owned(),
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

const ATTEMPT: &str = "to_jsonb(l) - 'tenant_id' - 'environment_id'
    || jsonb_build_object('request_sha256', encode(l.request_sha256, 'hex'))";

/// Attempts to deliver.
pub static ATTEMPTS: LazyLock<Collection> = LazyLock::new(|| Collection {
    thing: "delivery attempt",
    table: "webhook_delivery_log",
    id: "webhook_delivery_log_id",
    created: NO_TIME,
    scope: OF_ENVIRONMENT,
    item: ATTEMPT.replace("(l)", "(t)").replace("(l.", "(t."),
    detail: ATTEMPT.replace("(l)", "(t)").replace("(l.", "(t."),
    named: "t.webhook_delivery_log_id = $3".to_owned(),
    condition: "true",
    filters: const {
        &[
            filter("kind", FilterValue::Words, "t.kind = any(?)"),
            filter("outcome", FilterValue::Words, "t.outcome = any(?)"),
            filter("error_class", FilterValue::Words, "t.error_class = any(?)"),
            filter("delivery_id", FilterValue::Id, "t.delivery_id = ?"),
            filter("subscription_id", FilterValue::Id, "t.kind <> 'job' and t.destination_id = ?"),
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
pub static CONNECTORS: LazyLock<Collection> = LazyLock::new(|| {
    plain(
        "connector",
        "connector",
        "connector_id",
        const {
            &[
                filter("connector_type", FilterValue::Words, "t.connector_type = any(?)"),
                filter("name", FilterValue::Text, "t.name = ?"),
                filter("is_active", FilterValue::Boolean, "t.is_active = ?"),
            ]
        },
    )
});

/// Flows.
pub static FLOWS: LazyLock<Collection> = LazyLock::new(|| {
    plain(
        "flow",
        "flow",
        "flow_id",
        const {
            &[
                filter("name", FilterValue::Text, "t.name = ?"),
                filter("is_active", FilterValue::Boolean, "t.is_active = ?"),
            ]
        },
    )
});

/// The environment of the key.
pub static ENVIRONMENTS_OF_KEY: LazyLock<Collection> =
    LazyLock::new(|| plain("environment", "environment", "environment_id", &[]));

/// API keys, without their hashes.
pub static API_KEYS: LazyLock<Collection> = LazyLock::new(|| Collection {
    scope: "true",
    item: "to_jsonb(t)".to_owned(),
    detail: "to_jsonb(t)".to_owned(),
    ..plain("API key", "api_keys($1, $2)", "api_key_id", &[])
});

/// Tenants, for the platform.
pub static TENANTS: LazyLock<Collection> = LazyLock::new(|| Collection {
    scope: "true",
    item: "to_jsonb(t)".to_owned(),
    detail: "to_jsonb(t)".to_owned(),
    ..plain(
        "tenant",
        "tenants()",
        "tenant_id",
        const {
            &[
                filter("slug", FilterValue::Text, "t.slug = ?"),
                filter("is_active", FilterValue::Boolean, "t.is_active = ?"),
            ]
        },
    )
});

/// Who changed what, and what happened to input that left no row of its own.
pub static ACTIVITY: LazyLock<Collection> = LazyLock::new(|| Collection {
    // What concerns the whole tenant is for each of its environments to see.
    scope: "t.tenant_id = $1 and (t.environment_id = $2 or t.environment_id is null)",
    ..plain(
        "activity",
        "activity_log",
        "activity_log_id",
        const {
            &[
                filter("action", FilterValue::Words, "t.action = any(?)"),
                filter("actor", FilterValue::Text, "t.actor = ?"),
                filter("object_kind", FilterValue::Words, "t.object_kind = any(?)"),
                filter("object_id", FilterValue::Id, "t.object_id = ?"),
                filter("trace_id", FilterValue::Text, "t.trace_id = ?"),
                filter("since", FilterValue::Time, "t.at >= ?"),
                filter("until", FilterValue::Time, "t.at < ?"),
            ]
        },
    )
});

/// Which source goes first.
pub static SURVIVORSHIP_RULES: LazyLock<Collection> = LazyLock::new(|| {
    plain(
        "survivorship rule",
        "survivorship_rule",
        "survivorship_rule_id",
        const {
            &[
                filter("kind", FilterValue::Words, "t.kind = any(?)"),
                filter("field", FilterValue::Text, "t.field = ?"),
                filter("connector_id", FilterValue::Id, "t.connector_id = ?"),
            ]
        },
    )
});

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
                filter("email", FilterValue::Email, "t.email_key = ?"),
                filter("order_number", FilterValue::OrderNumber, "t.order_number_key = ?"),
                filter("customer_id", FilterValue::Id, meant_by!("t.customer_id")),
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
                filter("location_id", FilterValue::Id, meant_by!("t.location_id")),
                filter("product_variant_id", FilterValue::Id, meant_by!("t.product_variant_id")),
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
    Collection {
        thing,
        table,
        id,
        created: NO_TIME,
        scope: OF_ENVIRONMENT,
        detail: item.clone(),
        item,
        named: format!("t.{id} = $3"),
        condition: "true",
        filters,
    }
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
        scope: OF_ENVIRONMENT,
        detail: item.clone(),
        item,
        // An entity bears the id of one of its records, so that one that went into another since leads there.
        named: format!(
            "t.{id} = (select r.entity_id from nexus.source_record r where r.tenant_id = $1 and r.birth_id = $3)"
        ),
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
