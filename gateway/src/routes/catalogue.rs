//! What there is to choose from: connector types.

use super::JsonText;
use super::page::page_of;
use crate::app::App;
use crate::auth::{Identity, Reader};
use crate::error::Error;
use crate::sql;
use axum::extract::{Path, State};
use std::sync::Arc;
use tokio_postgres::types::Type;

/// Every platform that can be connected, on one page.
pub async fn connector_types(State(app): State<Arc<App>>, _: Identity) -> Result<JsonText, Error> {
    let rows = app.database.rows(sql::CONNECTOR_TYPES, &[]).await?;
    let items = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    Ok(page_of(&items, None))
}

/// One of them, with its manifest.
pub async fn connector_type(
    State(app): State<Arc<App>>,
    _: Reader,
    Path(connector_type): Path<String>,
) -> Result<JsonText, Error> {
    let unknown = || Error::not_found("connector type", format!("{connector_type:?}"));
    if connector_type.contains('\0') {
        return Err(unknown());
    }
    let rows = app.database.rows(sql::CONNECTOR_TYPE, &[(&connector_type, Type::TEXT)]).await?;
    Ok(JsonText(rows.first().ok_or_else(unknown)?.try_get(0)?))
}
