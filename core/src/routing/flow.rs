//! Flows: which changes they hear of, and what is sent for one.

use super::{check_rate, check_url, glob};
use crate::canonical::{FieldType, Kind};
use crate::error::{Code, Error};
use crate::mapping::{Condition, FieldMapping};
use crate::retry::Policy;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::borrow::Cow;
use std::collections::BTreeMap;
use uuid::Uuid;

/// The order's statuses that a flow may be limited to.
const STATUSES: [&str; 3] = ["order_status", "financial_status", "fulfillment_status"];

/// The longest an attempt or a callback may take.
const WEEK: u32 = 7 * 24 * 3600;

/// What a flow does, as `nexus.flow.definition` holds it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlowDefinition {
    /// The entity kinds it is for; at least one.
    pub kinds: Vec<String>,
    /// The connectors it listens to; absent: all of the environment.
    #[serde(default)]
    pub connector_ids: Option<Vec<Uuid>>,
    /// The topics it listens to, `*` standing for any text; absent: all.
    #[serde(default)]
    pub topics: Option<Vec<String>>,
    /// For orders: the values of `order_status`, `financial_status` or `fulfillment_status` it is for.
    #[serde(default)]
    pub status_filters: BTreeMap<String, Vec<String>>,
    /// A predicate of the mapping language over the canonical document; absent: it always holds.
    #[serde(default)]
    pub when: Option<Value>,
    /// What to send in place of the canonical document: an object of expressions of the mapping language.
    #[serde(default)]
    pub field_mapping: Option<Value>,
    /// Whose prices count.
    #[serde(default)]
    pub pricing_mode: PricingMode,
    /// Where jobs are sent.
    pub execution_url: String,
    /// When to try again.
    #[serde(default = "Policy::for_jobs")]
    pub retry: Policy,
    /// Jobs a second; absent: no limit.
    #[serde(default)]
    pub rate_limit: Option<u32>,
    /// How long one attempt may take, in seconds.
    #[serde(default = "thirty_seconds")]
    pub timeout_seconds: u32,
    /// How long to wait for the callback after a 202, in seconds.
    #[serde(default = "one_hour")]
    pub callback_timeout_seconds: u32,
    /// Error codes of the destination that no retry will mend, such as `SKU_NOT_FOUND`.
    #[serde(default)]
    pub permanent_error_codes: Vec<String>,
}

/// Whose prices count at a flow's destination.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PricingMode {
    /// The source's: amounts are sent as they came.
    #[default]
    Payload,
    /// The destination's own price lists: no prices and amounts are sent, so that none can be taken over.
    Destination,
}

fn thirty_seconds() -> u32 {
    30
}

fn one_hour() -> u32 {
    3600
}

/// A flow's definition, checked and compiled.
#[derive(Debug)]
pub struct Flow {
    definition: FlowDefinition,
    when: Option<Condition>,
    field_mapping: Option<FieldMapping>,
}

/// A changed source record, as flows are asked about it.
#[derive(Debug, Clone, Copy)]
pub struct Change<'a> {
    /// Its kind.
    pub kind: &'a str,
    /// Its connector.
    pub connector_id: Uuid,
    /// The topic of the event that changed it.
    pub topic: Option<&'a str>,
    /// Its joined canonical document.
    pub document: &'a Map<String, Value>,
}

/// A setting as it applies to a flow.
#[derive(Debug, Clone, PartialEq)]
pub struct Effective {
    /// Its name in the definition.
    pub name: String,
    /// Its value.
    pub value: Value,
    /// The definition says nothing of it: the value is the default.
    pub is_default: bool,
}

