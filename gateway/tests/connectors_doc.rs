//! The walk-through of `docs/connectors.md`, run as it stands: blocks that are files are written, and the commands of
//! `console` blocks give what is printed under them. `…` stands for anything, on a line of its own for any lines.

#![allow(clippy::unwrap_used)] // A test that unwraps in vain fails, as it should.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn the_walk_through_works() {
    let text = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/connectors.md")).unwrap();
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("walk-through-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let mut commands = 0;
    for (line, info, body) in blocks(&text) {
        let mut words = info.split(' ').skip(1);
        match words.next().and_then(|word| word.split_once('=')) {
            Some(("file", name)) => write(&folder.join(name), &body),
            Some(("append", name)) => {
                let path = folder.join(name);
                write(&path, &(fs::read_to_string(&path).unwrap() + &body));
            }
            _ if info == "console" => commands += play(&folder, &body, line),
            _ => {}
        }
    }
    assert!(commands > 5, "the walk-through has commands");
    fs::remove_dir_all(folder).unwrap();
}

/// Runs a block's commands; how many.
fn play(folder: &Path, block: &str, line: usize) -> usize {
    let mut commands = 0;
    for part in block.split("$ ").skip(1) {
        let (command, expected) = part.split_once('\n').unwrap();
        let given = run(folder, command);
        assert!(
            fits(expected.trim_end(), given.trim_end()),
            "docs/connectors.md:{line}: $ {command}\nexpected:\n{expected}\ngiven:\n{given}"
        );
        commands += 1;
    }
    commands
}

/// What a command writes, errors last.
fn run(folder: &Path, command: &str) -> String {
    let nexus = PathBuf::from(env!("CARGO_BIN_EXE_nexus"));
    let path = format!("{}:{}", nexus.parent().unwrap().display(), std::env::var("PATH").unwrap());
    let output =
        Command::new("sh").args(["-c", command]).current_dir(folder).env("PATH", path).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

/// Whether an output is as expected, `…` standing for anything.
fn fits(expected: &str, given: &str) -> bool {
    let mut rest = given;
    let mut parts = expected.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(tail) = rest.strip_prefix(first) else { return false };
    rest = tail;
    let parts: Vec<_> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, tail)) = rest.split_once(part) else { return false };
        rest = tail;
    }
    rest.ends_with(last)
}

/// The fenced blocks: the line they begin on, their info string, their text.
fn blocks(text: &str) -> Vec<(usize, String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(usize, String, String)> = None;
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(info), None) => open = Some((index + 1, info.to_owned(), String::new())),
            (None, Some((_, _, body))) => *body += &format!("{line}\n"),
            (None, None) => {}
        }
    }
    blocks
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn outputs_are_compared_to_the_letter() {
    assert!(fits("a\nb", "a\nb") && !fits("a\nb", "a\nc") && !fits("a", "a\nb"));
    assert!(fits("a …\nb", "a x y\nb") && !fits("a …\nb", "a x\nc"));
    assert!(fits("…\nb", "x\ny\nb") && !fits("…\nb", "b\nc") && fits("key: …", "key: 7"));
}
