//! Where each value of a golden entity comes from, and what else was said.

use super::{Claims, Contest, Policy};
use crate::canonical::Kind;
use serde_json::Value;
use uuid::Uuid;

/// What one source says of one field.
#[derive(Debug, Clone, PartialEq)]
pub struct FieldProvenance {
    /// The field, by its name in documents; child rows go by their field, such as `lines`.
    pub field: &'static str,
    /// The group it survives with.
    pub group: &'static str,
    /// What the source says; a reference is the external id the source knows it by.
    pub value: Value,
    /// The source's record.
    pub birth_id: Uuid,
    /// The source.
    pub connector_id: Uuid,
    /// The record's id there.
    pub external_id: String,
    /// When the source said so, in microseconds since 1970.
    pub source_time: i64,
    /// The event that carried it.
    pub event_id: Uuid,
    /// The version of the manifest that mapped the event.
    pub manifest_version: i32,
    /// Whether it is what the golden entity has.
    pub is_winner: bool,
}

/// What every source says of every field, in the order of fields, the winner first. Losing claims are shown too;
/// claims that their source has deleted are not, unless every source has: then the last content stands.
pub fn provenance(kind: &Kind, claims: &[Claims<'_>], policy: &Policy) -> Vec<FieldProvenance> {
    let contest = Contest::new(kind, claims, policy);
    let mut rows = Vec::new();
    for group in kind.groups() {
        let ranked = contest.ranked(group);
        for field in kind.group_members(group) {
            for (place, claim) in ranked.iter().enumerate() {
                let Some(stamp) = claim.record.groups.get(group) else { continue };
                rows.push(FieldProvenance {
                    field,
                    group,
                    value: claim.record.fields.get(field).cloned().unwrap_or(Value::Null),
                    birth_id: claim.birth_id,
                    connector_id: claim.scope.connector_id,
                    external_id: claim.external_id.to_owned(),
                    source_time: stamp.version.source_time,
                    event_id: stamp.event_id,
                    manifest_version: stamp.manifest_version,
                    is_winner: place == 0,
                });
            }
        }
    }
    rows
}
