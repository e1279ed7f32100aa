//! The fields of each kind by the groups in which they survive, worked out once.

use super::{Children, Field, KINDS, Kind};
use std::sync::LazyLock;

/// Fields of a kind that survive together, or its child rows.
#[derive(Debug)]
pub struct Group {
    /// Its name.
    pub name: &'static str,
    /// The names of its fields in documents, in the order of the kind's.
    pub members: Vec<&'static str>,
    /// Its fields; of child rows there are none.
    pub fields: Vec<Column>,
    /// The child rows that it is, if it is some.
    pub children: Option<Rows>,
}

/// A field with the names it goes by.
#[derive(Debug)]
pub struct Column {
    /// The field.
    pub field: &'static Field,
    /// Its name in documents.
    pub document_name: &'static str,
    /// The name of the column that it fills.
    pub name: &'static str,
}

/// Child rows with the names they go by.
#[derive(Debug)]
pub struct Rows {
    /// What they are.
    pub children: Children,
    /// Their columns.
    pub columns: Vec<Column>,
    /// The name of their own id.
    pub id_column: String,
}

static GROUPS: LazyLock<Vec<Vec<Group>>> =
    LazyLock::new(|| KINDS.iter().map(|kind| groups_of(kind)).collect());

impl Kind {
    /// Its fields in the groups that survive on their own, in the order of the fields; children last.
    pub fn field_groups(&self) -> &'static [Group] {
        let place = KINDS.iter().position(|kind| std::ptr::eq(*kind, self) || kind.name == self.name);
        place.and_then(|place| GROUPS.get(place)).map_or(&[], Vec::as_slice)
    }
}

fn groups_of(kind: &Kind) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for field in kind.fields {
        let column = column(field);
        match groups.iter_mut().find(|group| group.name == field.group) {
            Some(group) => {
                group.members.push(column.document_name);
                group.fields.push(column);
            }
            None => groups.push(Group {
                name: field.group,
                members: vec![column.document_name],
                fields: vec![column],
                children: None,
            }),
        }
    }
    groups.extend(kind.children.map(|children| Group {
        name: children.field,
        members: vec![children.field],
        fields: Vec::new(),
        children: Some(Rows {
            children,
            columns: children.fields.iter().map(column).collect(),
            id_column: format!("{}_id", children.table),
        }),
    }));
    groups
}

fn column(field: &'static Field) -> Column {
    Column { field, document_name: field.document_name(), name: field.column_name() }
}
