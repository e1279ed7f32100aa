//! The canonical model: which kinds of entity there are, which fields each has, and how a field behaves.
//!
//! This table is the single definition. Manifests are checked against it, registers and projection group
//! by it, and the extension builds its set-based statements from it; the columns in `sql/migrations` carry
//! the same names (a test compares the two).

mod commerce;
mod derived;
mod document;
mod group;
mod phone;
mod row;
mod vocabulary;

pub use commerce::KINDS;
pub use derived::{EmailKind, email_key, email_kind, gtin_key, is_valid_gtin, order_number_key, sku_key};
pub(crate) use derived::{country_code, derive};
pub use document::{Document, Snapshot};
pub use group::{Column, Group, Rows};
pub use phone::phone_e164;
pub use row::Row;
pub use vocabulary::VOCABULARIES;

use crate::error::{Code, Error};

/// How a field's value is written in a document and stored in its column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldType {
    /// JSON string; column `text`.
    Text,
    /// JSON number without fraction, within ±2^53; column `bigint`.
    Integer,
    /// JSON string of decimal digits, as the source sent them; column `numeric`.
    Decimal,
    /// JSON boolean; column `boolean`.
    Boolean,
    /// JSON string, RFC 3339 in UTC with `Z`; column `timestamptz`.
    Timestamp,
    /// JSON string, ISO 4217 in capitals; column `text`.
    Currency,
    /// JSON string out of a closed list that contains `unknown`; column `text`.
    Vocabulary(&'static [&'static str]),
    /// JSON array of strings; column `text[]`.
    TextList,
    /// Any JSON; column `jsonb`.
    Json,
    /// The external id of another record of the same source, in a field named `<name>_external_id`;
    /// columns `<name>_id` (the golden entity) and `<name>_birth_id` (what the source named).
    Reference(&'static str),
}

/// A canonical field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// Its name in documents, and its column's name (references aside, see [`FieldType::Reference`]).
    pub name: &'static str,
    /// How its value is written.
    pub field_type: FieldType,
    /// Fields of one group survive together, from one claim. Most fields are a group of their own.
    pub group: &'static str,
}

/// Rows that belong to one entity and survive as a unit, such as an order's lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Children {
    /// The field of the parent's document that holds them: an array of objects, each with `external_id`.
    pub field: &'static str,
    /// Their table.
    pub table: &'static str,
    /// Their fields; `external_id` and `position` come in addition, for every child.
    pub fields: &'static [Field],
}

/// What of an entity is about a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Personal {
    /// All of it.
    Everything,
    /// These field groups, and the `custom_fields` of its child rows.
    Groups(&'static [&'static str]),
}

/// A kind of canonical entity.
#[derive(Debug, PartialEq, Eq)]
pub struct Kind {
    /// Its name, which is also its table's: `customer`, `sales_order`, …
    pub name: &'static str,
    /// The first word of its domain events: `customer`, `order`, `product.variant`, …
    pub event_family: &'static str,
    /// What a document may claim.
    pub fields: &'static [Field],
    /// What is computed from the surviving fields: columns that no source claims.
    pub derived: &'static [Field],
    /// Whether each source's record is an entity of its own, never blended with another source's: stock.
    pub is_per_source: bool,
    /// What of it is about a person, to be taken out when that person asks to be forgotten.
    pub personal: Personal,
    /// Its child rows, if any.
    pub children: Option<Children>,
}

impl Kind {
    /// The kind of this name.
    pub fn named(name: &str) -> Result<&'static Kind, Error> {
        KINDS.iter().find(|kind| kind.name == name).copied().ok_or_else(|| {
            Error::new(Code::UnknownKind, format!("there is no entity kind \"{name}\""))
                .hint(format!("one of {}", KINDS.map(|kind| kind.name).join(", ")))
        })
    }

    /// The field of this name in documents, child arrays not included.
    pub fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.document_name() == name)
    }

    /// The column that holds the golden entity's id.
    pub fn id_column(&self) -> String {
        format!("{}_id", self.name)
    }

    /// The names of the groups that survive on their own, in the order of the fields; children last.
    pub fn groups(&self) -> impl Iterator<Item = &'static str> {
        self.field_groups().iter().map(|group| group.name)
    }

    /// The names a group has in a document.
    pub fn group_members(&self, group: &str) -> impl Iterator<Item = &'static str> {
        let group = self.field_groups().iter().find(|known| known.name == group);
        group.into_iter().flat_map(|group| group.members.iter().copied())
    }
}

impl Field {
    /// The field's name in a document: its own, or `<name>_external_id` for a reference.
    pub fn document_name(&self) -> &'static str {
        self.names()[0]
    }

    /// The column that survivorship fills: its own, or `<name>_birth_id` for a reference.
    pub fn column_name(&self) -> &'static str {
        self.names()[1]
    }

    /// The column of the entity that a reference points at: `<name>_id`.
    pub fn entity_column_name(&self) -> &'static str {
        self.names()[2]
    }

    fn names(&self) -> [&'static str; 3] {
        match self.field_type {
            FieldType::Reference(_) => commerce::reference_names(self.name),
            _ => [self.name; 3],
        }
    }
}
