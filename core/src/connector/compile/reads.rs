//! What of payloads the compiled manifest may read.

use super::{CompiledDocument, CompiledEntity, CompiledReceive, Envelope};
use crate::mapping::Reads;
use serde_json::Value;

/// Everything that finding out what a payload is, and mapping it, may ask for by name; `None` where that may be anything.
pub(super) fn of(
    receive: &CompiledReceive,
    envelopes: &[Envelope],
    entities: &[CompiledEntity],
    null_values: &[Value],
) -> Option<Reads> {
    let mut reads = Reads::default();
    reads.compare(null_values);
    receive.events.iter().for_each(|path| reads.add_path(path, false));
    for mapping in
        [&receive.topic, &receive.delivery_id, &receive.emitted_at, &receive.shop].into_iter().flatten()
    {
        mapping.reads(&mut reads, false);
    }
    // What has an id is a record and no envelope.
    reads.add("id", Reads::NAMED);
    for envelope in envelopes {
        match envelope {
            Envelope::Key(key) => reads.add(key, Reads::NAMED),
            Envelope::Path(path) => reads.add_path(path, false),
        }
    }
    for entity in entities {
        entity.single.iter().chain(&entity.list).for_each(|name| reads.add(name, Reads::NAMED));
        entity.detect.iter().for_each(|detect| detect.reads(&mut reads));
        entity.documents.iter().for_each(|rule| add_document(rule, &mut reads));
    }
    reads.known()
}

fn add_document(rule: &CompiledDocument, reads: &mut Reads) {
    [&rule.when, &rule.full_when, &rule.deleted_when]
        .into_iter()
        .flatten()
        .for_each(|condition| condition.reads(reads));
    // What is gone through is read item by item, by the mappings.
    rule.each.iter().for_each(|each| each.reads(reads, false));
    rule.external_id.reads(reads, true);
    rule.source_time.iter().for_each(|mapping| mapping.reads(reads, true));
    rule.fields.iter().for_each(|(_, mapping)| mapping.reads(reads, true));
}

#[cfg(test)]
mod tests {
    use crate::connector::{Connector, built_in};
    use crate::mapping::Reads;

    #[test]
    fn a_manifest_tells_what_is_read() {
        let read = |connector_type: &str, name: &str| {
            let manifest = built_in().iter().find(|(known, _)| *known == connector_type);
            let connector = manifest.and_then(|(_, manifest)| Connector::from_toml(manifest).ok());
            connector.and_then(|connector| connector.reads()?.of(name))
        };
        for (name, expected) in [
            ("line_items", Some(1)),
            ("refunds", Some(1)),
            ("customer", Some(Reads::NAMED)),
            ("note_attributes", Some(Reads::WHOLE)),
            ("cart_token", None),
        ] {
            assert_eq!(read("shopify", name), expected, "{name}");
        }
    }
}
