//! Ids that follow from what they name, so that any node derives the same one, before the thing is seen.

use uuid::Uuid;

/// The namespace of every derived id of Nexus. Changing it would rename every record: never do.
const NAMESPACE: Uuid = Uuid::from_u128(0x6e65_7875_732d_5000_8000_636f_6d6d_6572);

/// Where a source's records live: identity never crosses a tenant or an environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// The tenant.
    pub tenant_id: Uuid,
    /// Its environment.
    pub environment_id: Uuid,
    /// The connector: the source.
    pub connector_id: Uuid,
}

impl Scope {
    /// The id of a source's record: known before anything else of it is, and for ever.
    pub fn birth_id(&self, kind: &str, external_id: &str) -> Uuid {
        derive(&[
            self.tenant_id.as_bytes(),
            self.environment_id.as_bytes(),
            self.connector_id.as_bytes(),
            kind.as_bytes(),
            external_id.as_bytes(),
        ])
    }
}

/// The id of a child row, such as an order line, of a source's record.
pub fn child_id(birth_id: Uuid, table: &str, external_id: &str) -> Uuid {
    derive(&[birth_id.as_bytes(), table.as_bytes(), external_id.as_bytes()])
}

/// The id of what exists once for a pair, such as the delivery of one event to one subscription.
pub fn pair_id(first: Uuid, second: Uuid) -> Uuid {
    derive(&[first.as_bytes(), second.as_bytes()])
}

/// UUIDv5 over parts that are each preceded by their length, so that no two lists of parts read alike.
fn derive(parts: &[&[u8]]) -> Uuid {
    let mut name = Vec::with_capacity(parts.iter().map(|part| part.len() + 4).sum());
    for part in parts {
        name.extend_from_slice(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
        name.extend_from_slice(part);
    }
    Uuid::new_v5(&NAMESPACE, &name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(connector: u128) -> Scope {
        Scope {
            tenant_id: Uuid::from_u128(1),
            environment_id: Uuid::from_u128(2),
            connector_id: Uuid::from_u128(connector),
        }
    }

    #[test]
    fn never_changes() {
        assert_eq!(
            scope(3).birth_id("sales_order", "1001").to_string(),
            "73fb54a7-bf3e-5b1b-87da-7913c22de059",
            "stored ids would no longer be found"
        );
    }

    #[test]
    fn tells_sources_kinds_and_ids_apart() {
        let id = scope(3).birth_id("customer", "12");
        assert_ne!(id, scope(4).birth_id("customer", "12"));
        assert_ne!(id, scope(3).birth_id("product", "12"));
        assert_ne!(scope(3).birth_id("customer", "1"), scope(3).birth_id("customer1", ""));
    }
}
