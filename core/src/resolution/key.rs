//! Identity keys: what two records have in common when they are the same thing.

use super::content::Content;
use crate::canonical::{
    EmailKind, Kind, email_key, email_kind, gtin_key, order_number_key, phone_e164, sku_key,
};
use crate::error::{Code, Error};
use crate::identity::Scope;
use crate::register::Record;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use uuid::Uuid;

/// What a key is made of. The order is the one in which edges are taken: the strongest evidence first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyType {
    /// The birth id of the record that a source says this one is. That record holds no key for it: it is
    /// found by its id.
    Reference,
    /// A company's VAT number with its country.
    VatNumber,
    /// A company's number in its country's register.
    RegistrationNumber,
    /// A GTIN that is unique in the world.
    Gtin,
    /// What an order is called in its own source: its number, its id.
    OrderNumber,
    /// What an order calls the order of another source; it meets that one's [`KeyType::OrderNumber`].
    OrderReference,
    /// A person's own e-mail address.
    Email,
    /// A SKU in its namespace.
    Sku,
    /// A role's e-mail address. It suggests, and never links; like all that follow.
    SharedEmail,
    /// A telephone number.
    Phone,
    /// A postal code with a house number, or with a name where there is none.
    Address,
    /// A product's brand and title.
    Title,
}

impl KeyType {
    /// Every type, the strongest first.
    pub const ALL: [KeyType; 12] = [
        KeyType::Reference,
        KeyType::VatNumber,
        KeyType::RegistrationNumber,
        KeyType::Gtin,
        KeyType::OrderNumber,
        KeyType::OrderReference,
        KeyType::Email,
        KeyType::Sku,
        KeyType::SharedEmail,
        KeyType::Phone,
        KeyType::Address,
        KeyType::Title,
    ];

    /// Its name in the table of keys.
    pub const fn as_str(self) -> &'static str {
        match self {
            KeyType::Reference => "reference",
            KeyType::VatNumber => "vat_number",
            KeyType::RegistrationNumber => "registration_number",
            KeyType::Gtin => "gtin",
            KeyType::OrderNumber => "order_number",
            KeyType::OrderReference => "order_reference",
            KeyType::Email => "email",
            KeyType::Sku => "sku",
            KeyType::SharedEmail => "shared_email",
            KeyType::Phone => "phone",
            KeyType::Address => "address",
            KeyType::Title => "title",
        }
    }

    /// The type of this name.
    pub fn named(name: &str) -> Option<KeyType> {
        KeyType::ALL.into_iter().find(|key_type| key_type.as_str() == name)
    }

    /// Whether records that share such a key are one thing unless a guard is against it. The other types only
    /// suggest a pair to a person.
    pub const fn is_linking(self) -> bool {
        !matches!(self, KeyType::SharedEmail | KeyType::Phone | KeyType::Address | KeyType::Title)
    }

    /// The type under which the other record of a pair holds the value.
    pub(super) const fn counterpart(self) -> KeyType {
        match self {
            KeyType::OrderNumber => KeyType::OrderReference,
            KeyType::OrderReference => KeyType::OrderNumber,
            other => other,
        }
    }

    /// For people.
    pub(super) const fn label(self) -> &'static str {
        match self {
            KeyType::Reference => "reference",
            KeyType::VatNumber => "VAT number",
            KeyType::RegistrationNumber => "registration number",
            KeyType::Gtin => "GTIN",
            KeyType::OrderNumber | KeyType::OrderReference => "order number",
            KeyType::Email | KeyType::SharedEmail => "e-mail",
            KeyType::Sku => "SKU",
            KeyType::Phone => "phone",
            KeyType::Address => "address",
            KeyType::Title => "brand and title",
        }
    }
}

/// An identity key of a record: a row of `identity_key`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// What it is made of.
    pub key_type: KeyType,
    /// Its normal form, 1 to 512 bytes.
    pub value: String,
}

/// What a tenant says of a connector's identifiers: JSON in the connector's row.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Connectors of one namespace mean the same by a SKU. All of an environment do, unless this says otherwise.
    pub sku_namespace: Option<String>,
    /// What the source puts before another system's order numbers, or before its own, such as `WEB-`.
    pub order_number_prefixes: Vec<String>,
    /// Where the source says which record of another source a record is.
    pub references: Vec<ReferenceField>,
}

/// Where a record names the record of another source that it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReferenceField {
    /// Of records of this kind.
    pub kind: String,
    /// JSON pointer into the document, such as `/custom_fields/shop_customer_id`.
    pub field: String,
    /// The connector whose external id stands there.
    pub connector_id: Uuid,
}

