//! Statements prepared once per backend and kept.

use crate::error::{Result, internal};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::PgOid;
use pgrx::spi::{OwnedPreparedStatement, SpiClient, SpiTupleTable};
use std::cell::RefCell;
use std::collections::HashMap;

thread_local! {
    static KEPT: RefCell<HashMap<&'static str, &'static OwnedPreparedStatement>> = RefCell::default();
}

/// Runs a statement with its kept plan. The text is the key, so it must be one that stays the same: a literal,
/// or one built once. An error of the database does not return: it unwinds to the caller's transaction.
pub fn run<'conn>(
    client: &mut SpiClient<'conn>,
    text: &'static str,
    arguments: &[DatumWithOid<'_>],
) -> Result<SpiTupleTable<'conn>> {
    let kept = KEPT.with_borrow(|plans| plans.get(text).copied());
    let plan = match kept {
        Some(plan) => plan,
        None => {
            let types: Vec<PgOid> = arguments.iter().map(|argument| PgOid::from(argument.oid())).collect();
            // Kept for the life of the backend, as the map is.
            let plan: &'static _ =
                Box::leak(Box::new(client.prepare_mut(text, &types).map_err(internal)?.keep()));
            KEPT.with_borrow_mut(|plans| plans.insert(text, plan));
            plan
        }
    };
    client.update(plan, None, arguments).map_err(internal)
}
