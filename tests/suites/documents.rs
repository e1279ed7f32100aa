//! Documents as they lie in the tables: the very bytes that PostgreSQL makes of their text. The extension writes them
//! itself, and what is not alike to the byte would be equal in one place and not in another.

use crate::mapping_platform::Platform;
use jiff::Timestamp;
use nexus_tests::cluster::{Database, RUN, SHARED};
use nexus_tests::ingest::ingest_batch;
use nexus_tests::shop::{Webhook, minute, shopify_bytes};
use nexus_tests::tenant::{Connector, Tenant};
use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use tokio_postgres::Client;

static DATABASE: LazyLock<Database> = LazyLock::new(|| SHARED.database());

/// It compares what is stored, where `=` would compare what it means.
const DIFFERENT: &str = "
    select 'source_record.document ' || s.external_id from nexus.source_record s
    where s.tenant_id = $1 and not record_image_eq(row(s.document), row(s.document::text::jsonb))
    union all
    select 'sales_order.custom_fields ' || o.order_number from nexus.sales_order o
    where o.tenant_id = $1 and not record_image_eq(row(o.custom_fields), row(($2::text[])[o.order_number::integer]::jsonb))
    union all
    select 'domain_event.payload ' || (d.payload ->> 'order_number') from nexus.domain_event d
    where d.tenant_id = $1 and not record_image_eq(row(d.payload), row(d.payload::text::jsonb))
    union all
    select 'event.outcome' from nexus.event e
    where e.tenant_id = $1 and not record_image_eq(row(e.outcome), row(e.outcome::text::jsonb))";

const COUNT: &str = "
    select count(*) from nexus.sales_order o join nexus.domain_event d on d.tenant_id = $1 and d.entity_id = o.sales_order_id
    where o.tenant_id = $1 and d.event_type = $2";

/// What the library is tested with, and the payloads of every connector's cases and what they give.
fn documents() -> Vec<String> {
    // These are no field's value, or are mended before they become one.
    let is_other = |text: &str| {
        let exponent = text.rsplit_once('e').map_or("", |(_, exponent)| exponent.trim_start_matches('-'));
        text == "null" || exponent.len() > 1 && exponent.bytes().all(|digit| digit.is_ascii_digit())
    };
    let edges = include_str!("../../jsonb/tests/postgres.tsv").lines();
    let edges = edges.filter_map(|line| line.split_once('\t')).map(|(text, _)| text.to_owned());
    let mut documents: Vec<String> = edges.filter(|text| !is_other(text)).collect();
    let edges = documents.len();
    add_files(&RUN.checkout.join("connectors"), &mut documents);
    assert!(documents.len() > edges + 100, "there are cases");
    documents
}

fn add_files(folder: &Path, documents: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            add_files(&path, documents);
        } else if path.extension().is_some_and(|extension| extension == "json") {
            documents.extend(fs::read_to_string(&path));
        }
    }
}

fn order(number: usize, at: Timestamp, fields: &str) -> Webhook {
    let body = format!(r#"{{"id": {number}, "at": "{at}", "number": "{number}", {fields}}}"#);
    shopify_bytes("order", body.into_bytes(), at)
}

async fn shop(client: &Client) -> Connector {
    let platform = Platform::new();
    let fields = r#"
        order_number = "$.number"
        note = "$.remark"
        custom_fields = "$.extra"
    "#;
    platform.register(client, &platform.manifest("$.id", fields)).await;
    Tenant::create(client).await.connector(client, platform.0).await
}

async fn take_in(client: &Client, shop: &Connector, webhooks: &[Webhook]) {
    for batch in webhooks.chunks(50) {
        let batch: Vec<_> = batch.iter().map(|webhook| (shop.connector_id, webhook)).collect();
        for answer in ingest_batch(client, shop.tenant_id, &batch).await.unwrap() {
            assert_eq!(answer.status, "accepted", "{answer:?}");
        }
    }
}

#[tokio::test]
async fn documents_are_stored_as_postgres_would_store_their_text() {
    let client = DATABASE.admin().await;
    let shop = shop(&client).await;
    let documents = documents();
    let numbered = || documents.iter().zip(1..);
    let orders: Vec<Webhook> = numbered()
        .map(|(text, number)| order(number, minute(1), &format!(r#""remark": "a", "extra": {text}"#)))
        .collect();
    // Says nothing of the document, which is read with its record and written again.
    let changes: Vec<Webhook> =
        numbered().map(|(_, number)| order(number, minute(2), r#""remark": "b""#)).collect();
    for (webhooks, event_type) in [(orders, "order.created"), (changes, "order.updated")] {
        take_in(&client, &shop, &webhooks).await;
        let told: i64 = client.query_one(COUNT, &[&shop.tenant_id, &event_type]).await.unwrap().get(0);
        assert_eq!(told as usize, documents.len());
        let different = client.query(DIFFERENT, &[&shop.tenant_id, &documents]).await.unwrap();
        let different: Vec<String> = different.iter().map(|row| row.get(0)).collect();
        assert!(different.is_empty(), "{different:#?}");
    }
}
