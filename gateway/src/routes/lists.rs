//! Lists and their single objects, as [`crate::sql`] describes them.

use super::JsonText;
use super::page::{list, single};
use crate::app::App;
use crate::auth::Reader;
use crate::error::Error;
use crate::sql;
use axum::extract::{Path, RawQuery, State};
use std::sync::Arc;

/// A handler for a list.
macro_rules! lists {
    ($($name:ident: $collection:ident),* $(,)?) => {$(
        pub async fn $name(State(app): State<Arc<App>>, Reader(caller): Reader, RawQuery(query): RawQuery) -> Result<JsonText, Error> {
            list(&app, &caller, &sql::$collection, query.as_deref()).await
        }
    )*};
}

/// A handler for one object of a list.
macro_rules! singles {
    ($($name:ident: $collection:ident),* $(,)?) => {$(
        pub async fn $name(State(app): State<Arc<App>>, Reader(caller): Reader, Path(id): Path<String>) -> Result<JsonText, Error> {
            single(&app, &caller, &sql::$collection, &id).await
        }
    )*};
}

lists! {
    activity: ACTIVITY,
    attempts: ATTEMPTS,
    connectors: CONNECTORS,
    customers: CUSTOMERS,
    environments: ENVIRONMENTS_OF_KEY,
    events: EVENTS,
    flows: FLOWS,
    inventory: INVENTORY,
    jobs: JOBS,
    orders: ORDERS,
    products: PRODUCTS,
    subscriptions: SUBSCRIPTIONS,
    survivorship_rules: SURVIVORSHIP_RULES,
}

singles! {
    connector: CONNECTORS,
    customer: CUSTOMERS,
    environment: ENVIRONMENTS_OF_KEY,
    flow: FLOWS,
    inventory_level: INVENTORY,
    job: JOBS,
    order: ORDERS,
    product: PRODUCTS,
}