impl Settings {
    /// Reads and checks the settings; null is none.
    pub fn from_json(value: &Value) -> Result<Self, Error> {
        if value.is_null() {
            return Ok(Self::default());
        }
        let wrong = |reason: String| Error::new(Code::InvalidArgument, reason);
        let settings: Self =
            serde_json::from_value(value.clone()).map_err(|error| wrong(error.to_string()).at("identity"))?;
        let is_name = |name: &String| {
            !name.is_empty()
                && name.len() <= 63
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if !settings.sku_namespace.iter().all(is_name) {
            let error = wrong("must be 1 to 63 letters, digits, - or _".to_owned());
            return Err(error.at("identity.sku_namespace"));
        }
        for (place, reference) in settings.references.iter().enumerate() {
            Kind::named(&reference.kind)
                .map_err(|error| error.at(format!("identity.references[{place}].kind")))?;
            if !reference.field.starts_with('/') {
                let error = wrong("must be a JSON pointer, such as /custom_fields/shop_id".to_owned());
                return Err(error.at(format!("identity.references[{place}].field")));
            }
        }
        Ok(settings)
    }
}

/// In bytes: an index row holds no more, and what is longer identifies nothing.
const LONGEST: usize = 512;

/// The identity keys of a source's record, sorted, each once: those that link and those that only suggest. A
/// deleted record has the keys of its last content, so that it stays with what it was part of.
pub fn keys(kind: &Kind, scope: &Scope, external_id: &str, record: &Record, settings: &Settings) -> Vec<Key> {
    let content = Content::of(record);
    let mut keys = Vec::new();
    let mut add = |key_type: KeyType, value: Option<String>| {
        keys.extend(
            value
                .filter(|value| !value.is_empty() && value.len() <= LONGEST)
                .map(|value| Key { key_type, value }),
        );
    };
    for reference in settings.references.iter().filter(|reference| reference.kind == kind.name) {
        let source = Scope { connector_id: reference.connector_id, ..*scope };
        let target = content.pointer(&reference.field).map(|id| source.birth_id(kind.name, &id).to_string());
        add(KeyType::Reference, target);
    }
    match kind.name {
        "customer" => {
            let country = content.country_code();
            add(KeyType::VatNumber, content.text("vat_number").and_then(|number| vat_key(number, country)));
            let registration = content.text("registration_number");
            add(
                KeyType::RegistrationNumber,
                registration.and_then(|number| registration_key(number, country)),
            );
            let email = content.text("email").and_then(email_key);
            match email.as_deref().map(email_kind) {
                Some(EmailKind::Personal) => add(KeyType::Email, email),
                Some(EmailKind::Role) => add(KeyType::SharedEmail, email),
                // A relay's address changes with every order, a placeholder is anybody's.
                Some(EmailKind::Relay | EmailKind::Placeholder) | None => {}
            }
            add(KeyType::Phone, content.text("phone").and_then(|phone| phone_e164(phone, country)));
            let last_name = content.last_name();
            for address in content.addresses() {
                let phone = address.text("phone");
                add(KeyType::Phone, phone.and_then(|phone| phone_e164(phone, address.text("country_code"))));
                add(KeyType::Address, address.key(last_name.as_deref()));
            }
        }
        "product_variant" => {
            add(KeyType::Gtin, content.text("gtin").and_then(gtin_key).filter(|gtin| is_global(gtin)));
            let namespace = settings.sku_namespace.as_deref().unwrap_or("default");
            add(KeyType::Sku, content.text("sku").and_then(sku_key).map(|sku| format!("{namespace}:{sku}")));
        }
        "sales_order" => {
            let key = |number: &str| order_key(number, &settings.order_number_prefixes);
            add(KeyType::OrderNumber, content.text("order_number").and_then(key));
            add(KeyType::OrderNumber, key(external_id));
            add(KeyType::OrderReference, content.text("external_reference").and_then(key));
        }
        "product" => {
            let (brand, title) = (content.text("brand").map(plain), content.text("title").map(plain));
            add(KeyType::Title, brand.zip(title).map(|(brand, title)| format!("{brand}|{title}")));
        }
        "location" => add(KeyType::Address, content.location_key()),
        // Stock is never merged, and what belongs to an order is told by its own source alone.
        _ => {}
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// A VAT number: capitals and digits, the country first. Where neither the number nor the address names the
/// country, the digits could be anybody's.
fn vat_key(number: &str, country: Option<&str>) -> Option<String> {
    let number = capitals_and_digits(number);
    let has_country = number.len() > 2 && number.bytes().take(2).all(|byte| byte.is_ascii_uppercase());
    let key = if has_country { number } else { format!("{}{number}", country?.to_ascii_uppercase()) };
    // Greece writes EL in VAT numbers and GR everywhere else.
    let key = key.strip_prefix("GR").map(|rest| format!("EL{rest}")).unwrap_or(key);
    is_number(key.get(2..)?).then_some(key)
}

/// A number of a company register, which is one country's.
fn registration_key(number: &str, country: Option<&str>) -> Option<String> {
    let number = capitals_and_digits(number);
    is_number(&number).then_some(())?;
    Some(format!("{}:{number}", country?.to_ascii_uppercase()))
}

/// At least six digits, three of them no zero, and not all the same: NL000000000B01 only fills a form.
fn is_number(text: &str) -> bool {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_digit).collect();
    let significant = digits.iter().filter(|digit| **digit != b'0').count();
    digits.len() >= 6 && significant >= 3 && digits.iter().any(|digit| Some(digit) != digits.first())
}

fn capitals_and_digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_alphanumeric).map(|c| c.to_ascii_uppercase()).collect()
}

