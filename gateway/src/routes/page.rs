//! Lists: what was asked for, and a page of the answer.

use super::JsonText;
use crate::app::App;
use crate::auth::Caller;
use crate::error::Error;
use crate::sql::{Collection, Filter, FilterValue};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use nexus_core::canonical::{email_key, order_number_key, sku_key};
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

const LIMIT_DEFAULT: i64 = 50;
const LIMIT_MOST: i64 = 200;

/// A value for a statement, with its type.
type Bound = (Box<dyn ToSql + Sync + Send>, Type);

/// What a list was asked for.
pub struct Asked {
    limit: i64,
    cursor: Option<Cursor>,
    filters: Vec<(&'static Filter, Bound)>,
}

/// The last object of the page before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Cursor {
    at: Option<Timestamp>,
    id: Uuid,
}

impl Asked {
    /// Reads a query. A parameter that the list does not know is refused: it would be a filter that does not
    /// filter.
    pub fn parse(query: Option<&str>, collection: &Collection) -> Result<Self, Error> {
        let mut asked = Self { limit: LIMIT_DEFAULT, cursor: None, filters: Vec::new() };
        for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match name.as_ref() {
                "limit" => asked.limit = limit(&value)?,
                "cursor" => {
                    let cursor =
                        Cursor::parse(&value).filter(|cursor| cursor.at.is_some() == collection.has_time());
                    asked.cursor = Some(cursor.ok_or_else(|| not_a_cursor(&value))?);
                }
                name => {
                    let known = collection.filters.iter().find(|filter| filter.name == name);
                    let filter = known.ok_or_else(|| unknown_parameter(name, collection))?;
                    if asked.filters.iter().any(|(given, _)| given.name == name) {
                        return Err(Error::parameter(name, format!("{name} is given twice")));
                    }
                    asked.filters.push((filter, bind(filter, &value)?));
                }
            }
        }
        Ok(asked)
    }
}

/// Answers a list.
pub async fn list(
    app: &App,
    caller: &Caller,
    collection: &Collection,
    query: Option<&str>,
) -> Result<JsonText, Error> {
    list_of(app, caller.tenant_id, caller.environment_id, collection, query).await
}

/// Answers a list of a tenant's environment.
pub async fn list_of(
    app: &App,
    tenant_id: Uuid,
    environment_id: Uuid,
    collection: &Collection,
    query: Option<&str>,
) -> Result<JsonText, Error> {
    let asked = Asked::parse(query, collection)?;
    let filters: Vec<&Filter> = asked.filters.iter().map(|(filter, _)| *filter).collect();
    let statement = collection.list(&filters, asked.cursor.is_some());
    // One more than asked for tells whether there is a next page.
    let limit = asked.limit + 1;
    let mut parameters: Vec<(&(dyn ToSql + Sync), Type)> =
        vec![(&tenant_id, Type::UUID), (&environment_id, Type::UUID), (&limit, Type::INT8)];
    parameters.extend(
        asked.filters.iter().map(|(_, (value, kind))| (&**value as &(dyn ToSql + Sync), kind.clone())),
    );
    if let Some(cursor) = &asked.cursor {
        if let Some(at) = &cursor.at {
            parameters.push((at, Type::TIMESTAMPTZ));
        }
        parameters.push((&cursor.id, Type::UUID));
    }
    let rows = app.database.read(tenant_id, environment_id, &statement, &parameters).await?;

    let has_more = rows.len() as i64 > asked.limit;
    let page = &rows[..rows.len().min(usize::try_from(asked.limit).unwrap_or(usize::MAX))];
    let items = page.iter().map(|row| row.try_get(0)).collect::<Result<Vec<&str>, _>>()?;
    let next = match page.last() {
        Some(last) if has_more => Some(Cursor { at: last.try_get(1)?, id: last.try_get(2)? }.to_text()),
        _ => None,
    };
    Ok(page_of(&items, next.as_deref()))
}

