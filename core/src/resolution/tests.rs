use super::member::Evidence;
use super::*;
use crate::canonical::{Document, Snapshot};
use crate::identity::Scope;
use crate::register::{Record, Stamp, Version};
use proptest::prelude::*;
use serde_json::{Value, json};
use std::collections::BTreeSet;

const KINDS: [&str; 2] = ["customer", "product_variant"];

fn kind(name: &str) -> &'static Kind {
    Kind::named(name).expect("a kind")
}

fn scope(connector: u128) -> Scope {
    let (tenant_id, environment_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
    Scope { tenant_id, environment_id, connector_id: Uuid::from_u128(connector) }
}

fn must(a: Uuid, b: Uuid) -> Link {
    Link { a, b, kind: LinkKind::Must }
}

fn cannot(a: Uuid, b: Uuid) -> Link {
    Link { a, b, kind: LinkKind::Cannot }
}

// ── Properties, on records made of keys alone ──────────────────────────────────────────────────────────────

fn key(key_type: KeyType, value: impl ToString) -> Key {
    Key { key_type, value: value.to_string() }
}

fn member(id: u128, connector: u128, keys: Vec<Key>) -> Member {
    let mut keys = keys;
    keys.sort();
    keys.dedup();
    Member {
        birth_id: Uuid::from_u128(id),
        connector_id: Uuid::from_u128(connector),
        source_created_at: None,
        is_live: true,
        keys,
        evidence: Evidence::default(),
    }
}

fn any_key() -> impl Strategy<Value = Key> {
    prop_oneof![
        4 => (0..6).prop_map(|value| key(KeyType::Email, value)),
        2 => (0..4).prop_map(|value| key(KeyType::Sku, value)),
        1 => (0..3).prop_map(|value| key(KeyType::Gtin, value)),
        1 => (1u128..16).prop_map(|id| key(KeyType::Reference, Uuid::from_u128(id))),
        1 => (0..3).prop_map(|value| key(KeyType::Phone, value)),
    ]
}

fn any_member(id: u128) -> impl Strategy<Value = Member> {
    let parts = (
        1u128..7,
        prop::option::of(0i64..4),
        prop::bool::weighted(0.8),
        prop::collection::vec(any_key(), 0..4),
    );
    parts.prop_map(move |(connector, created_at, is_live, mut keys)| {
        keys.sort();
        // One value of a GTIN: a record has no more.
        keys.dedup_by_key(
            |key| if key.key_type == KeyType::Gtin { "gtin".to_owned() } else { key.value.clone() },
        );
        let source_created_at = created_at;
        Member { source_created_at, is_live, ..member(id, connector, keys) }
    })
}

fn any_members() -> impl Strategy<Value = Vec<Member>> {
    (1u128..16).prop_flat_map(|number| (1..=number).map(any_member).collect::<Vec<_>>())
}

fn any_links() -> impl Strategy<Value = Vec<Link>> {
    let link = (1u128..16, 1u128..16, any::<bool>()).prop_map(|(a, b, is_must)| Link {
        a: Uuid::from_u128(a),
        b: Uuid::from_u128(b),
        kind: if is_must { LinkKind::Must } else { LinkKind::Cannot },
    });
    prop::collection::vec(link, 0..5)
}

fn whole(name: &str, members: &[Member], links: &[Link]) -> Resolution {
    resolve(kind(name), members, links, &Crowds::default())
}

fn holders<'a>(all: &'a [Member], key: &Key) -> Vec<&'a Member> {
    all.iter().filter(|member| member.keys.contains(key)).collect()
}

fn count(all: &[Member], key: &Key) -> Holders {
    let holders = holders(all, key);
    let live = holders.iter().filter(|member| member.is_live).count();
    Holders { live, deleted: holders.len() - live }
}

/// The holders of a key, as far as it leads to any when `limit` may have it.
fn led_to<'a>(all: &'a [Member], key: &Key, limit: usize) -> Vec<&'a Member> {
    let on = count(all, key);
    let is_led_to = |member: &&Member| on.live <= limit && (member.is_live || on.deleted <= limit);
    holders(all, key).into_iter().filter(is_led_to).collect()
}