impl Flow {
    /// Reads a definition and checks it.
    pub fn from_json(definition: &Value) -> Result<Self, Error> {
        let flow = FlowDefinition::deserialize(definition)
            .map_err(|error| invalid(format!("a flow's definition cannot be read: {error}")))?;
        flow.check()?;
        let invalid = |error: Error| Error { code: Code::InvalidFlow, ..error };
        let when = flow.when.as_ref().map(|when| Condition::from_json(when, "$.when"));
        let fields = flow.field_mapping.as_ref();
        let fields = fields.map(|fields| FieldMapping::from_json(fields, "$.field_mapping"));
        Ok(Self {
            when: when.transpose().map_err(invalid)?,
            field_mapping: fields.transpose().map_err(invalid)?,
            definition: flow,
        })
    }

    /// What it was compiled from.
    pub fn definition(&self) -> &FlowDefinition {
        &self.definition
    }

    /// Whether a change is for this flow; else why not.
    pub fn wants(&self, change: &Change<'_>) -> Result<(), String> {
        let flow = &self.definition;
        if !flow.kinds.iter().any(|wanted| wanted == change.kind) {
            return Err(format!("the flow is for {}, not for {}", flow.kinds.join(", "), change.kind));
        }
        if flow.connector_ids.as_ref().is_some_and(|wanted| !wanted.contains(&change.connector_id)) {
            return Err("the flow is for other connectors".to_owned());
        }
        let is_wanted = |patterns: &Vec<String>| {
            change.topic.is_some_and(|topic| patterns.iter().any(|pattern| glob(pattern, topic)))
        };
        if flow.topics.as_ref().is_some_and(|patterns| !is_wanted(patterns)) {
            return Err("the flow is for other topics".to_owned());
        }
        for (field, wanted) in &flow.status_filters {
            let status = change.document.get(field).and_then(Value::as_str).unwrap_or("unknown");
            if !wanted.iter().any(|wanted| wanted == status) {
                return Err(format!("{field} is {status}, and the flow is for {}", wanted.join(", ")));
            }
        }
        // The condition reads a document as a value of its own, which only flows with one pay for.
        match &self.when {
            Some(when) if !when.holds_for(&Value::Object(change.document.clone())) => {
                Err("the flow's \"when\" does not hold for the document".to_owned())
            }
            _ => Ok(()),
        }
    }

    /// What is sent for a canonical document: the document, without prices where those of the destination
    /// count, through the field mapping if there is one.
    pub fn payload<'a>(&self, kind: &str, document: &'a Value) -> Result<Cow<'a, Value>, Error> {
        let mut payload = Cow::Borrowed(document);
        if self.definition.pricing_mode == PricingMode::Destination {
            take_out_prices(Kind::named(kind)?, payload.to_mut());
        }
        if let Some(mapping) = &self.field_mapping {
            payload = Cow::Owned(mapping.evaluate(&payload, &Value::Null)?);
        }
        Ok(payload)
    }

    /// Every setting as it applies, and whether the definition says so.
    pub fn effective(&self, given: &Value) -> Vec<Effective> {
        let all = serde_json::to_value(&self.definition).unwrap_or_default();
        let all = all.as_object().cloned().unwrap_or_default();
        all.into_iter()
            .map(|(name, value)| Effective { is_default: given.get(&name).is_none(), name, value })
            .collect()
    }
}

impl FlowDefinition {
    fn check(&self) -> Result<(), Error> {
        if self.kinds.is_empty() {
            return Err(invalid("a flow needs at least one entity kind").at("$.kinds"));
        }
        for kind in &self.kinds {
            Kind::named(kind).map_err(|error| Error { code: Code::InvalidFlow, ..error }.at("$.kinds"))?;
        }
        check_url(&self.execution_url).map_err(|reason| invalid(reason).at("$.execution_url"))?;
        for (name, seconds) in [
            ("$.timeout_seconds", self.timeout_seconds),
            ("$.callback_timeout_seconds", self.callback_timeout_seconds),
        ] {
            if !(1..=WEEK).contains(&seconds) {
                return Err(invalid("must be between 1 second and 7 days").at(name));
            }
        }
        // Each star may begin its text anywhere, so their number bounds the work.
        if self.topics.iter().flatten().any(|pattern| pattern.matches('*').count() > 3) {
            return Err(invalid("a topic pattern has at most three stars").at("$.topics"));
        }
        for (field, wanted) in &self.status_filters {
            self.check_status_filter(field, wanted)?;
        }
        check_rate(self.rate_limit).map_err(|reason| invalid(reason).at("$.rate_limit"))?;
        self.retry.check(Code::InvalidFlow, "$.retry")
    }

