//! What an expression can see.

use crate::error::{Code, Error};
use crate::normalize::Headers;
use serde_json::Value;
use std::cell::Cell;

/// Steps that the mapping of one payload may take. A payload of a megabyte takes some ten thousand; only
/// matching very many items with very many others comes near.
const STEPS: u64 = 2_000_000;

/// What stays the same for all expressions on one payload.
#[derive(Debug)]
pub struct Context<'a> {
    payload: &'a Value,
    headers: &'a Headers,
    settings: &'a Value,
    null_values: &'a [Value],
    keeps_null: bool,
    steps: Cell<u64>,
}

/// What one expression sees: the item it maps, the record that is in, and the context.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'a> {
    pub(crate) context: &'a Context<'a>,
    pub(crate) record: &'a Value,
    pub(crate) item: &'a Value,
    /// Absence means null here.
    pub(crate) is_full: bool,
}

impl<'a> Context<'a> {
    /// The context of a payload. `null_values` mean null wherever a path finds them.
    pub fn new(
        payload: &'a Value,
        headers: &'a Headers,
        settings: &'a Value,
        null_values: &'a [Value],
    ) -> Self {
        Self { payload, headers, settings, null_values, keeps_null: false, steps: Cell::new(STEPS) }
    }

    /// The same, but objects that are made keep their members that are null: a destination is told so, while
    /// a document's parts just lack what is not known.
    pub(crate) fn keeping_null(self) -> Self {
        Self { keeps_null: true, ..self }
    }

    /// The scope in which the whole payload is the record.
    pub fn scope(&'a self) -> Scope<'a> {
        Scope { context: self, record: self.payload, item: self.payload, is_full: true }
    }
}

impl<'a> Scope<'a> {
    /// The scope of a record within the payload.
    pub(crate) fn of_record(self, record: &'a Value) -> Self {
        Self { record, item: record, ..self }
    }

    /// The scope of an item within the record.
    pub(crate) fn of_item(self, item: &'a Value) -> Self {
        Self { item, ..self }
    }

    /// The scope in which absence means null, or does not.
    pub(crate) fn full(self, is_full: bool) -> Self {
        Self { is_full, ..self }
    }

    pub(crate) fn payload(self) -> &'a Value {
        self.context.payload
    }

    pub(crate) fn header(self, name: &str) -> Option<&'a str> {
        self.context.headers.get(name)
    }

    pub(crate) fn setting(self, name: &str) -> Option<&'a Value> {
        self.context.settings.get(name)
    }

    pub(crate) fn keeps_null(self) -> bool {
        self.context.keeps_null
    }

    /// Whether a value means null on this platform.
    pub(crate) fn means_null(self, value: &Value) -> bool {
        value.is_null() || self.context.null_values.contains(value)
    }

    /// Takes steps out of the budget.
    pub(crate) fn spend(self, steps: u64) -> Result<(), Error> {
        match self.context.steps.get().checked_sub(steps) {
            Some(left) => {
                self.context.steps.set(left);
                Ok(())
            }
            None => Err(Error::new(
                Code::MappingFailed,
                format!("the payload needs more than {STEPS} steps to map"),
            )
            .hint("its lists refer to one another too often; send it in smaller parts")),
        }
    }
}
