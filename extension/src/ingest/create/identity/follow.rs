//! References to records that contribute to another entity than before.
//!
//! One transaction rewrites a thousand rows of each column, which is what most moves have and more. Of what has
//! more, a variant that was sold a million times, `nexus.follow_moves` rewrites the rest, as much at a time:
//! nobody waits longer, and `…_birth_id` says meanwhile what a row means.

use crate::error::{Result, internal};
use crate::functions::from_core;
use crate::golden::reference_columns;
use crate::ingest::record::Stored;
use crate::plan::{self, column};
use nexus_core::canonical::Kind;
use pgrx::spi::SpiClient;
use std::sync::LazyLock;
use uuid::Uuid;

/// Rows that one transaction rewrites at most, of each column.
pub const MOST: i64 = 1000;

/// What a row's reference names: the record itself, or one of its aliases.
const BY_NAME: &str = "select r.birth_id as named_id, r.entity_id from r";

const BY_ALIAS: &str = "select r.birth_id as named_id, r.entity_id from r
        union all
        select a.alias_id, r.entity_id from r
        join nexus.source_record_alias a on a.tenant_id = $1 and a.birth_id = r.birth_id";

/// One statement for each column that refers to a kind. What refers to an order or a customer is found by the entities
/// that these have been part of: that is what people look for, so it has an index anyway. Everything else is found by
/// what it names.
static STATEMENTS: LazyLock<Vec<(&'static str, String)>> = LazyLock::new(|| {
    let statement = |(table, name, target): (&'static str, &'static str, &Kind)| {
        let (names, place) = match target.name {
            "sales_order" | "customer" => (
                "select r.birth_id as named_id, r.entity_id, r.birth_id as former_id from r
        union
        select r.birth_id, r.entity_id, c.old_entity_id from r
        join nexus.entity_change c on c.tenant_id = $1 and c.birth_id = r.birth_id",
                format!("t.{name}_id = n.former_id and t.{name}_birth_id = n.named_id"),
            ),
            _ if target.field("aliases").is_some() => (BY_ALIAS, format!("t.{name}_birth_id = n.named_id")),
            _ => (BY_NAME, format!("t.{name}_birth_id = n.named_id")),
        };
        let text = format!(
            "with r as (select unnest($2::uuid[]) as birth_id, unnest($3::uuid[]) as entity_id),
             due as (
                select t.{table}_id, n.entity_id from ({names}) n
                join nexus.{table} t on t.tenant_id = $1 and {place}
                where t.{name}_id is distinct from n.entity_id limit $4),
             followed as (
                update nexus.{table} t set {name}_id = d.entity_id from due d
                where t.tenant_id = $1 and t.{table}_id = d.{table}_id returning 1)
             select count(*) from followed"
        );
        (target.name, text)
    };
    reference_columns().into_iter().map(statement).collect()
});

/// Stock has to be looked at again where locations move: that is left to `nexus.follow_moves`.
const SETTLE: &str = "
    update nexus.entity_change c set is_settled = true
    where c.tenant_id = $1 and c.birth_id = any ($2) and not c.is_settled and c.kind <> 'location'";

/// Rewrites the rows that refer to these records; how many. Who moves records or follows them holds the tenant's
/// references alone.
pub fn run(client: &mut SpiClient<'_>, tenant_id: Uuid, moved: &[&Stored]) -> Result<i64> {
    if moved.is_empty() {
        return Ok(0);
    }
    let tenant = from_core(tenant_id);
    let (mut rewritten, mut is_all) = (0, true);
    for (kind, text) in STATEMENTS.iter() {
        let of_kind: Vec<_> = moved.iter().filter(|stored| stored.kind.name == *kind).collect();
        if of_kind.is_empty() {
            continue;
        }
        let arguments = [
            tenant.into(),
            column(&of_kind, |stored| from_core(stored.birth_id)),
            column(&of_kind, |stored| from_core(stored.entity_id)),
            MOST.into(),
        ];
        for row in plan::run(client, text, &arguments)? {
            let followed = row.get::<i64>(1).map_err(internal)?.unwrap_or_default();
            rewritten += followed;
            is_all &= followed < MOST;
        }
    }
    if is_all {
        let birth_ids = column(moved, |stored| from_core(stored.birth_id));
        plan::run(client, SETTLE, &[tenant.into(), birth_ids])?;
    }
    Ok(rewritten)
}