    fn check_status_filter(&self, field: &str, wanted: &[String]) -> Result<(), Error> {
        let at = format!("$.status_filters.{field}");
        let order = Kind::named("sales_order")?;
        let Some(FieldType::Vocabulary(known)) =
            order.field(field).filter(|_| STATUSES.contains(&field)).map(|field| field.field_type)
        else {
            return Err(invalid(format!("is no status; one of {}", STATUSES.join(", "))).at(at));
        };
        if self.kinds.iter().any(|kind| kind != order.name) {
            return Err(invalid("only orders have statuses, and the flow is for other kinds as well").at(at));
        }
        match wanted.iter().find(|status| !known.contains(&status.as_str())) {
            Some(status) => {
                Err(invalid(format!("\"{status}\" is no {field}; one of {}", known.join(", "))).at(at))
            }
            None => Ok(()),
        }
    }
}

/// Takes prices and amounts out of a document and its child rows.
fn take_out_prices(kind: &Kind, document: &mut Value) {
    let Some(document) = document.as_object_mut() else { return };
    document.retain(|name, _| !is_price(name));
    let rows = kind.children.and_then(|children| document.get_mut(children.field)?.as_array_mut());
    for row in rows.into_iter().flatten().filter_map(Value::as_object_mut) {
        row.retain(|name, _| !is_price(name));
    }
}

