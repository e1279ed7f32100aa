//! Payloads to measure with: real ones where they are at hand, and the connectors' cases.

use crate::checkout;
use nexus_core::case::{self, EXPECTED};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// A payload, and the topic it comes with, if any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// The topic.
    pub topic: Option<String>,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// The payloads of a platform.
#[derive(Debug, Default)]
pub struct Payloads {
    /// The payloads.
    pub payloads: Vec<Payload>,
    /// Whether they are real: none are composed then.
    pub are_real: bool,
}

impl Payloads {
    /// Payloads by connector type: of those that have real ones in the folder that `NEXUS_FIXTURES` names, those;
    /// the cases of all others.
    pub fn all() -> io::Result<BTreeMap<String, Payloads>> {
        let folder = std::env::var_os("NEXUS_FIXTURES").map(PathBuf::from);
        let folder = folder.unwrap_or_else(|| checkout().join("../shared/fixtures"));
        let mut all = match fs::read_to_string(folder.join("INDEX.tsv")) {
            Ok(index) => real(&folder, &index)?,
            Err(_) => BTreeMap::new(),
        };
        for entry in fs::read_dir(checkout().join("connectors"))? {
            let cases = entry?.path().join("cases");
            let name =
                cases.parent().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
            if cases.is_dir() && !all.contains_key(&name) {
                let mut payloads = Payloads::default();
                add_cases(&cases, &cases, &mut payloads.payloads)?;
                all.insert(name, payloads);
            }
        }
        Ok(all)
    }

    /// The bytes of all of them.
    pub fn bytes(&self) -> usize {
        self.payloads.iter().map(|payload| payload.body.len()).sum()
    }
}

/// Webhooks come with their topic, answers to requests without.
fn real(folder: &Path, index: &str) -> io::Result<BTreeMap<String, Payloads>> {
    let mut all: BTreeMap<String, Payloads> = BTreeMap::new();
    for line in index.lines().skip(1) {
        let mut columns = line.split('\t');
        let (Some(file), Some(platform), Some(topic)) = (columns.next(), columns.next(), columns.next())
        else {
            continue;
        };
        let topic = file.contains("/webhook-").then(|| topic.to_owned());
        let payloads = all.entry(platform.to_owned()).or_default();
        payloads.are_real = true;
        payloads.payloads.push(Payload { topic, body: fs::read(folder.join(file))? });
    }
    Ok(all)
}

fn add_cases(cases: &Path, folder: &Path, payloads: &mut Vec<Payload>) -> io::Result<()> {
    let mut paths: Vec<_> =
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>()?;
    paths.sort();
    for path in paths {
        let name = path.to_string_lossy();
        if path.is_dir() {
            add_cases(cases, &path, payloads)?;
        } else if name.ends_with(".json") && !name.ends_with(EXPECTED) {
            let topic = folder.strip_prefix(cases).ok().and_then(Path::to_str).and_then(case::topic);
            payloads.push(Payload { topic: topic.map(str::to_owned), body: fs::read(&path)? });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_platform_has_payloads() {
        let all = Payloads::all().unwrap_or_default();
        for (name, _) in nexus_core::connector::built_in() {
            let payloads = all.get(*name);
            assert!(payloads.is_some_and(|payloads| payloads.bytes() > 0), "{name}");
        }
    }
}
