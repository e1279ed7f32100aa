//! The life of a tenant's data: its copy, its end, and the right to be forgotten.

use super::Context;
use crate::db::Failure;
use crate::error::{Chain, StartError};
use crate::sql;
use clap::Args;
use futures_util::TryStreamExt as _;
use serde_json::{Map, Value, json};
use std::fs::OpenOptions;
use std::io::{BufWriter, Write, stdin, stdout};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::pin::pin;
use tokio_postgres::types::Type;
use uuid::Uuid;

#[derive(Args)]
pub struct ExportTenant {
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
    /// The file to write, readable by its owner only; it must not exist [default: standard output]
    #[arg(long)]
    out: Option<PathBuf>,
}

impl ExportTenant {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let Some(path) = &self.out else {
            self.write(context, stdout().lock()).await?;
            return Ok(Value::Null);
        };
        let unwritable =
            |error| StartError::command(format!("{} cannot be written: {error}", path.display()));
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
        let file = file.map_err(unwritable)?;
        let rows = self.write(context, &file).await?;
        file.sync_all().map_err(unwritable)?;
        Ok(json!({ "tenant_id": self.tenant, "rows": rows, "file": path.display().to_string() }))
    }

    /// A line a row, as they are at one moment; how many.
    async fn write(&self, context: &Context, out: impl Write) -> Result<u64, StartError> {
        let unwritable = |error| StartError::command(format!("the copy cannot be written: {error}"));
        let mut out = BufWriter::new(out);
        let client = context.database.client().await.map_err(|failure| super::failed(&failure))?;
        let broken = |error| super::failed(&Failure::Database(error));
        // One statement is one snapshot, and as long as it takes.
        let rows = client.query_typed_raw(sql::EXPORT_TENANT, [(self.tenant, Type::UUID)]).await;
        let mut rows = pin!(rows.map_err(broken)?);
        let mut count = 0;
        while let Some(row) = rows.try_next().await.map_err(broken)? {
            writeln!(out, "{}", row.try_get::<_, &str>(0).map_err(broken)?).map_err(unwritable)?;
            count += 1;
        }
        out.flush().map_err(unwritable)?;
        Ok(count)
    }
}

#[derive(Args)]
pub struct DeleteTenant {
    /// The tenant's id or slug
    tenant: String,
    /// Do not ask for the slug again
    #[arg(long)]
    yes: bool,
}

impl DeleteTenant {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let rows = context.database.rows(sql::FIND_TENANT, &[(&self.tenant, Type::TEXT)]).await;
        let rows = rows.map_err(|failure| super::failed(&failure))?;
        let broken = |error| super::failed(&Failure::Database(error));
        let Some(row) = rows.first() else {
            return Err(StartError::command(format!("there is no tenant {}", self.tenant)));
        };
        let (tenant_id, slug): (Uuid, String) =
            (row.try_get(0).map_err(broken)?, row.try_get(1).map_err(broken)?);
        if !self.yes {
            confirm(&slug)?;
        }
        // Not bounded in time: a large tenant takes long.
        let client = context.database.client().await.map_err(|failure| super::failed(&failure))?;
        client.query_typed(sql::SWITCH_TENANT_OFF, &[(&tenant_id, Type::UUID)]).await.map_err(broken)?;
        let rows = client.query_typed(sql::DELETE_TENANT, &[(&tenant_id, Type::UUID)]).await;
        let mut deleted = Map::new();
        for row in rows.map_err(broken)? {
            let (table, rows): (String, i64) =
                (row.try_get(0).map_err(broken)?, row.try_get(1).map_err(broken)?);
            if rows > 0 {
                deleted.insert(table, rows.into());
            }
        }
        // Group roles are no rows, and dropping them takes a right that deleting does not.
        let groups = client.query_typed(sql::DROP_GROUPS, &[(&tenant_id, Type::UUID)]).await;
        let groups: Option<i32> = match groups {
            Ok(rows) => rows.first().map(|row| row.try_get(0)).transpose().map_err(broken)?,
            Err(error) => {
                eprintln!("nexus: the tenant is deleted; its group roles remain: {}", Chain(&error));
                None
            }
        };
        Ok(json!({ "tenant_id": tenant_id, "slug": slug, "deleted": deleted, "dropped_groups": groups }))
    }
}

/// Asks for the slug, so that the wrong tenant is not deleted by a slip.
fn confirm(slug: &str) -> Result<(), StartError> {
    eprint!("Everything of tenant \"{slug}\" will be deleted, for good. Its slug, to go on: ");
    let mut answer = String::new();
    stdin()
        .read_line(&mut answer)
        .map_err(|error| StartError::command(format!("standard input cannot be read: {error}")))?;
    match answer.trim() == slug {
        true => Ok(()),
        false => Err(StartError::command("that is not the tenant's slug; nothing was deleted")),
    }
}

#[derive(Args)]
pub struct EraseCustomer {
    /// The tenant's id
    #[arg(long)]
    tenant: Uuid,
    /// The customer's id
    #[arg(long)]
    customer: Uuid,
}

impl EraseCustomer {
    pub async fn run(self, context: &Context) -> Result<Value, StartError> {
        let broken = |error| super::failed(&Failure::Database(error));
        // Not bounded in time: every event is looked at.
        let client = context.database.client().await.map_err(|failure| super::failed(&failure))?;
        let parameters: &crate::db::Parameters<'_> =
            &[(&self.tenant, Type::UUID), (&self.customer, Type::UUID)];
        let rows = client.query_typed(sql::ERASE_CUSTOMER, parameters).await.map_err(broken)?;
        let row = rows.first().ok_or_else(|| super::failed(&Failure::Empty))?;
        let erased: Value = row.try_get(0).map_err(broken)?;
        Ok(json!({ "customer_id": self.customer, "erased": erased }))
    }
}
