//! Plain text for a terminal: tables, wrapped lines, and colour where it is seen.

use super::story::Table;
use std::io::IsTerminal as _;

/// Lines are no longer than this, where words allow it.
pub const WIDTH: usize = 100;

/// How emphasis is shown.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    is_coloured: bool,
}

impl Style {
    /// Colour on a terminal that wants it, none in a file or pipe.
    pub fn of_stdout() -> Self {
        let is_wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        let is_able = std::env::var_os("TERM").is_none_or(|terminal| terminal != "dumb");
        Self { is_coloured: is_wanted && is_able && std::io::stdout().is_terminal() }
    }

    pub fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub fn faint(self, text: &str) -> String {
        self.paint("2", text)
    }

    /// Green for what went in, yellow for what was kept aside, red for what was refused.
    pub fn status(self, status: u16, outcome: &str, text: &str) -> String {
        let colour = match (status, outcome) {
            (400.., _) => "31",
            (_, "quarantined" | "duplicate") => "33",
            _ => "32",
        };
        self.paint(colour, text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.is_coloured { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// A table as psql draws it, numbers to the right.
pub fn table(table: &Table, indent: usize) -> String {
    let width = |at: usize| {
        let cells = table.rows.iter().map(|row| &row[at]);
        cells.chain([&table.columns[at]]).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..table.columns.len()).map(width).collect();
    let is_number =
        |at: usize| !table.rows.is_empty() && table.rows.iter().all(|row| row[at].parse::<f64>().is_ok());
    let line = |cells: &[String]| {
        let cells: Vec<String> = cells
            .iter()
            .enumerate()
            .map(|(at, cell)| {
                if is_number(at) {
                    format!("{cell:>0$}", widths[at])
                } else {
                    format!("{cell:<0$}", widths[at])
                }
            })
            .collect();
        format!("{:indent$}{}", "", cells.join(" | ")).trim_end().to_owned()
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut lines = vec![line(&table.columns), format!("{:indent$}{}", "", rule.join("-+-"))];
    lines.extend(table.rows.iter().map(|row| line(row)));
    lines.push(format!(
        "{:indent$}({} {})",
        "",
        table.rows.len(),
        if table.rows.len() == 1 { "row" } else { "rows" }
    ));
    lines.join("\n")
}

/// Text in lines of bounded width, all but the first indented.
pub fn wrap(text: &str, indent: usize) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let last = lines.len() - 1;
        let length = lines[last].chars().count();
        if length > 0 && indent + length + 1 + word.chars().count() > WIDTH {
            lines.push(word.to_owned());
        } else {
            if length > 0 {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines.join(&format!("\n{:indent$}", ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_aligns_numbers_to_the_right() {
        let rows = [["a", "1.50"], ["bcd", "10.00"]].map(|row| row.map(str::to_owned).to_vec()).to_vec();
        let columns = ["name", "sum"].map(str::to_owned).to_vec();
        let drawn = table(&Table { columns, rows }, 1);
        assert_eq!(drawn, " name |   sum\n -----+------\n a    |  1.50\n bcd  | 10.00\n (2 rows)");
    }

    #[test]
    fn long_text_is_wrapped_between_words() {
        let wrapped = wrap(&"word ".repeat(40), 10);
        assert!(wrapped.lines().skip(1).all(|line| line.starts_with("          word")));
        assert!(wrapped.lines().all(|line| line.chars().count() <= WIDTH));
    }
}
