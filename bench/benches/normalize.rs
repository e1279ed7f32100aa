//! Normalizing every payload of a platform, against only parsing the same bytes.
//!
//! Criterion paces and tells of the normalizing; every pass of it is timed beside a pass of the parse, so that what
//! disturbs one disturbs the other. The ratio is of the medians of all passes.

use allocation_counter::measure;
use criterion::{Criterion, Throughput};
use nexus_bench::{Better, Figure, Payloads, Report, Samples, folder, time};
use nexus_core::connector::{Connector, built_in};
use nexus_core::normalize::{Outcome, normalize_payload};
use serde_json::Value;
use std::error::Error;
use std::hint::black_box;
use std::time::{Duration, Instant};

/// How many times the parse normalizing may take.
const GOAL: f64 = 3.0;

const SAMPLES: usize = 20;

fn main() -> Result<(), Box<dyn Error>> {
    let payloads = Payloads::all()?;
    let each = time(Duration::from_secs(60)) / (2 * built_in().len() as u32);
    let output = folder().join("criterion");
    // Criterion tells of every figure; what counts is told in the end.
    let mut criterion = Criterion::default()
        .output_directory(&output)
        .without_plots()
        .sample_size(SAMPLES)
        .warm_up_time(each / 4)
        .measurement_time(each)
        .configure_from_args();

    let mut figures = Vec::new();
    let (mut files, mut sizes, mut speeds, mut counts, mut bytes) = (vec![], vec![], vec![], vec![], vec![]);
    for (name, manifest) in built_in() {
        let connector = Connector::from_toml(manifest)?;
        let Some(payloads) = payloads.get(*name) else { continue };
        let normalize =
            || payloads.payloads.iter().map(|payload| documents(&connector, payload)).sum::<usize>();
        let parse = || {
            for payload in &payloads.payloads {
                let _ = black_box(serde_json::from_slice::<Value>(&payload.body));
            }
        };
        let (mut values, mut references) = (Vec::new(), Vec::new());
        let mut group = criterion.benchmark_group("normalize");
        group.throughput(Throughput::Bytes(payloads.bytes() as u64));
        group.bench_function(*name, |bencher| {
            bencher.iter_custom(|passes| {
                let mut total = Duration::ZERO;
                for _ in 0..passes {
                    references.push(micros(timed(parse)));
                    let value = timed(normalize);
                    values.push(micros(value));
                    total += value;
                }
                total
            });
        });
        group.finish();
        let (value, reference) = (Samples::new(values), Samples::new(references));
        let mut documents = 0;
        let allocations = measure(|| documents = normalize());
        let per_document = |count: u64| (count as f64 / documents.max(1) as f64).round().to_string();
        files.push(format!("{}{}", payloads.payloads.len(), if payloads.are_real { "" } else { "*" }));
        sizes.push(format!("{}", payloads.bytes() / 1024));
        speeds.push(format!("{:.0}", payloads.bytes() as f64 / value.median()));
        counts.push(per_document(allocations.count_total));
        bytes.push(per_document(allocations.bytes_total));
        figures.push(Figure { name: (*name).to_owned(), value, reference, goal: GOAL });
    }
    let report = Report {
        name: "normalize",
        reference_name: "parse",
        unit: "µs",
        better: Better::Lower,
        figures,
        columns: vec![
            ("payloads", files),
            ("KiB", sizes),
            ("MB/s", speeds),
            ("allocations/document", counts),
            ("bytes/document", bytes),
        ],
    };
    let path = report.publish()?;
    println!("\n* composed; all others are real\nwritten: {}", path.display());
    Ok(())
}

/// The documents that a payload gives.
fn documents(connector: &Connector, payload: &nexus_bench::Payload) -> usize {
    let topic = payload.topic.as_deref();
    match black_box(normalize_payload(connector, topic, &payload.body, &Value::Null)) {
        Outcome::Documents(documents) => documents.len(),
        Outcome::Ignored { .. } | Outcome::Quarantined(_) => 0,
    }
}

fn timed<T>(pass: impl FnOnce() -> T) -> Duration {
    let begin = Instant::now();
    black_box(pass());
    begin.elapsed()
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}