/// Answers with the one object of this id.
pub async fn single(
    app: &App,
    caller: &Caller,
    collection: &Collection,
    id: &str,
) -> Result<JsonText, Error> {
    single_text(app, caller, collection, id).await.map(JsonText)
}

/// The one object of this id, as JSON text.
pub async fn single_text(
    app: &App,
    caller: &Caller,
    collection: &Collection,
    id: &str,
) -> Result<String, Error> {
    single_of(app, caller.tenant_id, caller.environment_id, collection, id).await
}

/// The one object of this id in a tenant's environment, as JSON text.
pub async fn single_of(
    app: &App,
    tenant_id: Uuid,
    environment_id: Uuid,
    collection: &Collection,
    id: &str,
) -> Result<String, Error> {
    let object_id = super::id(collection.thing, id)?;
    let parameters = [
        (&tenant_id as &(dyn ToSql + Sync), Type::UUID),
        (&environment_id, Type::UUID),
        (&object_id, Type::UUID),
    ];
    let rows = app.database.read(tenant_id, environment_id, &collection.single(), &parameters).await?;
    let row = rows.first().ok_or_else(|| Error::not_found(collection.thing, object_id))?;
    Ok(row.try_get(0)?)
}

/// A page out of objects that are JSON already.
pub fn page_of(items: &[&str], next_cursor: Option<&str>) -> JsonText {
    // A cursor is base64, or digits and dots: nothing in it needs escaping.
    let next_cursor = next_cursor.map_or_else(|| "null".to_owned(), |cursor| format!("\"{cursor}\""));
    JsonText(format!("{{\"data\":[{}],\"next_cursor\":{next_cursor}}}", items.join(",")))
}

/// How many objects a page may have.
pub fn limit(value: &str) -> Result<i64, Error> {
    match value.parse() {
        Ok(limit @ 1..=LIMIT_MOST) => Ok(limit),
        _ => Err(Error::parameter("limit", format!("limit is {value:?}; it must be from 1 to {LIMIT_MOST}"))),
    }
}

/// A list's size where none is asked for.
pub const fn default_limit() -> i64 {
    LIMIT_DEFAULT
}

fn not_a_cursor(value: &str) -> Error {
    Error::parameter("cursor", format!("{value:?} is no cursor of this list"))
        .hint("pass next_cursor as the page before gave it, or leave it out to begin")
}

fn unknown_parameter(name: &str, collection: &Collection) -> Error {
    let known: Vec<&str> =
        ["limit", "cursor"].into_iter().chain(collection.filters.iter().map(|filter| filter.name)).collect();
    Error::parameter(name, format!("this list has no parameter {name:?}"))
        .hint(format!("it has {}", known.join(", ")))
}

fn bind(filter: &Filter, value: &str) -> Result<Bound, Error> {
    let refused = |wanted: &str| {
        Error::parameter(filter.name, format!("{} is {value:?}; it must be {wanted}", filter.name))
    };
    if value.contains('\0') {
        return Err(refused("without NUL"));
    }
    let key = |key: Option<String>, wanted: &str| -> Result<Bound, Error> {
        Ok((Box::new(key.ok_or_else(|| refused(wanted))?), Type::TEXT))
    };
    match filter.value {
        FilterValue::Text => Ok((Box::new(value.to_owned()), Type::TEXT)),
        FilterValue::Words => {
            let words: Vec<String> = value.split(',').map(|word| word.trim().to_owned()).collect();
            Ok((Box::new(words), Type::TEXT_ARRAY))
        }
        FilterValue::Id => Ok((Box::new(value.parse::<Uuid>().map_err(|_| refused("a UUID"))?), Type::UUID)),
        FilterValue::Time => {
            let time: Timestamp =
                value.parse().map_err(|_| refused("a time such as 2026-01-31T12:00:00Z"))?;
            Ok((Box::new(time), Type::TIMESTAMPTZ))
        }
        FilterValue::Boolean => {
            Ok((Box::new(value.parse::<bool>().map_err(|_| refused("true or false"))?), Type::BOOL))
        }
        FilterValue::Email => key(email_key(value), "an e-mail address"),
        FilterValue::OrderNumber => key(order_number_key(value), "an order number"),
        FilterValue::Sku => key(sku_key(value), "a SKU"),
    }
}

