//! How well customers of three systems are recognised, where it is known who is who.
//!
//! `cargo test --release -p nexus-core --test resolution_quality -- --nocapture` prints the figures.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use nexus_core::canonical::{Document, Kind, Snapshot};
use nexus_core::identity::Scope;
use nexus_core::register::{Record, Stamp, Version};
use nexus_core::resolution::{Crowds, Holders, Key, Member, Settings, resolve, suggest};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap, HashSet};
use uuid::Uuid;

const PEOPLE: u64 = 10_000;

/// How often in a hundred each system knows a customer: a shop, a marketplace, an ERP.
const KNOWS: [u64; 3] = [80, 45, 65];

/// SplitMix64: the same numbers on every machine.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }

    /// Whether it happens, so many times in a thousand.
    fn is(&mut self, per_mille: u64) -> bool {
        self.roll(1000) < per_mille
    }

    fn pick<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len() as u64) as usize]
    }

    /// Two neighbouring letters change places, or one is lost.
    fn typo(&mut self, text: &str) -> String {
        let mut letters: Vec<char> = text.chars().collect();
        let place = self.roll(letters.len().saturating_sub(1).max(1) as u64) as usize;
        if self.is(500) && place + 1 < letters.len() {
            letters.swap(place, place + 1);
        } else {
            letters.remove(place);
        }
        letters.into_iter().collect()
    }
}

#[derive(Clone)]
struct Customer {
    first: &'static str,
    last: String,
    email: String,
    phone: String,
    street: String,
    postal_code: String,
    vat: Option<String>,
}

const FIRST: &[&str] = &[
    "Jan", "Anna", "Pieter", "Sanne", "Mohammed", "Fatima", "Willem", "Lotte", "Kees", "Eva", "Thomas",
    "Julia", "Daan", "Emma", "Lucas", "Sophie", "Bram", "Noor", "Ruben", "Isa", "Joris", "Maud", "Stijn",
    "Fleur", "Hugo", "Iris", "Gijs", "Roos", "Teun", "Vera",
];
const STEM: &[&str] =
    &["Berg", "Dijk", "Bos", "Haan", "Meer", "Veld", "Kamp", "Brink", "Hof", "Linden", "Water", "Steen"];
const HEAD: &[&str] =
    &["van den ", "de ", "van der ", "", "", "Groot", "Klein", "Oude", "Ter ", "Noord", "Zuid", "Hoog"];
const TAIL: &[&str] = &["", "man", "stra", "sen", "ma", "huis", "horst", "wijk"];

fn people(dice: &mut Dice, sharing: u64) -> Vec<Customer> {
    let mut people: Vec<Customer> = Vec::new();
    for number in 0..PEOPLE {
        let last = format!("{}{}{}", dice.pick(HEAD), dice.pick(STEM).to_lowercase(), dice.pick(TAIL));
        let first = dice.pick(FIRST);
        let mut person = Customer {
            first,
            email: format!(
                "{}.{}{number}@mail{}.nl",
                first.to_lowercase(),
                last.replace(' ', "").to_lowercase(),
                dice.roll(9)
            ),
            last,
            phone: format!("06{:08}", 10_000_000 + dice.roll(80_000_000)),
            street: format!("Straat {}", 1 + dice.roll(200)),
            postal_code: format!(
                "{}{}{}",
                1000 + dice.roll(8999),
                dice.pick(&["A", "B", "C"]),
                dice.pick(&["X", "Y", "Z"])
            ),
            vat: dice
                .is(120)
                .then(|| format!("NL{:09}B{:02}", 100_000_000 + dice.roll(899_999_999), 1 + dice.roll(5))),
        };
        // Some share the mailbox, telephone and house of the person before them: family, now and then a colleague.
        if let Some(previous) = people.last().cloned()
            && dice.is(sharing)
        {
            let is_family = dice.is(950);
            person.email = previous.email;
            person.phone = previous.phone;
            (person.street, person.postal_code) = (previous.street, previous.postal_code);
            while person.first == previous.first {
                person.first = dice.pick(FIRST);
            }
            if is_family {
                person.last = previous.last;
            }
        }
        people.push(person);
    }
    people
}

/// The customer as a system has it.
fn known(dice: &mut Dice, customer: &Customer, system: usize, number: usize) -> Map<String, Value> {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    let email = match dice.roll(1000) {
        0..80 => None,
        80..100 => Some(dice.typo(&customer.email)),
        100..110 => Some("noemail@example.com".to_owned()),
        110..300 if customer.vat.is_some() => Some(format!("info@company{}.nl", number % 5000)),
        110..310 if system == 1 => Some(format!("x{number}@verkopen.bol.com")),
        _ => Some(customer.email.to_uppercase()),
    };
    email.map(|email| put("email", Value::from(email)));
    let first = match dice.roll(100) {
        0..15 => Some(customer.first[..1].to_owned()),
        15..18 => Some(dice.typo(customer.first)),
        18..23 => None,
        _ => Some(customer.first.to_owned()),
    };
    let last = if dice.is(30) { dice.typo(&customer.last) } else { customer.last.clone() };
    // The ERP has one field for both.
    if system == 2 {
        put("full_name", Value::from(format!("{} {last}", first.unwrap_or_default()).trim().to_owned()));
    } else {
        put("first_name", first.map_or(Value::Null, Value::from));
        put("last_name", Value::from(last));
    }
    if dice.is(600) {
        put("phone", Value::from(customer.phone.clone()));
    }
    if let Some(vat) = customer.vat.as_ref().filter(|_| dice.is(700)) {
        put("vat_number", Value::from(vat.replace('B', ".B")));
    }
    if dice.is(800) {
        put(
            "addresses",
            json!([{
                "external_id": "1", "line1": customer.street, "postal_code": customer.postal_code, "country_code": "NL",
            }]),
        );
    }
    fields
}

