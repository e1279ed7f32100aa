//! Statements prepared once per backend and kept, and what is handed to them.

use crate::array::{self, Element};
use crate::error::{Result, internal};
use pgrx::datum::DatumWithOid;
use pgrx::pg_sys::{Oid, PgOid};
use pgrx::spi::{OwnedPreparedStatement, SpiClient, SpiTupleTable};
use std::borrow::Cow;
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

/// A column of a statement's rows, as an array. `select unnest($2) as a, unnest($3) as b` makes rows of them again,
/// several times faster than `jsonb_to_recordset` or `from unnest($2, $3)` would.
pub fn column<'a, R, T: Element>(
    rows: impl IntoIterator<Item = R>,
    value: impl FnMut(R) -> T,
) -> DatumWithOid<'a> {
    array::argument(rows.into_iter().map(value))
}

/// A value in the form that PostgreSQL reads, on its way into a column of text.
pub struct Text<'a>(Cow<'a, str>);

impl<'a> Text<'a> {
    pub fn new(text: impl Into<Cow<'a, str>>) -> Self {
        Self(text.into())
    }

    /// An array's literal.
    pub fn list<'i>(items: impl IntoIterator<Item = &'i str>) -> Self {
        let mut literal = String::from("{");
        for item in items {
            if literal.len() > 1 {
                literal.push(',');
            }
            literal.push('"');
            for character in item.chars() {
                if matches!(character, '"' | '\\') {
                    literal.push('\\');
                }
                literal.push(character);
            }
            literal.push('"');
        }
        literal.push('}');
        Self::new(literal)
    }
}

impl Element for Text<'_> {
    const TYPE: Oid = <&str>::TYPE;
    const ARRAY_TYPE: Oid = <&str>::ARRAY_TYPE;
    const ALIGNMENT: usize = <&str>::ALIGNMENT;

    fn write(self, to: &mut Vec<u8>) -> bool {
        self.0.as_ref().write(to)
    }
}
