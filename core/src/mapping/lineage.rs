//! Where a mapping's value comes from, as the manifest alone tells: the places it may read.

use super::{Each, Mapping, Origin, Path, Piece, Source};
use std::collections::BTreeSet;

/// The places that give a value, and those that give the members of what it is made of.
#[derive(Debug, Default)]
pub(crate) struct Places {
    /// A path, `header <name>`, `setting <name>`, or `constant <value>`.
    pub own: BTreeSet<String>,
    /// Members by name: an object's, or those of each row of a list.
    pub members: Vec<(String, Places)>,
}

impl Mapping {
    /// The places that the value is made of. `item` and `record` are where the current item and record stand in
    /// the payload. What a condition asks about gives no value.
    pub(crate) fn places(&self, item: &str, record: &str) -> Places {
        let mut places = Places::default();
        self.add_places(item, record, &mut places);
        places
    }

    fn add_places(&self, item: &str, record: &str, places: &mut Places) {
        let at = |origin: &Origin, path: &Path| origin.place(path, item, record);
        match &self.source {
            Source::Nowhere => {}
            Source::Path(origin, path) | Source::AllOf(origin, path) => {
                places.own.insert(at(origin, path));
            }
            Source::Header(name) => {
                places.own.insert(format!("header {name}"));
            }
            Source::Setting(name) => {
                places.own.insert(format!("setting {name}"));
            }
            Source::Constant(value) => {
                places.own.insert(format!("constant {value}"));
            }
            Source::Template(pieces) => {
                for piece in pieces {
                    if let Piece::Value(mapping) = piece {
                        mapping.add_places(item, record, places);
                    }
                }
            }
            Source::FirstOf(mappings)
            | Source::Join(mappings, _)
            | Source::Sum(mappings)
            | Source::Product(mappings)
            | Source::Latest(mappings)
            | Source::Concat(mappings) => {
                mappings.iter().for_each(|mapping| mapping.add_places(item, record, places));
            }
            Source::SumOver(each, terms) => {
                let item = each.place(item, record);
                terms.iter().for_each(|term| term.add_places(&item, record, places));
            }
            Source::Pick(each, mapping) => mapping.add_places(&each.place(item, record), record, places),
            Source::List(each, members) => {
                let item = each.place(item, record);
                add_members(members, &item, record, places);
                if members.is_empty() {
                    places.own.insert(item);
                }
            }
            Source::Object(from, members) => {
                let item = from.as_ref().map_or_else(|| item.to_owned(), |(origin, path)| at(origin, path));
                add_members(members, &item, record, places);
            }
            Source::Children(list) => list.add_places(item, record, places),
        }
    }
}

fn add_members(members: &[(String, Mapping)], item: &str, record: &str, places: &mut Places) {
    places.members.extend(members.iter().map(|(name, mapping)| (name.clone(), mapping.places(item, record))));
}

impl Each {
    /// Where the items stand.
    pub(crate) fn place(&self, item: &str, record: &str) -> String {
        self.origin.place(&self.path, item, record)
    }
}

impl Origin {
    fn place(self, path: &Path, item: &str, record: &str) -> String {
        let start = match self {
            Origin::Item => item,
            Origin::Record => record,
            Origin::Payload => "$",
        };
        // A path begins with the `$` that stands for its start.
        format!("{start}{}", path.text().strip_prefix('$').unwrap_or(path.text()))
    }
}