fn member(kind: &'static Kind, system: usize, number: usize, fields: Map<String, Value>) -> Member {
    let (tenant_id, environment_id) = (Uuid::from_u128(1), Uuid::from_u128(2));
    let scope = Scope { tenant_id, environment_id, connector_id: Uuid::from_u128(10 + system as u128) };
    let external_id = number.to_string();
    let document = Document {
        kind: kind.name,
        external_id: external_id.clone(),
        snapshot: Snapshot::Full,
        is_deleted: false,
        source_time: Some(0),
        fields,
    };
    let mut record = Record::default();
    let version = Version::new(0, Some(0), 0);
    record.join(kind, &document, Stamp { version, event_id: Uuid::nil(), manifest_version: 1 });
    let birth_id = scope.birth_id(kind.name, &external_id);
    Member::new(kind, &scope, &external_id, birth_id, &record, &Settings::default())
}

#[test]
fn customers_of_three_systems_are_recognised_and_hardly_ever_mistaken() {
    let (precision, recall) = measure(10);
    assert!(precision >= 0.999, "{precision}");
    assert!(recall >= 0.6, "{recall}: the keys that records have are hardly used");
    // Three times as many shared mailboxes as that: what it costs is known.
    let (precision, _) = measure(30);
    assert!(precision >= 0.997, "{precision}");
}

/// Precision and recall of the links, where so many in a thousand share their mailbox with the one before.
fn measure(sharing: u64) -> (f64, f64) {
    let kind = Kind::named("customer").unwrap();
    let mut dice = Dice(20_260_301);
    let people = people(&mut dice, sharing);
    let mut members = Vec::new();
    let mut truth: HashMap<Uuid, usize> = HashMap::new();
    for (person, customer) in people.iter().enumerate() {
        for (system, knows) in KNOWS.into_iter().enumerate() {
            // One in a hundred is there twice.
            for _ in 0..(u64::from(dice.roll(100) < knows) * (1 + u64::from(dice.is(10)))) {
                let fields = known(&mut dice, customer, system, members.len());
                let member = member(kind, system, members.len(), fields);
                truth.insert(member.birth_id, person);
                members.push(member);
            }
        }
    }

    let resolution = resolve(kind, &members, &[], &Crowds::default());
    let mut entity_of: HashMap<Uuid, Uuid> = HashMap::new();
    let (mut linked, mut right) = (0u32, 0u32);
    for component in &resolution.components {
        for (place, a) in component.members.iter().enumerate() {
            entity_of.insert(*a, component.entity_id);
            for b in &component.members[place + 1..] {
                linked += 1;
                right += u32::from(truth[a] == truth[b]);
            }
        }
    }

    let mut by_key: HashMap<&Key, Vec<&Member>> = HashMap::new();
    let mut by_person: HashMap<usize, Vec<&Member>> = HashMap::new();
    for member in &members {
        member.keys.iter().for_each(|key| by_key.entry(key).or_default().push(member));
        by_person.entry(truth[&member.birth_id]).or_default().push(member);
    }
    let mut crowds = Crowds::default();
    for (key, holders) in &by_key {
        crowds.note((*key).clone(), Holders { live: holders.len(), deleted: 0 });
    }
    let mut suggested: BTreeSet<(Uuid, Uuid)> =
        resolution.candidates.iter().map(|pair| (pair.a, pair.b)).collect();
    for member in &members {
        let others: HashSet<Uuid> = (member.keys.iter())
            .filter(|key| by_key[key].len() <= 20)
            .flat_map(|key| by_key[key].iter().map(|other| other.birth_id))
            .filter(|other| entity_of[other] != entity_of[&member.birth_id])
            .collect();
        let others: Vec<Member> =
            (member.keys.iter().filter(|key| by_key[key].len() <= 20).flat_map(|key| by_key[key].iter()))
                .filter(|other| others.contains(&other.birth_id))
                .map(|other| (*other).clone())
                .collect();
        suggested.extend(suggest(kind, member, &others, &crowds).iter().map(|pair| (pair.a, pair.b)));
    }

    let pairs_of = |members: &[&Member]| -> u32 {
        let pairs = members
            .iter()
            .enumerate()
            .flat_map(|(place, a)| members[place + 1..].iter().map(move |b| (a, b)));
        pairs.filter(|(a, b)| a.connector_id != b.connector_id).count() as u32
    };
    let all: u32 = by_person.values().map(|members| pairs_of(members)).sum();
    let found = suggested.iter().filter(|(a, b)| truth[a] == truth[b]).count();
    let precision = f64::from(right) / f64::from(linked);
    let recall = f64::from(right) / f64::from(all);
    println!(
        "{sharing}‰ share a mailbox: {} records of {PEOPLE} customers, {} entities; {linked} pairs linked, precision {precision:.5}, recall {recall:.3}; \
         {} pairs suggested, {found} of them right; recall with those {:.3}",
        members.len(),
        resolution.components.len(),
        suggested.len(),
        (f64::from(right) + found as f64) / f64::from(all),
    );
    assert!(found * 2 > suggested.len(), "most of what people are asked to look at is a waste of their time");
    (precision, recall)
}
