//! Values computed from what sources claim: the keys by which records of several systems are recognised.

use super::phone::phone_e164;
use super::row::{Members, Row};
use serde_json::Value;
use unicode_normalization::UnicodeNormalization;

/// Whether an e-mail address identifies a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EmailKind {
    /// Somebody's own.
    Personal,
    /// A function's, such as info@: many people behind one address.
    Role,
    /// A marketplace's forwarding address: one person behind many addresses.
    Relay,
    /// Written to get past a form.
    Placeholder,
}

impl EmailKind {
    /// The word of the vocabulary.
    pub const fn as_str(self) -> &'static str {
        match self {
            EmailKind::Personal => "personal",
            EmailKind::Role => "role",
            EmailKind::Relay => "relay",
            EmailKind::Placeholder => "placeholder",
        }
    }
}

/// In bytes.
const LONGEST_KEY: usize = 512;

const ROLES: &[&str] = &[
    "abuse",
    "accounting",
    "admin",
    "administratie",
    "billing",
    "contact",
    "customerservice",
    "finance",
    "hello",
    "help",
    "hostmaster",
    "info",
    "inkoop",
    "invoice",
    "klantenservice",
    "mail",
    "marketing",
    "no-reply",
    "noreply",
    "office",
    "orders",
    "postmaster",
    "privacy",
    "purchasing",
    "sales",
    "service",
    "shop",
    "support",
    "team",
    "verkoop",
    "webmaster",
    "winkel",
];

const RELAYS: &[&str] =
    &["verkopen.bol.com", "privaterelay.appleid.com", "members.ebay.com", "relay.firefox.com"];

const PLACEHOLDERS: &[&str] =
    &["noemail", "no-email", "none", "null", "unknown", "anonymous", "guest", "test", "na"];

/// Trimmed, in normal form C, lower case; `None` for what is not `local@domain`. Dots and plus signs stay:
/// whether they matter is the mail host's to say.
pub fn email_key(email: &str) -> Option<String> {
    let key: String = email.trim().nfc().collect::<String>().to_lowercase();
    let (local, domain) = key.rsplit_once('@')?;
    let is_plausible = !local.is_empty()
        && !domain.is_empty()
        && !key.chars().any(|character| character.is_whitespace() || character.is_control());
    is_plausible.then_some(key)
}

/// What an e-mail key says about its owner.
pub fn email_kind(key: &str) -> EmailKind {
    let (local, domain) = key.rsplit_once('@').unwrap_or((key, ""));
    if PLACEHOLDERS.contains(&local) || local.chars().all(|character| matches!(character, '0' | '-')) {
        EmailKind::Placeholder
    } else if RELAYS.contains(&domain) || domain.starts_with("marketplace.amazon.") {
        EmailKind::Relay
    } else if ROLES.contains(&local) {
        EmailKind::Role
    } else {
        EmailKind::Personal
    }
}

/// Trimmed, without a leading `#`, upper case.
pub fn order_number_key(number: &str) -> Option<String> {
    non_empty(number.trim().trim_start_matches('#').trim().to_uppercase())
}

/// Trimmed, upper case; leading zeros stay, for they tell articles apart.
pub fn sku_key(sku: &str) -> Option<String> {
    non_empty(sku.trim().to_uppercase())
}

/// 14 digits of a GTIN-8, -12, -13 or -14 whose check digit is right (GS1 General Specifications, 7.9).
pub fn gtin_key(gtin: &str) -> Option<String> {
    let digits: String = gtin.chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    is_valid_gtin(&digits).then(|| format!("{digits:0>14}"))
}

/// Whether these are the digits of a GTIN with a right check digit.
pub fn is_valid_gtin(digits: &str) -> bool {
    let is_length = matches!(digits.len(), 8 | 12 | 13 | 14);
    if !is_length || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return false;
    }
    // From the right: the check digit weighs 1, then 3 and 1 in turn.
    let sum: u32 = digits
        .bytes()
        .rev()
        .enumerate()
        .map(|(place, byte)| u32::from(byte - b'0') * if place.is_multiple_of(2) { 1 } else { 3 })
        .sum();
    sum.is_multiple_of(10) && digits.bytes().any(|byte| byte != b'0')
}