/// The walk that the module describes: all that a change of one record bears on.
fn walk(all: &[Member], links: &[Link], before: Option<&Member>, record: &Member) -> (Vec<Member>, Crowds) {
    let mut open: Vec<&Member> = all.iter().filter(|member| member.birth_id == record.birth_id).collect();
    for changed in before.into_iter().chain([record]) {
        let keys: Vec<Key> = changed.linking_keys().cloned().chain(changed.partner_keys()).collect();
        for key in &keys {
            open.extend(led_to(all, key, MOST_HOLDERS + 1));
        }
        let references: Vec<Uuid> = changed.references().collect();
        open.extend(all.iter().filter(|member| references.contains(&member.birth_id)));
    }
    let mut found: BTreeSet<Uuid> = BTreeSet::new();
    let mut crowds = Crowds::default();
    while let Some(member) = open.pop() {
        if !found.insert(member.birth_id) {
            continue;
        }
        for key in member
            .linking_keys()
            .cloned()
            .chain(member.partner_keys().filter(|key| key.key_type.is_linking()))
        {
            crowds.note(key.clone(), count(all, &key));
            open.extend(led_to(all, &key, MOST_HOLDERS));
        }
        let linked = links.iter().filter(|link| link.kind == LinkKind::Must);
        let linked = linked.filter(|link| link.a == member.birth_id || link.b == member.birth_id);
        let linked: Vec<Uuid> = linked.flat_map(|link| [link.a, link.b]).chain(member.references()).collect();
        open.extend(all.iter().filter(|member| linked.contains(&member.birth_id)));
    }
    (all.iter().filter(|member| found.contains(&member.birth_id)).cloned().collect(), crowds)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn any_order_gives_the_same(
        members in any_members(), links in any_links(), name in prop::sample::select(&KINDS[..]), seed in any::<u64>(),
    ) {
        let expected = whole(name, &members, &links);
        let mixed = |place: usize| (place as u64 + 1).wrapping_mul(seed | 1).rotate_left(29);
        let mut shuffled: Vec<(u64, Member)> =
            members.iter().chain(members.first()).cloned().enumerate().map(|(place, member)| (mixed(place), member)).collect();
        shuffled.sort_by_key(|(place, _)| *place);
        let shuffled: Vec<Member> = shuffled.into_iter().map(|(_, member)| member).collect();
        let turned: Vec<Link> = links.iter().rev().chain(&links).map(|link| Link { a: link.b, b: link.a, ..*link }).collect();
        prop_assert_eq!(whole(name, &shuffled, &turned), expected);
    }

    #[test]
    fn the_guards_hold(
        members in any_members(), links in any_links(), name in prop::sample::select(&KINDS[..]),
    ) {
        let resolution = whole(name, &members, &links);
        let mut ids: Vec<Uuid> = resolution.components.iter().flat_map(|component| component.members.clone()).collect();
        ids.sort();
        prop_assert_eq!(ids, members.iter().map(|member| member.birth_id).collect::<Vec<_>>(), "each in exactly one");
        for component in &resolution.components {
            let own: Vec<&Member> = members.iter().filter(|member| component.members.contains(&member.birth_id)).collect();
            let first = own.iter().min_by_key(|member| {
                (member.source_created_at.unwrap_or(i64::MAX), member.birth_id)
            });
            prop_assert_eq!(Some(component.entity_id), first.map(|member| member.birth_id));
            prop_assert!(own.len() <= MOST_MEMBERS);
            prop_assert_eq!(component.edges.len() + 1, own.len());
            for link in links.iter().filter(|link| link.kind == LinkKind::Cannot && link.a != link.b) {
                prop_assert!(!(component.members.contains(&link.a) && component.members.contains(&link.b)), "{:?}", link);
            }
            if component.edges.iter().all(|edge| edge.key.is_some()) {
                let live: Vec<Uuid> = own.iter().filter(|member| member.is_live).map(|member| member.connector_id).collect();
                prop_assert_eq!(live.iter().collect::<BTreeSet<_>>().len(), live.len(), "one source twice");
            }
        }
        for candidate in &resolution.candidates {
            let is_one = |component: &Component| component.members.contains(&candidate.a) && component.members.contains(&candidate.b);
            prop_assert!(!resolution.components.iter().any(is_one), "{:?}", candidate);
        }
    }

    #[test]
    fn merging_and_unmerging_is_the_identity(
        members in any_members(), links in any_links(), name in prop::sample::select(&KINDS[..]),
        which in (any::<prop::sample::Index>(), any::<prop::sample::Index>()),
    ) {
        let before = whole(name, &members, &links);
        let pick = |index: prop::sample::Index| {
            let id = members[index.index(members.len())].birth_id;
            (id, before.components.iter().find(|component| component.members.contains(&id)).expect("its entity"))
        };
        let (a, b) = (pick(which.0), pick(which.1));
        let is_linked = links.iter().any(|link| link.a == a.0 || link.b == a.0);
        let merged = merge(a, b, &links);
        // A merge that overrules an earlier word does not bring that word back.
        if a.1 == b.1 || is_linked || !merged.remove.is_empty() {
            return Ok(());
        }
        let mut now: Vec<Link> = links.iter().chain(&merged.add).copied().collect();
        let together = whole(name, &members, &now);
        prop_assert!(together.components.iter().any(|component| component.members.contains(&a.0) && component.members.contains(&b.0)));
        let parted = unmerge(kind(name), &members, &now, &Crowds::default(), a.0);
        now.retain(|link| !parted.remove.contains(link));
        now.extend(parted.add);
        prop_assert_eq!(whole(name, &members, &now).components, before.components);
    }

    #[test]
    fn recomputing_what_a_change_touches_equals_recomputing_all(
        members in any_members(), links in any_links(), name in prop::sample::select(&KINDS[..]),
        changed in (1u128..17).prop_flat_map(any_member),
    ) {
        let before = whole(name, &members, &links);
        let previous = members.iter().find(|member| member.birth_id == changed.birth_id);
        // A record's id is made from its source: that never changes.
        let connector_id = previous.map_or(changed.connector_id, |previous| previous.connector_id);
        let changed = Member { connector_id, ..changed };
        let mut all: Vec<Member> = members.iter().filter(|member| member.birth_id != changed.birth_id).cloned().collect();
        all.push(changed.clone());
        let after = whole(name, &all, &links);
        if affected(previous, &changed) < Affected::Links {
            prop_assert_eq!(before.components, after.components);
        } else {
            let (touched, crowds) = walk(&all, &links, previous, &changed);
            let is_touched = |id: &Uuid| touched.iter().any(|member| member.birth_id == *id);
            let part = resolve(kind(name), &touched, &links, &crowds);
            let mut components: Vec<Component> =
                before.components.into_iter().filter(|component| !component.members.iter().any(is_touched)).collect();
            components.extend(part.components);
            components.sort_by_key(|component| component.entity_id);
            prop_assert_eq!(components, after.components);
            let mut candidates: Vec<Candidate> =
                before.candidates.into_iter().filter(|pair| !is_touched(&pair.a) && !is_touched(&pair.b)).collect();
            candidates.extend(part.candidates);
            candidates.sort();
            prop_assert_eq!(candidates, after.candidates);
        }
    }

    #[test]
    fn without_what_is_deleted_the_living_are_grouped_as_they_are(
        members in any_members(), name in prop::sample::select(&KINDS[..]),
    ) {
        let living: Vec<Member> = members.iter().filter(|member| member.is_live).cloned().collect();
        let is_alive = |id: &Uuid| living.iter().any(|member| member.birth_id == *id);
        let groups = |resolution: &Resolution| -> BTreeSet<Vec<Uuid>> {
            let own = |component: &Component| component.members.iter().copied().filter(is_alive).collect();
            resolution.components.iter().map(own).filter(|group: &Vec<Uuid>| !group.is_empty()).collect()
        };
        prop_assert_eq!(groups(&whole(name, &members, &[])), groups(&whole(name, &living, &[])));
    }
}

