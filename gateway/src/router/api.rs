//! What stands under `/api/v1` and under `/api`.

use crate::openapi::Access::{AnyKey, Platform, Scope, Signed};
use crate::openapi::{Documented, about, anything, limit, string, subscription};
use crate::routes::{
    api_keys, catalogue, connectors, events, flows, golden, jobs, lists, replay, stream, subscriptions,
    survivorship, tenants,
};
use crate::sql;

const READ: crate::openapi::Access = Scope("read");
const WRITE: crate::openapi::Access = Scope("write");
const ADMIN: crate::openapi::Access = Scope("admin");

/// All of it.
pub fn paths() -> Documented {
    history(provenance(entities(configuration(platform(Documented::default())))))
}

fn platform(paths: Documented) -> Documented {
    let on = |summary| about("tenants", Platform, summary);
    let tenant = &["tenant_id", "slug", "name", "is_active", "created_at", "environments"];
    paths
        .get("/tenants", tenants::tenants, on("List tenants").lists(&sql::TENANTS))
        .post(
            "/tenants",
            tenants::create,
            on("Make a tenant with dev, test and prod environments").takes::<tenants::NewTenant>().gives(
                201,
                "The tenant",
                tenant,
            ),
        )
        .get("/tenants/{tenant_id}", tenants::tenant, on("Show a tenant").gives(200, "The tenant", tenant))
        .patch(
            "/tenants/{tenant_id}",
            tenants::update,
            on("Rename a tenant, or switch it off and on").takes::<tenants::TenantChanges>().gives(
                200,
                "The tenant",
                tenant,
            ),
        )
        .delete(
            "/tenants/{tenant_id}",
            tenants::delete,
            on("Delete a tenant and everything of it; a slug, if given, has to be its own")
                .query("slug", string(None))
                .gives(200, "How many rows of each table", &["tenant_id", "deleted"]),
        )
}