/// Whether a GTIN of fourteen digits is unique in the world. Those of GS1 prefixes 02, 04 and 20 to 29 are
/// given out within a company or a region, and so are GTIN-8 that begin with 0 or 2 (GS1 General
/// Specifications, restricted circulation numbers).
fn is_global(gtin: &str) -> bool {
    match gtin.strip_prefix("000000") {
        Some(short) => !short.starts_with(['0', '2']),
        None => {
            gtin.get(1..3).is_some_and(|prefix| prefix != "02" && prefix != "04" && !prefix.starts_with('2'))
        }
    }
}

/// An order's number as other systems repeat it: without the prefix that one of them puts before it.
fn order_key(number: &str, prefixes: &[String]) -> Option<String> {
    let key = order_number_key(number)?;
    let prefixes = prefixes.iter().filter_map(|prefix| order_number_key(prefix));
    let bare = prefixes
        .filter_map(|prefix| key.strip_prefix(&prefix).map(str::to_owned))
        .find(|bare| !bare.is_empty());
    Some(bare.unwrap_or(key))
}

/// Letters and digits in lower case without accents, single spaces between words: for comparing names.
pub(super) fn plain(text: &str) -> String {
    let letters: String = text
        .nfkd()
        .filter(|c| !is_combining_mark(*c))
        .flat_map(char::to_lowercase)
        .map(|c| if c.is_alphanumeric() { c } else { ' ' })
        .collect();
    letters.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_companies_are_read_with_their_country() {
        for (number, country, key) in [
            ("NL 8123.45.678.B01", None, Some("NL812345678B01")),
            ("812345678b01", Some("nl"), Some("NL812345678B01")),
            ("GR123456789", None, Some("EL123456789")),
            ("812345678", None, None),
            ("NL000000000B00", None, None),
            ("n/a", Some("NL"), None),
        ] {
            assert_eq!(vat_key(number, country).as_deref(), key, "{number}");
        }
        assert_eq!(registration_key("12.34.56.78", Some("NL")).as_deref(), Some("NL:12345678"));
        assert_eq!(registration_key("12345678", None), None);
    }

    #[test]
    fn a_gtin_of_restricted_circulation_is_not_of_the_world() {
        for (gtin, expected) in [
            ("04006381333931", true),
            ("02000000000008", false),
            ("02112345678900", false),
            ("00412345678900", false),
            ("00000096385074", true),
            ("00000020385074", false),
        ] {
            assert_eq!(is_global(gtin), expected, "{gtin}");
        }
    }

    #[test]
    fn an_order_number_loses_the_prefix_of_another_system() {
        let prefixes = ["WEB-".to_owned()];
        assert_eq!(order_key("#web-1001", &prefixes), order_key("1001", &[]));
        assert_eq!(order_key("WEB-", &prefixes), order_key("WEB-", &[]));
    }

    #[test]
    fn settings_say_what_is_wrong_with_them() {
        let read = |text: &str| Settings::from_json(&serde_json::from_str(text).expect("JSON"));
        assert_eq!(read("null"), Ok(Settings::default()));
        assert_eq!(
            read(r#"{"sku_namespace": "own"}"#).map(|read| read.sku_namespace),
            Ok(Some("own".to_owned()))
        );
        let id = Uuid::nil();
        for (text, place) in [
            (r#"{"colour": 1}"#.to_owned(), "identity"),
            (r#"{"sku_namespace": "a:b"}"#.to_owned(), "identity.sku_namespace"),
            (
                format!(r#"{{"references": [{{"kind": "cat", "field": "/a", "connector_id": "{id}"}}]}}"#),
                "identity.references[0].kind",
            ),
            (
                format!(
                    r#"{{"references": [{{"kind": "customer", "field": "a", "connector_id": "{id}"}}]}}"#
                ),
                "identity.references[0].field",
            ),
        ] {
            let error = read(&text).expect_err("wrong settings");
            assert_eq!(error.path.as_deref(), Some(place), "{text}");
        }
    }
}