#[test]
fn ten_thousand_records_that_share_an_e_mail_are_ten_thousand_entities() {
    let members: Vec<Member> =
        (1..=10_000).map(|id| member(id, id % 50, vec![key(KeyType::Email, "a@x.nl")])).collect();
    let resolution = whole("customer", &members, &[must(Uuid::from_u128(1), Uuid::from_u128(9_000))]);
    assert_eq!((resolution.components.len(), resolution.candidates.len()), (9_999, 0));
}

/// Records each of which shares an e-mail with the one before, all of other sources.
fn chain(length: u128) -> Vec<Member> {
    (1..=length)
        .map(|id| member(id, id, vec![key(KeyType::Email, id), key(KeyType::Email, id + 1)]))
        .collect()
}

#[test]
fn clusters_stop_at_twenty() {
    let resolution = whole("customer", &chain(500), &[]);
    let largest = resolution.components.iter().map(|component| component.members.len()).max();
    assert_eq!(largest, Some(MOST_MEMBERS));
    let reason = "would exceed a cluster of 20".to_owned();
    assert!(resolution.candidates.iter().all(|candidate| candidate.reasons.contains(&reason)));
    assert!(!resolution.candidates.is_empty());
}

#[test]
fn where_too_many_are_related_only_people_and_sources_count() {
    let mut members = chain(501);
    members[6].keys.insert(0, key(KeyType::Reference, Uuid::from_u128(100)));
    let resolution = whole("customer", &members, &[must(Uuid::from_u128(1), Uuid::from_u128(2))]);
    assert_eq!(resolution.components.len(), 501 - 2);
    let mut crowds = Crowds::default();
    crowds.note_too_related();
    let part = resolve(kind("customer"), &members[..3], &[], &crowds);
    assert_eq!(part.components.len(), 3, "what the walk found out holds for a part as well");
}