fn configuration(paths: Documented) -> Documented {
    let on = |tag, access, summary| about(tag, access, summary);
    let key = &["api_key_id", "environment", "name", "scopes", "key_prefix", "expires_at", "api_key"];
    paths
        .get(
            "/environments",
            lists::environments,
            on("environments", READ, "List the key's environment").lists(&sql::ENVIRONMENTS_OF_KEY),
        )
        .get(
            "/environments/{environment_id}",
            lists::environment,
            on("environments", READ, "Show an environment").shows(&sql::ENVIRONMENTS_OF_KEY),
        )
        .get(
            "/api-keys",
            api_keys::keys,
            on("api keys", ADMIN, "List the environment's API keys").lists(&sql::API_KEYS),
        )
        .post(
            "/api-keys",
            api_keys::create,
            on(
                "api keys",
                AnyKey,
                "Make an API key, with the scope admin or a platform key; it is shown once",
            )
            .takes::<api_keys::WantedKey>()
            .gives(201, "The key", key),
        )
        .get(
            "/api-keys/{api_key_id}",
            api_keys::key,
            on("api keys", ADMIN, "Show an API key").shows(&sql::API_KEYS),
        )
        .delete(
            "/api-keys/{api_key_id}",
            api_keys::revoke,
            on("api keys", ADMIN, "End an API key").ends(204, "It is revoked"),
        )
        .post(
            "/api-keys/{api_key_id}/rotate",
            api_keys::rotate,
            on("api keys", ADMIN, "Replace an API key; the former expires after an overlap")
                .takes::<api_keys::Rotation>()
                .gives(
                    201,
                    "The new key",
                    &[
                        "api_key_id",
                        "api_key",
                        "key_prefix",
                        "expires_at",
                        "previous_api_key_id",
                        "previous_valid_until",
                    ],
                ),
        )
        .get(
            "/connector-types",
            catalogue::connector_types,
            on("connectors", AnyKey, "List the platforms that can be connected").answers(
                200,
                "All of them",
                anything(),
            ),
        )
        .get(
            "/connector-types/{connector_type}",
            catalogue::connector_type,
            on("connectors", READ, "Show a connector type with its manifest").answers(
                200,
                "The type",
                anything(),
            ),
        )
        .post(
            "/connector-types",
            catalogue::register,
            on("connectors", Platform, "Register a manifest and make it the current one of its type")
                .takes::<catalogue::ConnectorManifest>()
                .gives(201, "The type", &["connector_type", "version"]),
        )
        .patch(
            "/connector-types/{connector_type}",
            catalogue::update,
            on("connectors", Platform, "Make a version of a connector type the current one")
                .takes::<catalogue::ConnectorTypeChanges>()
                .answers(200, "The type", anything()),
        )
        .post(
            "/connector-types/{connector_type}/preview",
            catalogue::preview,
            on("connectors", ADMIN, "Show what another manifest would change; nothing is written")
                .takes::<catalogue::Preview>()
                .answers(200, "A line for each field of each entity", anything()),
        )
        .get(
            "/connectors",
            lists::connectors,
            on("connectors", READ, "List connectors").lists(&sql::CONNECTORS),
        )
        .post(
            "/connectors",
            connectors::create,
            on("connectors", ADMIN, "Connect a shop, marketplace or ERP")
                .takes::<connectors::NewConnector>()
                .gives(
                    201,
                    "The connector",
                    &["connector_id", "connector_type", "name", "settings", "hook_url", "warnings"],
                ),
        )
        .get(
            "/connectors/{connector_id}",
            lists::connector,
            on("connectors", READ, "Show a connector").shows(&sql::CONNECTORS),
        )
        .patch(
            "/connectors/{connector_id}",
            connectors::update,
            on("connectors", ADMIN, "Change a connector, switch it off and on, set its secrets")
                .takes::<connectors::ConnectorChanges>()
                .shows(&sql::CONNECTORS),
        )
        .delete(
            "/connectors/{connector_id}",
            connectors::delete,
            on("connectors", ADMIN, "Remove a connector and its secrets; what it brought stays")
                .ends(204, "It is removed"),
        )
        .get("/flows", lists::flows, on("flows", READ, "List flows").lists(&sql::FLOWS))
        .post(
            "/flows",
            flows::create,
            on("flows", ADMIN, "Make a flow; its signing secret is shown once")
                .takes::<flows::NewFlow>()
                .gives(201, "The flow", &["flow_id", "name", "definition", "secret"]),
        )
        .get("/flows/{flow_id}", lists::flow, on("flows", READ, "Show a flow").shows(&sql::FLOWS))
        .patch(
            "/flows/{flow_id}",
            flows::update,
            on("flows", ADMIN, "Change a flow, or switch it off and on")
                .takes::<flows::FlowChanges>()
                .shows(&sql::FLOWS),
        )
        .get(
            "/flows/{flow_id}/effective-settings",
            flows::effective_settings,
            on("flows", READ, "Show every setting that applies to a flow, and whence").gives(
                200,
                "The settings",
                &["flow_id", "settings"],
            ),
        )
        .delete(
            "/flows/{flow_id}",
            flows::delete,
            on("flows", ADMIN, "Remove a flow and cancel its jobs").ends(204, "It is removed"),
        )
        .get(
            "/portal/webhooks",
            lists::subscriptions,
            on("subscriptions", READ, "List webhook subscriptions").lists(&sql::SUBSCRIPTIONS),
        )
        .post(
            "/portal/webhooks/subscribe",
            subscriptions::subscribe,
            on("subscriptions", ADMIN, "Subscribe to domain events; the signing secret is shown once")
                .takes_shape("NewSubscription", subscription::wanted())
                .answers(201, "The subscription", subscription::made()),
        )
        .get(
            "/portal/webhooks/{subscription_id}",
            subscriptions::show,
            on("subscriptions", READ, "Show a subscription, with the public keys that verify its requests")
                .shows(&sql::SUBSCRIPTIONS),
        )
        .patch(
            "/portal/webhooks/{subscription_id}",
            subscriptions::update,
            on("subscriptions", ADMIN, "Change a subscription, pause and resume it")
                .takes_shape("SubscriptionChanges", subscription::changes())
                .answers(200, "The subscription", subscription::changed()),
        )
        .delete(
            "/portal/webhooks/{subscription_id}",
            subscriptions::delete,
            on("subscriptions", ADMIN, "Remove a subscription and what has not been delivered to it")
                .ends(204, "It is removed"),
        )
        .post(
            "/portal/webhooks/{subscription_id}/rotate-secret",
            subscriptions::rotate_secret,
            on("subscriptions", ADMIN, "Replace the signing secret; both sign for an overlap")
                .takes::<subscriptions::SecretRotation>()
                .answers(200, "What signs from now on", subscription::rotated()),
        )
        .post(
            "/portal/webhooks/{subscription_id}/test",
            subscriptions::test,
            on("subscriptions", ADMIN, "Send one signed test event now, and tell what came back").gives(
                200,
                "What came back",
                &[
                    "delivered",
                    "delivery_id",
                    "trace_id",
                    "url",
                    "request_headers",
                    "request_bytes",
                    "request_sha256",
                    "status_code",
                    "latency_ms",
                    "error_class",
                    "error",
                    "response_headers",
                    "response_body",
                ],
            ),
        )
        .get(
            "/activity",
            lists::activity,
            on(
                "activity",
                READ,
                "List who changed what, and what became of input that left no row of its own",
            )
            .lists(&sql::ACTIVITY),
        )
}

