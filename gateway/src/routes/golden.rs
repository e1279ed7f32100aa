//! Where the values of a golden entity come from, and what became of it.

use super::page::{asked_after_id, cursor_after};
use super::{JsonText, id};
use crate::app::App;
use crate::auth::{Caller, Reader};
use crate::db::Parameters;
use crate::error::Error;
use crate::sql::{self, Collection};
use axum::extract::{Path, RawQuery, State};
use std::sync::Arc;
use tokio_postgres::types::Type;
use uuid::Uuid;

/// The handlers of one kind.
macro_rules! golden {
    ($($kind:ident: $collection:ident),* $(,)?) => {$(
        pub mod $kind {
            use super::*;

            pub async fn provenance(
                State(app): State<Arc<App>>,
                Reader(caller): Reader,
                Path(id): Path<String>,
            ) -> Result<JsonText, Error> {
                provenance_of(&app, &caller, &sql::$collection, &id).await
            }

            pub async fn history(
                State(app): State<Arc<App>>,
                Reader(caller): Reader,
                Path(id): Path<String>,
                RawQuery(query): RawQuery,
            ) -> Result<JsonText, Error> {
                history_of(&app, &caller, &sql::$collection, &id, query.as_deref()).await
            }
        }
    )*};
}

golden! {
    customer: CUSTOMERS,
    inventory_level: INVENTORY,
    order: ORDERS,
    product: PRODUCTS,
}

/// What every source says of every field, the surviving claim first.
async fn provenance_of(
    app: &App,
    caller: &Caller,
    collection: &Collection,
    named: &str,
) -> Result<JsonText, Error> {
    let entity_id = current(app, caller, collection, named).await?;
    let (kind, _) = collection.place();
    let parameters: &Parameters<'_> =
        &[(&caller.tenant_id, Type::UUID), (&kind, Type::TEXT), (&entity_id, Type::UUID)];
    let rows =
        app.database.read(caller.tenant_id, caller.environment_id, sql::PROVENANCE, parameters).await?;
    let items = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    Ok(of_entity(collection, entity_id, &items, None))
}

/// Changes of the entity and of those that went into it, the newest first.
async fn history_of(
    app: &App,
    caller: &Caller,
    collection: &Collection,
    named: &str,
    query: Option<&str>,
) -> Result<JsonText, Error> {
    let (limit, after) = asked_after_id(query)?;
    let entity_id = current(app, caller, collection, named).await?;
    let (kind, _) = collection.place();
    // One more than asked for tells whether there is a next page.
    let most = i32::try_from(limit + 1).unwrap_or(i32::MAX);
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&kind, Type::TEXT),
        (&entity_id, Type::UUID),
        (&after, Type::UUID),
        (&most, Type::INT4),
    ];
    let rows = app.database.read(caller.tenant_id, caller.environment_id, sql::HISTORY, parameters).await?;
    let page = &rows[..rows.len().min(usize::try_from(limit).unwrap_or(usize::MAX))];
    let items = page.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    let next = match page.last() {
        Some(last) if rows.len() > page.len() => Some(cursor_after(last.try_get(1)?)),
        _ => None,
    };
    Ok(of_entity(collection, entity_id, &items, next.as_deref()))
}

/// The entity that an id means today: an id that was an entity's once keeps its meaning.
async fn current(app: &App, caller: &Caller, collection: &Collection, named: &str) -> Result<Uuid, Error> {
    let named = id(collection.thing, named)?;
    let (kind, _) = collection.place();
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&caller.environment_id, Type::UUID),
        (&kind, Type::TEXT),
        (&named, Type::UUID),
    ];
    let rows =
        app.database.read(caller.tenant_id, caller.environment_id, sql::CURRENT_ENTITY, parameters).await?;
    let row = rows.first().ok_or_else(|| Error::not_found(collection.thing, named))?;
    Ok(row.try_get(0)?)
}

/// A page about one entity, which it names.
fn of_entity(
    collection: &Collection,
    entity_id: Uuid,
    items: &[&str],
    next_cursor: Option<&str>,
) -> JsonText {
    let (_, id) = collection.place();
    let JsonText(page) = super::page::page_of(items, next_cursor);
    JsonText(format!("{{\"{id}\":\"{entity_id}\",{}", page.trim_start_matches('{')))
}