/// The country of a customer's default address, else of the first that names one.
pub(crate) fn country_code<'a, M: Members + 'a>(addresses: impl Iterator<Item = &'a M>) -> Option<&'a str> {
    let named = addresses.filter_map(|address| Some((address, address.member("country_code")?.as_str()?)));
    let is_default = |address: &M| address.member("is_default") == Some(&Value::Bool(true));
    named
        .reduce(|best, next| if is_default(next.0) && !is_default(best.0) { next } else { best })
        .map(|(_, code)| code)
}

/// The derived columns of a golden entity's surviving fields and child rows.
pub(crate) fn derive<M: Members>(kind: &str, fields: &M, children: &[M]) -> Row {
    let text = |name: &str| fields.member(name).and_then(Value::as_str);
    // Keys are indexed, and an index row holds less than a text may: what is longer identifies nothing.
    let value =
        |key: Option<String>| key.filter(|key| key.len() <= LONGEST_KEY).map_or(Value::Null, Value::String);
    let mut derived = Row::new();
    match kind {
        "customer" => {
            let key = text("email").and_then(email_key);
            let kind = key.as_deref().map(|key| email_kind(key).as_str().to_owned());
            derived.insert("email_key", value(key));
            derived.insert("email_kind", value(kind));
            let phone = text("phone").and_then(|phone| phone_e164(phone, country_code(children.iter())));
            derived.insert("phone_e164", value(phone));
        }
        "product_variant" => {
            derived.insert("sku_key", value(text("sku").and_then(sku_key)));
            derived.insert("gtin_key", value(text("gtin").and_then(gtin_key)));
        }
        "sales_order" => {
            let key = text("order_number").and_then(order_number_key);
            derived.insert("order_number_key", value(key));
        }
        _ => {}
    }
    derived
}

fn non_empty(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Map;

    #[test]
    fn an_email_key_is_the_same_for_every_spelling() {
        assert_eq!(email_key("  Jan@Example.COM "), Some("jan@example.com".to_owned()));
        assert_eq!(email_key("zoe\u{308}@example.com"), email_key("zo\u{eb}@example.com"));
        assert_eq!(email_key("j.an+shop@example.com"), Some("j.an+shop@example.com".to_owned()));
        for bad in ["", "@example.com", "jan@", "jan", "jan smit@example.com"] {
            assert_eq!(email_key(bad), None, "{bad}");
        }
    }

    #[test]
    fn addresses_that_identify_nobody_are_told() {
        assert_eq!(email_kind("info@example.com"), EmailKind::Role);
        assert_eq!(email_kind("2a4b@verkopen.bol.com"), EmailKind::Relay);
        assert_eq!(email_kind("x1@marketplace.amazon.nl"), EmailKind::Relay);
        assert_eq!(email_kind("noemail@example.com"), EmailKind::Placeholder);
        assert_eq!(email_kind("000-000@example.com"), EmailKind::Placeholder);
        assert_eq!(email_kind("jan@example.com"), EmailKind::Personal);
    }

    #[test]
    fn a_gtin_key_has_fourteen_digits_and_a_right_check_digit() {
        assert_eq!(gtin_key("4006381333931"), Some("04006381333931".to_owned()));
        assert_eq!(gtin_key("036000291452"), Some("00036000291452".to_owned()));
        for bad in ["4006381333932", "123", "00000000", "40063813339A1"] {
            assert_eq!(gtin_key(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_key_too_long_for_an_index_is_none() {
        let fields = Map::from_iter([("sku".to_owned(), Value::String("x".repeat(2000)))]);
        assert_eq!(derive("product_variant", &fields, &[])["sku_key"], Value::Null);
    }

    #[test]
    fn a_phone_number_is_read_in_the_country_of_the_default_address() {
        let fields = Map::from_iter([("phone".to_owned(), Value::from("0612345678"))]);
        let address = |country: &str, is_default: bool| {
            Map::from_iter([
                ("country_code".to_owned(), Value::from(country)),
                ("is_default".to_owned(), Value::Bool(is_default)),
            ])
        };
        let phone =
            |addresses: &[Map<String, Value>]| derive("customer", &fields, addresses)["phone_e164"].clone();
        assert_eq!(phone(&[address("BE", false), address("NL", true)]), "+31612345678");
        assert_eq!(phone(&[address("BE", false), address("NL", false)]), "+32612345678");
        assert_eq!(phone(&[]), Value::Null);
    }

    #[test]
    fn skus_keep_their_zeros_and_order_numbers_lose_their_hash() {
        assert_eq!(sku_key(" 00ab1 "), Some("00AB1".to_owned()));
        assert_eq!(order_number_key("#1001"), Some("1001".to_owned()));
        assert_eq!(order_number_key(" # "), None);
    }
}