fn entities(paths: Documented) -> Documented {
    let on = |summary| about("golden entities", READ, summary);
    paths
        .get("/nexus/orders", lists::orders, on("List orders").lists(&sql::ORDERS))
        .get("/nexus/orders/{sales_order_id}", lists::order, on("Show an order").shows(&sql::ORDERS))
        .get("/nexus/customers", lists::customers, on("List customers").lists(&sql::CUSTOMERS))
        .get("/nexus/customers/{customer_id}", lists::customer, on("Show a customer").shows(&sql::CUSTOMERS))
        .get("/nexus/products", lists::products, on("List products").lists(&sql::PRODUCTS))
        .get("/nexus/products/{product_id}", lists::product, on("Show a product").shows(&sql::PRODUCTS))
        .get("/nexus/inventory", lists::inventory, on("List inventory levels").lists(&sql::INVENTORY))
        .get(
            "/nexus/inventory/{inventory_level_id}",
            lists::inventory_level,
            on("Show an inventory level").shows(&sql::INVENTORY),
        )
}

/// What there is to say of one golden entity. Provenance is short: an entity has at most twenty records.
fn provenance(mut paths: Documented) -> Documented {
    const CLAIM: [&str; 10] = [
        "field",
        "value",
        "source",
        "connector_id",
        "external_id",
        "birth_id",
        "source_time",
        "event_id",
        "mapping_version",
        "is_winner",
    ];
    const CHANGE: [&str; 14] = [
        "history_id",
        "at",
        "what",
        "entity_id",
        "entity_version",
        "changed",
        "payload",
        "birth_id",
        "old_entity_id",
        "new_entity_id",
        "because",
        "actor",
        "event_id",
        "trace_id",
    ];
    macro_rules! of_kind {
        ($path:literal, $kind:ident, $collection:ident) => {
            paths = paths
                .get(
                    concat!($path, "/provenance"),
                    golden::$kind::provenance,
                    about(
                        "golden entities",
                        READ,
                        "Show what every source says of every field, and which value survives",
                    )
                    .tells_of(&sql::$collection, &CLAIM),
                )
                .get(
                    concat!($path, "/history"),
                    golden::$kind::history,
                    about(
                        "golden entities",
                        READ,
                        "List what became of it, the newest first: its changes, and records that moved",
                    )
                    .query("limit", limit())
                    .query("cursor", string(None))
                    .tells_of(&sql::$collection, &CHANGE),
                );
        };
    }
    of_kind!("/nexus/orders/{sales_order_id}", order, ORDERS);
    of_kind!("/nexus/customers/{customer_id}", customer, CUSTOMERS);
    of_kind!("/nexus/products/{product_id}", product, PRODUCTS);
    of_kind!("/nexus/inventory/{inventory_level_id}", inventory_level, INVENTORY);
    paths
        .get(
            "/survivorship-rules",
            lists::survivorship_rules,
            about("golden entities", READ, "List which source goes first, by kind and field")
                .lists(&sql::SURVIVORSHIP_RULES),
        )
        .put(
            "/survivorship-rules",
            survivorship::set,
            about(
                "golden entities",
                ADMIN,
                "Rank a source for a kind, or a field of it; nexus.rebuild applies it to what is stored",
            )
            .takes::<survivorship::Ranking>()
            .answers(200, "The source's rules for the kind", anything()),
        )
}

