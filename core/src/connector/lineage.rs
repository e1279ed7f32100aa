//! Field lineage: which places of a payload feed which canonical field.

use super::Connector;
use crate::mapping::Places;

/// One place that a canonical field may come from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lineage {
    /// The entity kind.
    pub kind: &'static str,
    /// The field's name in documents; those of child rows are `lines.sku`, members of an object `address.city`.
    pub field: String,
    /// The record of the manifest, such as `order`, and so its topics.
    pub entity: String,
    /// A path from the record, `header <name>`, `setting <name>` or `constant <value>`.
    pub source: String,
}

impl Connector {
    /// Where each canonical field may come from, in the order of kinds, fields and records.
    pub fn lineage(&self) -> Vec<Lineage> {
        let mut lineage = Vec::new();
        for entity in &self.entities {
            for document in &entity.documents {
                let item = document.each.as_ref().and_then(|each| {
                    let places = each.places("$", "$");
                    places.own.into_iter().next()
                });
                let item = item.as_deref().unwrap_or("$");
                let named = [
                    ("external_id", Some(&document.external_id)),
                    ("source_time", document.source_time.as_ref()),
                ];
                let named = named.into_iter().filter_map(|(name, mapping)| Some((name, mapping?)));
                let fields = document.fields.iter().map(|(name, mapping)| (*name, mapping));
                for (field, mapping) in named.chain(fields) {
                    let mut add = |field: String, source: String| {
                        lineage.push(Lineage {
                            kind: document.kind.name,
                            field,
                            entity: entity.name.clone(),
                            source,
                        });
                    };
                    add_places(field, mapping.places(item, "$"), &mut add);
                }
            }
        }
        lineage.sort();
        lineage.dedup();
        lineage
    }
}

fn add_places(field: &str, places: Places, add: &mut impl FnMut(String, String)) {
    for source in places.own {
        add(field.to_owned(), source);
    }
    for (member, places) in places.members {
        add_places(&format!("{field}.{member}"), places, add);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::built_in;

    fn connector(name: &str) -> Connector {
        let (_, toml) = built_in().iter().find(|(built_in, _)| *built_in == name).expect("built in");
        Connector::from_toml(toml).expect("a manifest")
    }

    #[test]
    fn fields_and_those_of_child_rows_name_their_places() {
        let lineage = connector("shopify").lineage();
        let sources = |kind: &str, field: &str| -> Vec<&str> {
            let of = lineage.iter().filter(|line| line.kind == kind && line.field == field);
            of.filter(|line| line.entity == "order").map(|line| line.source.as_str()).collect()
        };
        assert_eq!(sources("sales_order", "order_number"), ["$.name"]);
        assert!(
            sources("sales_order", "lines.sku").contains(&"$.line_items[*].sku"),
            "{:?}",
            sources("sales_order", "lines.sku")
        );
        assert!(sources("customer", "email").iter().all(|source| source.starts_with("$.")));
    }

    #[test]
    fn every_mapped_field_of_every_platform_has_a_place() {
        for (name, _) in built_in() {
            let connector = connector(name);
            let lineage = connector.lineage();
            for document in connector.entities.iter().flat_map(|entity| &entity.documents) {
                for (field, _) in &document.fields {
                    let is_told = lineage.iter().any(|line| {
                        line.kind == document.kind.name
                            && (line.field == *field || line.field.starts_with(&format!("{field}.")))
                    });
                    assert!(is_told, "{name}: {}.{field}", document.kind.name);
                }
            }
        }
    }
}