// ── Rules, on records as sources give them ─────────────────────────────────────────────────────────────────

fn record(kind: &Kind, fields: &Value) -> Record {
    let mut record = Record::default();
    let document = Document {
        kind: kind.name,
        external_id: "1".to_owned(),
        snapshot: Snapshot::Partial,
        is_deleted: false,
        source_time: Some(0),
        fields: fields.as_object().cloned().unwrap_or_default(),
    };
    let version = Version::new(0, Some(0), 0);
    record.join(kind, &document, Stamp { version, event_id: Uuid::nil(), manifest_version: 1 });
    record
}

fn read(name: &str, connector: u128, external_id: &str, fields: Value) -> Member {
    let scope = scope(connector);
    let record = record(kind(name), &fields);
    let birth_id = scope.birth_id(name, external_id);
    Member::new(kind(name), &scope, external_id, birth_id, &record, &Settings::default())
}

fn customer(connector: u128, external_id: &str, fields: Value) -> Member {
    read("customer", connector, external_id, fields)
}

fn is_one(name: &str, members: &[&Member], links: &[Link]) -> bool {
    let members: Vec<Member> = members.iter().map(|member| (*member).clone()).collect();
    whole(name, &members, links).components.len() == 1
}

fn reasons(name: &str, members: &[&Member]) -> Vec<String> {
    let members: Vec<Member> = members.iter().map(|member| (*member).clone()).collect();
    whole(name, &members, &[]).candidates.into_iter().flat_map(|candidate| candidate.reasons).collect()
}

#[test]
fn customers_are_one_by_their_own_e_mail_or_by_their_company_s_numbers() {
    let shop = customer(1, "a", json!({ "email": "Jan@x.nl" }));
    let erp = customer(2, "b", json!({ "email": " jan@X.nl", "vat_number": "NL 8123.45.678 B01" }));
    let third = customer(3, "c", json!({ "vat_number": "nl812345678b01", "email": "other@x.nl" }));
    assert!(is_one("customer", &[&shop, &erp, &third], &[]));
    for address in ["info@x.nl", "x1@marketplace.amazon.nl", "noemail@x.nl", "no address"] {
        let pair = [1, 2].map(|connector| customer(connector, "a", json!({ "email": address })));
        assert!(!is_one("customer", &[&pair[0], &pair[1]], &[]), "{address}");
    }
}

#[test]
fn two_records_of_one_source_are_one_only_if_a_person_says_so() {
    let pair = ["a", "b"].map(|id| customer(1, id, json!({ "email": "jan@x.nl" })));
    assert!(!is_one("customer", &[&pair[0], &pair[1]], &[]));
    assert_eq!(reasons("customer", &[&pair[0], &pair[1]]), ["same e-mail", "same source"]);
    let said = must(pair[0].birth_id, pair[1].birth_id);
    assert!(is_one("customer", &[&pair[0], &pair[1]], &[said]));
    assert!(
        !is_one("customer", &[&pair[0], &pair[1]], &[said, cannot(said.b, said.a)]),
        "no goes before yes"
    );
}