fn history(paths: Documented) -> Documented {
    let on = |tag, summary| about(tag, READ, summary);
    paths
        .get("/events", lists::events, on("events", "List inbound events").lists(&sql::EVENTS))
        .get(
            "/events/{event_id}",
            events::single,
            on("events", "Show an event, with headers and body").shows(&sql::EVENTS),
        )
        .get(
            "/events/{event_id}/routing",
            events::routing,
            on("events", "Show which flows hear of an event, and why others do not").gives(
                200,
                "The reasons",
                &["event_id", "routing"],
            ),
        )
        .post(
            "/events/{event_id}/reprocess",
            events::reprocess,
            about("events", WRITE, "Read an event again with the mapping as it is now").shows(&sql::EVENTS),
        )
        .get("/jobs", lists::jobs, on("jobs", "List jobs").lists(&sql::JOBS))
        .get("/jobs/{job_id}", lists::job, on("jobs", "Show a job, with its attempts").shows(&sql::JOBS))
        .post(
            "/jobs/{job_id}/retry",
            jobs::retry,
            about("jobs", WRITE, "Try a failed or dead job again, with all of its flow's attempts")
                .shows(&sql::JOBS),
        )
        .post(
            "/jobs/{job_id}/cancel",
            jobs::cancel,
            about("jobs", WRITE, "End a job that has not ended").shows(&sql::JOBS),
        )
        .post(
            "/jobs/{job_id}/callback",
            jobs::callback,
            about("jobs", Signed, "Report the end of a job, with its callback token")
                .takes::<jobs::Report>()
                .gives(200, "It is noted", &["job_id", "status"]),
        )
        .get(
            "/traces/{trace_id}",
            events::trace,
            on("traces", "Show a trace, from the source to the destination").gives(
                200,
                "The timeline",
                &["trace_id", "steps"],
            ),
        )
        .get(
            "/integrations/events",
            events::domain_events,
            on("integrations", "List domain events, oldest first").pages(anything()),
        )
        .socket(
            "/webhooks/stream",
            stream::stream,
            on("integrations", "Stream domain events as they happen, by WebSocket")
                .query("after", string(None))
                .query("types", string(None))
                .ends(101, "The stream: a JSON text message an event, with its cursor"),
        )
        .post(
            "/integrations/events/{event_id}/replay",
            replay::replay,
            about("integrations", WRITE, "Send a domain event again, under the same id and dedupe key")
                .takes::<replay::Replay>()
                .gives(202, "How many deliveries are queued", &["event_id", "deliveries"]),
        )
        .post(
            "/integrations/replay",
            replay::replay_all,
            about(
                "integrations",
                WRITE,
                "Send the domain events chosen again, at a bounded rate, a thousand a call",
            )
            .takes::<replay::Selection>()
            .gives(
                202,
                "How many deliveries are queued, and where and when the next call goes on",
                &["deliveries", "next_event_id", "next_due_at"],
            ),
        )
        .get(
            "/integrations/webhooks",
            lists::attempts,
            on("integrations", "List attempts to deliver").lists(&sql::ATTEMPTS),
        )
}
