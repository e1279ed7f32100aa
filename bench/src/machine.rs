//! What it was measured on.

use serde::Serialize;
use std::fs;

/// What a report says of the machine; empty where the machine does not say.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Machine {
    /// The processor's name.
    pub processor: String,
    /// Processors that can be used.
    pub cores: usize,
    /// Memory, in megabytes.
    pub memory_mb: u64,
    /// The operating system's kernel.
    pub kernel: String,
}

impl Machine {
    /// This one.
    pub fn this() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let memory = entry(&read("/proc/meminfo"), "MemTotal");
        let kilobytes: u64 = memory.trim_end_matches(" kB").parse().unwrap_or_default();
        Self {
            processor: entry(&read("/proc/cpuinfo"), "model name"),
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            memory_mb: kilobytes / 1024,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }
}

/// The value of the first `name : value`.
fn entry(text: &str, name: &str) -> String {
    let value = |line: &str| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    };
    text.lines().find_map(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_kernel_says() {
        let text = "processor\t: 0\nmodel name\t: Fast: very\nmodel name\t: Slow\n";
        assert_eq!(entry(text, "model name"), "Fast: very");
        assert_eq!(entry(text, "none"), "");
        assert!(Machine::this().cores > 0);
    }
}
