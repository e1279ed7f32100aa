//! Requests that hold several of the platform's events.
//!
//! One request is one event of ours: all of it is understood, or none of it.

use super::detect::{self, Records};
use super::{FetchRequest, Outcome, document};
use crate::connector::{BATCH, CompiledEntity, Connector};
use crate::mapping::Scope;
use serde_json::Value;

/// Reasons that are told; a batch that is ignored for more of them has been understood well enough.
const MAX_REASONS: usize = 8;

/// What a request with several events says.
pub(super) struct Batch {
    /// The topic that all of them have, or [`BATCH`].
    pub topic: Option<String>,
    pub outcome: Outcome,
    pub fetch: Vec<FetchRequest>,
}

/// The platform's events in a payload: those of the first path that leads to a list. `None` if none does.
pub(super) fn of<'a>(connector: &Connector, payload: &'a Value) -> Option<Vec<&'a Value>> {
    let in_list = |path: &crate::mapping::Path| {
        let events: Vec<_> = path.all(payload).into_iter().filter(|event| event.is_object()).collect();
        let is_list = !events.is_empty() || path.container(payload).is_some_and(Value::is_array);
        is_list.then_some(events)
    };
    connector.compiled_receive().events.iter().find_map(in_list)
}

/// What the events say. `topic` is that of events that do not tell.
pub(super) fn batch(
    connector: &Connector,
    events: &[&Value],
    topic: Option<&str>,
    scope: Scope<'_>,
) -> Batch {
    let mapping = connector.compiled_receive().topic.as_ref();
    let mut topics = Topics::default();
    let mut reasons: Vec<String> = Vec::new();
    let mut found = Records::default();
    for (index, event) in events.iter().enumerate() {
        let scope = scope.of_record(event);
        let own = mapping.and_then(|mapping| mapping.text(&scope)).or_else(|| topic.map(str::to_owned));
        let add =
            &mut |entity: &CompiledEntity, scope: Scope<'_>| document::of_record(entity, scope, &mut found);
        let reason = match own.as_deref().and_then(|topic| detect::ignored(connector, topic)) {
            Some(reason) => Some(reason),
            None => match detect::records(connector, own.as_deref(), scope, add) {
                Ok(true) => None,
                Ok(false) => Some(detect::unknown_shape(connector)),
                Err(mut error) => {
                    error.message = format!("event {} of {}: {}", index + 1, events.len(), error.message);
                    topics.add(own);
                    let outcome = Outcome::Quarantined(error);
                    return Batch { topic: topics.common(), outcome, fetch: Vec::new() };
                }
            },
        };
        topics.add(own);
        if reasons.len() < MAX_REASONS {
            reasons.extend(reason.filter(|reason| !reasons.contains(reason)));
        }
    }
    if events.is_empty() {
        reasons.push("the request holds no events".to_owned());
    }
    let outcome = found.outcome().unwrap_or_else(|| match reasons.is_empty() {
        true => Outcome::Documents(Vec::new()),
        false => Outcome::Ignored { reason: reasons.join("; ") },
    });
    Batch { topic: topics.common(), outcome, fetch: found.into_fetch() }
}

/// The first topic, and whether there are others.
#[derive(Default)]
struct Topics {
    first: Option<Option<String>>,
    are_several: bool,
}

impl Topics {
    fn add(&mut self, topic: Option<String>) {
        match &self.first {
            None => self.first = Some(topic),
            Some(first) => self.are_several |= *first != topic,
        }
    }

    fn common(self) -> Option<String> {
        match self.are_several {
            true => Some(BATCH.to_owned()),
            false => self.first.flatten(),
        }
    }
}