/// The model's fields of money: every name that ends so is one, and no other is (a test holds the model to it).
fn is_price(name: &str) -> bool {
    ["amount", "price", "cost"].iter().any(|word| name == *word || name.ends_with(&format!("_{word}")))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(Code::InvalidFlow, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::canonical::KINDS;
    use serde_json::json;

    fn flow(extra: Value) -> Result<Flow, Error> {
        let mut definition = json!({ "kinds": ["sales_order"], "execution_url": "https://example.com/run" });
        if let (Some(definition), Value::Object(extra)) = (definition.as_object_mut(), extra) {
            definition.extend(extra);
        }
        Flow::from_json(&definition)
    }

    fn order() -> Value {
        json!({
            "order_number": "#1", "financial_status": "paid", "total_amount": "12.50", "currency": "EUR",
            "lines": [{ "sku": "A", "quantity": "2", "unit_price": "6.25" }],
        })
    }

    fn wants(flow: &Flow, kind: &str, connector_id: Uuid, topic: Option<&str>) -> Result<(), String> {
        let document = order();
        flow.wants(&Change { kind, connector_id, topic, document: document.as_object().expect("an object") })
    }

    #[test]
    fn a_flow_wants_its_kinds_connectors_and_topics() {
        let (mine, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let flow = flow(json!({ "connector_ids": [mine], "topics": ["orders/*"] })).expect("a flow");
        assert_eq!(wants(&flow, "sales_order", mine, Some("orders/create")), Ok(()));
        assert!(wants(&flow, "customer", mine, Some("orders/create")).is_err());
        assert!(wants(&flow, "sales_order", other, Some("orders/create")).is_err());
        assert!(wants(&flow, "sales_order", mine, Some("refunds/create")).is_err());
        assert!(wants(&flow, "sales_order", mine, None).is_err());
    }

    #[test]
    fn a_flow_wants_documents_by_status_and_condition() {
        let reason = |extra| wants(&flow(extra).expect("a flow"), "sales_order", Uuid::nil(), None).err();
        assert_eq!(reason(json!({ "status_filters": { "financial_status": ["paid", "refunded"] } })), None);
        let unpaid = reason(json!({ "status_filters": { "financial_status": ["pending"] } }));
        assert_eq!(unpaid.as_deref(), Some("financial_status is paid, and the flow is for pending"));
        assert_eq!(reason(json!({ "when": { "path": "$.currency", "equals": "EUR" } })), None);
        assert!(reason(json!({ "when": { "path": "$.currency", "equals": "USD" } })).is_some());
    }

    #[test]
    fn what_is_sent_is_mapped_and_priced_as_the_flow_says() {
        let payload = |extra| {
            let flow = flow(extra).expect("a flow");
            flow.payload("sales_order", &order()).expect("a payload").into_owned()
        };
        assert_eq!(payload(json!({})), order());
        let unpriced = payload(json!({ "pricing_mode": "destination" }));
        let lines = json!([{ "sku": "A", "quantity": "2" }]);
        let expected =
            json!({ "order_number": "#1", "financial_status": "paid", "currency": "EUR", "lines": lines });
        assert_eq!(unpriced, expected);
        let mapped = payload(json!({ "field_mapping": {
            "number": "$.order_number",
            "rows": { "each": "$.lines[*]", "fields": { "item": "$.sku" } },
        } }));
        assert_eq!(mapped, json!({ "number": "#1", "rows": [{ "item": "A" }] }));
    }

    #[test]
    fn every_field_of_money_is_named_as_one() {
        let not_money = ["quantity", "rate", "percent", "weight"];
        for kind in KINDS {
            let children = kind.children.map_or(&[][..], |children| children.fields);
            for field in kind.fields.iter().chain(children) {
                let is_decimal = field.field_type == FieldType::Decimal;
                let is_other = not_money.iter().any(|word| field.name.contains(word));
                let is_stock = kind.name == "inventory_level";
                assert_eq!(
                    is_price(field.name),
                    is_decimal && !is_other && !is_stock,
                    "{}.{}",
                    kind.name,
                    field.name
                );
            }
        }
    }

    #[test]
    fn settings_that_apply_say_whether_they_are_defaults() {
        let given =
            json!({ "kinds": ["sales_order"], "execution_url": "https://example.com", "timeout_seconds": 5 });
        let effective = Flow::from_json(&given).expect("a flow").effective(&given);
        let of = |name: &str| effective.iter().find(|setting| setting.name == name).expect("a setting");
        assert_eq!((&of("timeout_seconds").value, of("timeout_seconds").is_default), (&json!(5), false));
        assert_eq!(of("retry").value, json!({ "delays_seconds": [60, 300, 900, 1800] }));
        assert!(of("retry").is_default && of("pricing_mode").value == "payload");
    }

    #[test]
    fn a_definition_that_cannot_work_is_refused_with_the_place() {
        for (extra, place) in [
            (json!({ "kinds": [] }), Some("$.kinds")),
            (json!({ "kinds": ["orders"] }), Some("$.kinds")),
            (json!({ "execution_url": "ftp://example.com" }), Some("$.execution_url")),
            (json!({ "execution_url": "https://user:pass@example.com" }), Some("$.execution_url")),
            (json!({ "timeout_seconds": 0 }), Some("$.timeout_seconds")),
            (json!({ "status_filters": { "note": ["x"] } }), Some("$.status_filters.note")),
            (
                json!({ "status_filters": { "order_status": ["open"] } }),
                Some("$.status_filters.order_status"),
            ),
            (json!({ "when": { "path": "$.[" } }), Some("$.when.path")),
            (
                json!({ "field_mapping": { "a": { "path": "$.x", "as": "nothing" } } }),
                Some("$.field_mapping.a.as"),
            ),
            (json!({ "unheard_of": 1 }), None),
        ] {
            let error = flow(extra).expect_err("refused");
            assert_eq!((error.code, error.path.as_deref()), (Code::InvalidFlow, place), "{error}");
        }
    }
}
