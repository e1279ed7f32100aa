//! Which source goes first.

use super::page::list;
use super::{JsonBody, JsonText};
use crate::app::App;
use crate::auth::Administrator;
use crate::db::Parameters;
use crate::error::Error;
use crate::sql;
use axum::extract::State;
use serde::Deserialize;
use std::sync::Arc;
use tokio_postgres::types::Type;
use url::form_urlencoded::Serializer;
use utoipa::ToSchema;
use uuid::Uuid;

/// Ranks a source.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Ranking {
    /// Of entities of this kind, such as `customer`.
    kind: String,
    /// A field, or a group of fields that survive together, such as `name`; without it, all that no other rule is
    /// about.
    field: Option<String>,
    /// The source.
    connector_id: Uuid,
    /// The lowest goes first; a source without a rule has 100. `null` takes the rule away.
    #[schema(minimum = 0, maximum = 1000)]
    rank: Option<i32>,
}

/// Sets a rule in the place of the one there was, and lists the source's rules for the kind.
pub async fn set(
    State(app): State<Arc<App>>,
    Administrator(caller): Administrator,
    JsonBody(ranking): JsonBody<Ranking>,
) -> Result<JsonText, Error> {
    let Ranking { kind, field, connector_id, rank } = &ranking;
    let parameters: &Parameters<'_> = &[
        (&caller.tenant_id, Type::UUID),
        (&caller.environment_id, Type::UUID),
        (kind, Type::TEXT),
        (field, Type::TEXT),
        (connector_id, Type::UUID),
        (rank, Type::INT4),
    ];
    app.database.act(&caller.actor(), sql::SET_SURVIVORSHIP, parameters).await?;
    let query = Serializer::new(String::new())
        .append_pair("kind", kind)
        .append_pair("connector_id", &connector_id.to_string())
        .append_pair("limit", "200")
        .finish();
    list(&app, &caller, &sql::SURVIVORSHIP_RULES, Some(&query)).await
}
