//! What `explain (analyze, verbose, format json)` tells of a query.

use serde_json::Value;
use std::collections::BTreeSet;

/// A plan that has run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan(Value);

impl Plan {
    /// From what PostgreSQL answers: a list of one plan.
    pub fn parse(text: &str) -> serde_json::Result<Self> {
        let mut plans: Vec<Value> = serde_json::from_str(text)?;
        Ok(Self(plans.first_mut().map_or(Value::Null, |plan| plan["Plan"].take())))
    }

    /// The indexes it read.
    pub fn indexes(&self) -> BTreeSet<&str> {
        self.nodes().into_iter().filter_map(|node| node["Index Name"].as_str()).collect()
    }

    /// The tables it read from end to end.
    pub fn read_whole(&self) -> BTreeSet<&str> {
        let scans = self.nodes().into_iter().filter(|node| node["Node Type"] == "Seq Scan");
        scans.filter_map(|node| node["Relation Name"].as_str()).collect()
    }

    /// How often each of its subqueries that are this call alone, and depend on no row, was evaluated.
    pub fn calls(&self, function: &str) -> Vec<u64> {
        let call = format!("{function}()");
        let is_call = |node: &&Value| {
            node["Parent Relationship"] == "InitPlan"
                && node["Output"].as_array().is_some_and(|output| output.iter().any(|text| *text == *call))
        };
        self.nodes()
            .iter()
            .filter(|node| is_call(node))
            .filter_map(|node| node["Actual Loops"].as_u64())
            .collect()
    }

    /// Pages read by all of it, from memory or not.
    pub fn pages(&self) -> u64 {
        let pages = |name: &str| self.0[name].as_u64().unwrap_or_default();
        pages("Shared Hit Blocks") + pages("Shared Read Blocks")
    }

    fn nodes(&self) -> Vec<&Value> {
        let mut nodes = vec![&self.0];
        let mut next = 0;
        while let Some(node) = nodes.get(next) {
            nodes.extend(node["Plans"].as_array().into_iter().flatten());
            next += 1;
        }
        nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_read_to_its_leaves() {
        let text = r#"[{"Plan": {"Node Type": "Nested Loop", "Shared Hit Blocks": 7, "Shared Read Blocks": 2, "Plans": [
            {"Node Type": "Result", "Parent Relationship": "InitPlan", "Output": ["who()"], "Actual Loops": 1},
            {"Node Type": "Result", "Parent Relationship": "InitPlan", "Output": ["where()"], "Actual Loops": 0},
            {"Node Type": "Seq Scan", "Relation Name": "tea", "Parent Relationship": "Outer"},
            {"Node Type": "Bitmap Heap Scan", "Relation Name": "cup", "Plans": [
                {"Node Type": "Bitmap Index Scan", "Index Name": "cup_pkey"},
                {"Node Type": "Result", "Parent Relationship": "InitPlan", "Output": ["who()"], "Actual Loops": 5}]}]}}]"#;
        let plan = Plan::parse(text).unwrap_or(Plan(Value::Null));
        assert_eq!(plan.indexes(), BTreeSet::from(["cup_pkey"]));
        assert_eq!(plan.read_whole(), BTreeSet::from(["tea"]));
        assert_eq!((plan.calls("who"), plan.calls("where")), (vec![1, 5], vec![0]));
        assert_eq!(plan.pages(), 9);
    }
}
