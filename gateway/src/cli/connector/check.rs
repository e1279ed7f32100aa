//! `nexus connector check`.

use super::{FOLDER, MANIFEST, manifest_at, read, told, unreadable};
use crate::cli::print;
use crate::error::StartError;
use clap::Args;
use nexus_core::case::{self, EXPECTED};
use nexus_core::connector::{Connector, Mistake};
use nexus_core::error::{Code, Error};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

#[derive(Args)]
pub struct Check {
    /// Manifests, connectors' folders, or folders of those
    #[arg(default_value = FOLDER)]
    paths: Vec<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What is said of one connector.
struct Report {
    manifest: PathBuf,
    connector: Option<Connector>,
    cases: usize,
    mistakes: Vec<(PathBuf, Mistake)>,
}

impl Check {
    pub fn run(self) -> Result<(), StartError> {
        let mut reports = Vec::new();
        for path in &self.paths {
            for manifest in manifests(path)? {
                reports.push(report(manifest)?);
            }
        }
        let count: usize = reports.iter().map(|report| report.mistakes.len()).sum();
        if self.json {
            let connectors: Vec<_> = reports.iter().map(Report::to_json).collect();
            print(&json!({"connectors": connectors, "mistakes": count}).to_string())?;
        } else {
            for report in &reports {
                print(&report.to_string())?;
            }
        }
        match count {
            0 => Ok(()),
            1 => Err(StartError::command("1 mistake")),
            _ => Err(StartError::command(format!("{count} mistakes"))),
        }
    }
}

/// The manifests that a path means.
fn manifests(path: &Path) -> Result<Vec<PathBuf>, StartError> {
    if let Some(manifest) = manifest_at(path) {
        return Ok(vec![manifest]);
    }
    let found: Vec<_> =
        entries(path)?.iter().filter_map(|path| path.is_dir().then(|| manifest_at(path))?).collect();
    match found.is_empty() {
        true => Err(StartError::command(format!("there is no {MANIFEST} in {} or below", path.display()))),
        false => Ok(found),
    }
}

fn report(manifest: PathBuf) -> Result<Report, StartError> {
    let checked = Connector::check_toml(&read(&manifest)?);
    let mut report = Report { manifest, connector: None, cases: 0, mistakes: Vec::new() };
    match checked {
        Err(mistakes) => {
            let file = &report.manifest;
            report.mistakes = mistakes.into_iter().map(|mistake| (file.clone(), mistake)).collect();
        }
        Ok(connector) => {
            report.check_folder(&connector);
            report.check_cases(&connector)?;
            report.connector = Some(connector);
        }
    }
    Ok(report)
}

impl Report {
    fn add(&mut self, file: &Path, reason: impl Into<String>) {
        let error = Error::new(Code::InvalidManifest, reason);
        self.mistakes.push((file.to_owned(), Mistake { error, line: None }));
    }

    /// Connectors are found by their folder's name.
    fn check_folder(&mut self, connector: &Connector) {
        let manifest = self.manifest.clone();
        let folder =
            manifest.canonicalize().ok().and_then(|path| Some(path.parent()?.file_name()?.to_owned()));
        let is_in_a_folder = manifest.ends_with(MANIFEST);
        if is_in_a_folder && folder.is_some_and(|folder| folder != connector.connector_type()) {
            let reason = format!("type: \"{}\" is not the folder's name", connector.connector_type());
            self.add(&manifest, reason);
        }
    }

    fn check_cases(&mut self, connector: &Connector) -> Result<(), StartError> {
        let cases = self.manifest.with_file_name("cases");
        if !cases.is_dir() {
            return Ok(());
        }
        for file in files_below(&cases)? {
            let name = file.to_string_lossy();
            if let Some(stem) = name.strip_suffix(EXPECTED) {
                if !Path::new(&format!("{stem}.json")).is_file() {
                    self.add(&file, "has no payload beside it");
                }
            } else if name.ends_with(".json") {
                self.cases += 1;
                let folder = file.parent().and_then(|folder| folder.strip_prefix(&cases).ok());
                let folder = folder.unwrap_or(Path::new("")).to_string_lossy();
                let body = fs::read(&file).map_err(|error| unreadable(&file, &error))?;
                for difference in differences(connector, &folder, &file, &body) {
                    self.add(&file, difference);
                }
            }
        }
        Ok(())
    }

    fn to_json(&self) -> Value {
        let mistakes = self.mistakes.iter().map(|(file, mistake)| {
            json!({
                "file": file.to_string_lossy(),
                "line": mistake.line,
                "path": mistake.error.path,
                "reason": mistake.error.message,
                "hint": mistake.error.hint,
            })
        });
        json!({
            "manifest": self.manifest.to_string_lossy(),
            "type": self.connector.as_ref().map(Connector::connector_type),
            "version": self.connector.as_ref().map(|connector| connector.manifest().version),
            "cases": self.cases,
            "mistakes": mistakes.collect::<Vec<_>>(),
        })
    }
}

/// Where a case's payload does not give what its neighbour expects.
fn differences(connector: &Connector, folder: &str, payload: &Path, body: &[u8]) -> Vec<String> {
    let neighbour = payload.with_extension(&EXPECTED[1..]);
    let Ok(expected) = fs::read(&neighbour) else {
        return vec![format!(
            "lacks {} beside it",
            neighbour.file_name().unwrap_or_default().to_string_lossy()
        )];
    };
    match serde_json::from_slice(&expected) {
        Ok(expected) => case::differences(connector, case::topic(folder), body, &expected),
        Err(error) => vec![format!("what is expected is not JSON: {error}")],
    }
}

impl std::fmt::Display for Report {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let manifest = self.manifest.display();
        let told = self.mistakes.iter().map(|(file, mistake)| told(&file.to_string_lossy(), mistake));
        match &self.connector {
            Some(connector) if self.mistakes.is_empty() => {
                let version = connector.manifest().version;
                write!(
                    formatter,
                    "{manifest}: {} version {version}, cases: {}, good",
                    connector.connector_type(),
                    self.cases
                )
            }
            _ => formatter.write_str(&told.collect::<Vec<_>>().join("\n")),
        }
    }
}

/// What a folder holds, in order.
fn entries(folder: &Path) -> Result<Vec<PathBuf>, StartError> {
    let read = |folder: &Path| {
        fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()
    };
    let mut entries = read(folder).map_err(|error| unreadable(folder, &error))?;
    entries.sort();
    Ok(entries)
}

fn files_below(folder: &Path) -> Result<Vec<PathBuf>, StartError> {
    let mut files = Vec::new();
    for path in entries(folder)? {
        match path.is_dir() {
            true => files.extend(files_below(&path)?),
            false => files.push(path),
        }
    }
    Ok(files)
}