/// What a list without filters whose cursors are ids was asked for: how many, and after which.
pub fn asked_after_id(query: Option<&str>) -> Result<(i64, Option<Uuid>), Error> {
    let (mut most, mut after) = (LIMIT_DEFAULT, None);
    for (name, value) in url::form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match name.as_ref() {
            "limit" => most = limit(&value)?,
            "cursor" => {
                let cursor = Cursor::parse(&value).filter(|cursor| cursor.at.is_none());
                after = Some(cursor.ok_or_else(|| not_a_cursor(&value))?.id);
            }
            name => {
                return Err(Error::parameter(name, format!("this list has no parameter {name:?}"))
                    .hint("it has limit, cursor"));
            }
        }
    }
    Ok((most, after))
}

/// The cursor after an object of such a list.
pub fn cursor_after(id: Uuid) -> String {
    Cursor { at: None, id }.to_text()
}

impl Cursor {
    fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (id, at) = bytes.split_at_checked(16)?;
        let at = match at {
            [] => None,
            at => Some(Timestamp::from_microsecond(i64::from_be_bytes(at.try_into().ok()?)).ok()?),
        };
        Some(Self { at, id: Uuid::from_slice(id).ok()? })
    }

    fn to_text(self) -> String {
        let mut bytes = self.id.as_bytes().to_vec();
        bytes.extend(self.at.iter().flat_map(|at| at.as_microsecond().to_be_bytes()));
        URL_SAFE_NO_PAD.encode(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sql::{EVENTS, ORDERS};

    fn refused_parameter(query: &str, collection: &Collection) -> Option<String> {
        Asked::parse(Some(query), collection).err().and_then(|error| error.parameter)
    }

    #[test]
    fn a_query_becomes_filters() {
        let asked = Asked::parse(
            Some("limit=10&email=Jan%40Example.com&updated_since=2026-01-01T00:00:00Z"),
            &ORDERS,
        );
        let asked = asked.expect("known parameters");
        let names: Vec<&str> = asked.filters.iter().map(|(filter, _)| filter.name).collect();
        assert_eq!((asked.limit, names), (10, vec!["email", "updated_since"]));
    }

    #[test]
    fn a_bad_parameter_is_named() {
        for (query, name) in [
            ("limit=0", "limit"),
            ("limit=201", "limit"),
            ("limit=x", "limit"),
            ("cursor=!", "cursor"),
            ("since=yesterday", "since"),
            ("connector_id=1", "connector_id"),
            ("statuss=accepted", "statuss"),
            ("topic=a%00b", "topic"),
            ("status=a&status=b", "status"),
        ] {
            assert_eq!(refused_parameter(query, &EVENTS).as_deref(), Some(name), "{query}");
        }
    }

    #[test]
    fn a_cursor_reads_what_it_wrote() {
        for at in [None, Timestamp::from_microsecond(1_767_225_600_123_456).ok()] {
            let cursor = Cursor { at, id: Uuid::from_u128(42) };
            assert_eq!(Cursor::parse(&cursor.to_text()), Some(cursor));
        }
    }

    #[test]
    fn a_cursor_of_another_list_is_refused() {
        let cursor = Cursor { at: None, id: Uuid::nil() }.to_text();
        assert_eq!(refused_parameter(&format!("cursor={cursor}"), &ORDERS).as_deref(), Some("cursor"));
        assert_eq!(refused_parameter(&format!("cursor={cursor}"), &EVENTS), None);
    }
}
