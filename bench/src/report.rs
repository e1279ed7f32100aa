//! A bench's report: one figure or several, as a table and as JSON.

use crate::{Better, Figure, Machine, folder};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::{fs, io};

/// The digits of a ratio that noise leaves standing.
const PLACES: usize = 2;

/// What a bench found.
#[derive(Debug)]
pub struct Report {
    /// The bench's name, and its file's.
    pub name: &'static str,
    /// What figures are compared with.
    pub reference_name: &'static str,
    /// What values and references are in.
    pub unit: &'static str,
    /// Which way figures should go.
    pub better: Better,
    /// The figures, at least one.
    pub figures: Vec<Figure>,
    /// More columns of the table: a title, and a cell for each figure.
    pub columns: Vec<(&'static str, Vec<String>)>,
}

impl Report {
    /// The figure that counts for the whole: the one furthest from its goal.
    pub fn worst(&self) -> Option<&Figure> {
        let distance = |figure: &Figure| match self.better {
            Better::Lower => figure.ratio() / figure.goal,
            Better::Higher => figure.goal / figure.ratio(),
        };
        self.figures.iter().max_by(|a, b| distance(a).total_cmp(&distance(b)))
    }

    /// The report of a run on a machine: the worst figure's members, and all figures as `parts` where there are
    /// several. `ratio` is `value` / `reference`, medians of so many `runs`; `spread` is the middle half's width
    /// as a part of the median.
    pub fn to_json(&self, machine: &Machine) -> Value {
        let mut report = self.worst().map_or_else(|| json!({}), |figure| self.figure(figure));
        report["name"] = json!(self.name);
        report["machine"] = json!(machine);
        if self.figures.len() > 1 {
            report["part"] = json!(self.worst().map(|figure| &figure.name));
            report["parts"] = self.figures.iter().map(|figure| self.figure(figure)).collect();
        }
        report
    }

    fn figure(&self, figure: &Figure) -> Value {
        json!({
            "name": figure.name,
            "value": figure.value.median(),
            "reference": figure.reference.median(),
            "reference_name": self.reference_name,
            "ratio": figure.ratio(),
            "goal": figure.goal,
            "better": self.better,
            "unit": self.unit,
            "runs": figure.value.count(),
            "spread": figure.spread(),
        })
    }

    /// The same, for people.
    pub fn to_table(&self) -> String {
        let sign = match self.better {
            Better::Lower => '≤',
            Better::Higher => '≥',
        };
        let mut header = vec![self.name, self.unit, self.reference_name, "ratio", "goal", "spread", ""];
        header.extend(self.columns.iter().map(|(title, _)| *title));
        let mut rows = vec![header.into_iter().map(str::to_owned).collect::<Vec<_>>()];
        for (index, figure) in self.figures.iter().enumerate() {
            let mut row = vec![
                figure.name.clone(),
                short(figure.value.median()),
                short(figure.reference.median()),
                format!("{:.PLACES$}", figure.ratio()),
                format!("{sign} {}", figure.goal),
                format!("{:.0} %", figure.spread() * 100.0),
                if figure.meets_goal(self.better) { "good" } else { "missed" }.to_owned(),
            ];
            row.extend(self.columns.iter().map(|(_, cells)| cells.get(index).cloned().unwrap_or_default()));
            rows.push(row);
        }
        aligned(&rows)
    }

    /// Prints the table and writes the JSON; where to.
    pub fn publish(&self) -> io::Result<PathBuf> {
        let path = folder().join(format!("{}.json", self.name));
        fs::create_dir_all(folder())?;
        fs::write(&path, format!("{:#}\n", self.to_json(&Machine::this())))?;
        println!("{}", self.to_table());
        Ok(path)
    }
}

/// Three digits, or all of a whole number.
fn short(value: f64) -> String {
    match value.abs() {
        value if value >= 100.0 || value == 0.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// Columns as wide as they have to be; the first to the left, the others to the right.
pub fn aligned(rows: &[Vec<String>]) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width =
        |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<_> = (0..count).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cell = |(column, cell): (usize, &String)| match column {
            0 => format!("{cell:<width$}", width = widths[column]),
            _ => format!("{cell:>width$}", width = widths[column]),
        };
        row.iter().enumerate().map(cell).collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Samples;

    fn report() -> Report {
        let figure = |name: &str, value: f64| Figure {
            name: name.to_owned(),
            value: Samples::new([value]),
            reference: Samples::new([100.0]),
            goal: 3.0,
        };
        Report {
            name: "tea",
            reference_name: "water",
            unit: "µs",
            better: Better::Lower,
            figures: vec![figure("green", 250.0), figure("black", 310.0)],
            columns: vec![("cups", vec!["1".to_owned(), "12".to_owned()])],
        }
    }

    #[test]
    fn the_worst_figure_counts() {
        let json = report().to_json(&Machine::default());
        assert_eq!((&json["name"], &json["part"]), (&json!("tea"), &json!("black")));
        assert_eq!(
            (&json["ratio"], &json["goal"], &json["better"]),
            (&json!(3.1), &json!(3.0), &json!("lower"))
        );
        assert_eq!(json["parts"][0]["ratio"], json!(2.5));
        for member in ["value", "reference", "reference_name", "unit", "runs", "spread", "machine"] {
            assert!(!json[member].is_null(), "{member}");
        }
        let speed = Report { better: Better::Higher, ..report() };
        assert_eq!(speed.worst().map(|figure| figure.name.as_str()), Some("green"));
    }

    #[test]
    fn the_table_is_aligned() {
        let expected = "\
tea     µs  water  ratio  goal  spread          cups
green  250    100   2.50   ≤ 3     0 %    good     1
black  310    100   3.10   ≤ 3     0 %  missed    12";
        assert_eq!(report().to_table(), expected);
    }
}