#[test]
fn a_mailbox_of_a_family_is_nobody_s_own() {
    let person = |connector, first: &str| {
        let id = first.to_lowercase();
        customer(connector, &id, json!({ "email": "smits@x.nl", "first_name": first, "last_name": "Smit" }))
    };
    let (jan, anna) = (person(1, "Jan"), person(1, "Anna"));
    assert!(!is_one("customer", &[&jan, &person(2, "Anna")], &[]));
    assert!(is_one("customer", &[&jan, &person(2, "J.")], &[]), "an initial contradicts nothing");
    let nameless = customer(2, "n", json!({ "email": "smits@x.nl" }));
    let found = whole("customer", &[jan.clone(), anna.clone(), nameless], &[]);
    assert_eq!(found.components.len(), 3, "either could be meant");
    let found = whole("customer", &[jan, anna, person(2, "Anna")], &[]);
    assert_eq!(found.components.len(), 2, "the name tells which");
}

#[test]
fn companies_with_other_numbers_are_others() {
    let pair = [("NL812345678B01", 1), ("NL823456789B01", 2)].map(|(number, connector)| {
        customer(connector, "a", json!({ "email": "jan@x.nl", "vat_number": number }))
    });
    assert!(!is_one("customer", &[&pair[0], &pair[1]], &[]));
    assert!(reasons("customer", &[&pair[0], &pair[1]]).contains(&"different VAT number".to_owned()));
}

#[test]
fn variants_are_one_by_gtin_or_by_sku_where_nothing_contradicts() {
    let variant = |connector, fields| read("product_variant", connector, "v", fields);
    let shop = variant(1, json!({ "sku": "ab-1", "gtin": "4006381333931" }));
    assert!(is_one("product_variant", &[&shop, &variant(2, json!({ "sku": " AB-1" }))], &[]));
    assert!(is_one("product_variant", &[&shop, &variant(2, json!({ "gtin": "04006381333931" }))], &[]));
    let other = variant(2, json!({ "sku": "ab-1", "gtin": "036000291452" }));
    assert!(!is_one("product_variant", &[&shop, &other], &[]));
    let pack =
        |connector, pieces: &str| variant(connector, json!({ "sku": "ab-1", "pack_quantity": pieces }));
    assert!(!is_one("product_variant", &[&pack(1, "1"), &pack(2, "6")], &[]), "a multi-pack shares the SKU");
    assert!(is_one("product_variant", &[&pack(1, "1"), &pack(2, "1.0")], &[]));
}

#[test]
fn skus_of_two_namespaces_have_nothing_in_common() {
    let key = |namespace: Option<&str>| {
        let settings = Settings { sku_namespace: namespace.map(str::to_owned), ..Settings::default() };
        let record = record(kind("product_variant"), &json!({ "sku": "1" }));
        keys(kind("product_variant"), &scope(1), "v", &record, &settings)
    };
    assert_eq!(key(None), [self::key(KeyType::Sku, "default:1")]);
    assert_eq!(key(Some("pos")), [self::key(KeyType::Sku, "pos:1")]);
}

#[test]
fn an_order_is_the_one_it_refers_to_if_amount_and_date_agree() {
    let order = |connector, id: &str, number: &str, reference: Value, total: &str, day: &str| {
        let fields = json!({
            "order_number": number, "external_reference": reference, "currency": "EUR", "total_amount": total,
            "ordered_at": format!("2026-03-{day}T00:00:00Z"),
        });
        read("sales_order", connector, id, fields)
    };
    let shop = order(1, "55", "#1001", Value::Null, "12.50", "02");
    let erp = |total, day| order(2, "9", "SO7", json!("1001"), total, day);
    assert!(is_one("sales_order", &[&shop, &erp("12.51", "04")], &[]));
    assert!(
        is_one("sales_order", &[&shop, &order(2, "9", "SO7", json!("55"), "12.5", "02")], &[]),
        "by its id"
    );
    for (total, day) in [("12.53", "02"), ("12.50", "06")] {
        assert!(!is_one("sales_order", &[&shop, &erp(total, day)], &[]), "{total} {day}");
        assert!(
            reasons("sales_order", &[&shop, &erp(total, day)])
                .contains(&"other amount, currency or date".to_owned())
        );
    }
    let namesake = order(3, "7", "1001", Value::Null, "12.50", "02");
    assert!(!is_one("sales_order", &[&shop, &namesake], &[]), "two shops may count alike");
    let twice = whole(
        "sales_order",
        &[shop, erp("12.50", "02"), order(2, "10", "SO8", json!("1001"), "12.50", "02")],
        &[],
    );
    assert_eq!(twice.components.len(), 3, "which of the two it is, a person must say");
}

#[test]
fn a_source_s_own_word_links_whatever_identifiers_say() {
    let shop = customer(1, "77", json!({ "vat_number": "NL812345678B01" }));
    let reference = ReferenceField {
        kind: "customer".to_owned(),
        field: "/custom_fields/shop_id".to_owned(),
        connector_id: Uuid::from_u128(1),
    };
    let settings = Settings { references: vec![reference], ..Settings::default() };
    let fields = json!({ "vat_number": "NL823456789B01", "custom_fields": { "shop_id": 77 } });
    let record = record(kind("customer"), &fields);
    let birth_id = scope(2).birth_id("customer", "e");
    let erp = Member::new(kind("customer"), &scope(2), "e", birth_id, &record, &settings);
    assert_eq!(erp.references().collect::<Vec<_>>(), [shop.birth_id]);
    assert!(shop.partner_keys().any(|key| erp.keys.contains(&key)), "whoever refers to it is found");
    assert!(is_one("customer", &[&shop, &erp], &[]));
}

#[test]
fn what_only_looks_alike_is_suggested() {
    let fields = |first: &str| {
        json!({
            "first_name": first, "last_name": "Smit", "phone": "06 12345678",
            "addresses": [{ "external_id": "1", "country_code": "NL", "postal_code": "1234 ab", "line1": "Dorpsstraat 7" }],
        })
    };
    let jan = customer(1, "a", fields("Jan"));
    let others =
        [customer(2, "b", fields("Jan")), customer(2, "c", fields("Anna")), customer(2, "d", json!({}))];
    let found = suggest(kind("customer"), &jan, &others, &Crowds::default());
    let best = found.iter().max_by_key(|candidate| candidate.score).expect("a candidate");
    assert_eq!(best.reasons, ["same address", "same phone", "similar name"]);
    assert_eq!((best.score, found.len()), (90, 1), "{found:?}");

    let shared = |connector| customer(connector, "x", json!({ "email": "a@x.nl", "full_name": "Jan Smit" }));
    let mut crowds = Crowds::default();
    crowds.note(key(KeyType::Email, "a@x.nl"), Holders { live: 7, deleted: 0 });
    let found = suggest(kind("customer"), &shared(1), &[shared(2)], &crowds);
    assert_eq!(found[0].reasons, ["e-mail on 7 records", "same e-mail", "similar name"]);
    crowds.note(key(KeyType::Email, "a@x.nl"), Holders { live: 21, deleted: 0 });
    assert_eq!(suggest(kind("customer"), &shared(1), &[shared(2)], &crowds), []);
}

#[test]
fn most_changes_need_no_resolution() {
    let before = customer(1, "a", json!({ "email": "jan@x.nl", "last_name": "Smit", "note": "a" }));
    let affect = |fields: Value| affected(Some(&before), &customer(1, "a", fields));
    assert_eq!(
        affect(json!({ "email": "JAN@x.nl", "last_name": "Smit", "language": "nl" })),
        Affected::Nothing
    );
    assert_eq!(affect(json!({ "email": "piet@x.nl", "last_name": "Smit" })), Affected::Links);
    assert_eq!(
        affect(json!({ "email": "jan@x.nl", "last_name": "Smid" })),
        Affected::Links,
        "names guard the link"
    );
    let phone = json!({ "email": "jan@x.nl", "last_name": "Smit", "phone": "+31612345678" });
    assert_eq!(affect(phone), Affected::Suggestions);
    assert_eq!(affected(None, &before), Affected::Links);
}
