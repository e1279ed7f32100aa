//! A figure: what was measured, against what.

use serde::Serialize;

/// Measurements of one thing.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Samples(Vec<f64>);

impl Samples {
    /// Measurements, in any order. What is not a number is left out.
    pub fn new(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut samples: Vec<_> = samples.into_iter().filter(|sample| sample.is_finite()).collect();
        samples.sort_by(f64::total_cmp);
        Self(samples)
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The median; not a number if there are none.
    pub fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// How far the middle half of the measurements is apart, as a part of the median.
    pub fn spread(&self) -> f64 {
        (self.quantile(0.75) - self.quantile(0.25)) / self.median()
    }

    /// The value below which this part of the measurements lies, between two of them if need be.
    pub fn quantile(&self, part: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else { return f64::NAN };
        let place = part.clamp(0.0, 1.0) * last as f64;
        let (low, high) = (self.0[place.floor() as usize], self.0[place.ceil() as usize]);
        low + (high - low) * place.fract()
    }
}

/// Which way a figure should go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Speed.
    Higher,
    /// Time, and space.
    Lower,
}

/// What was measured, against what, and what it should be.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// What it is of.
    pub name: String,
    /// The measurements.
    pub value: Samples,
    /// Those of what it is compared with, in the same unit.
    pub reference: Samples,
    /// What the ratio should be.
    pub goal: f64,
}

impl Figure {
    /// The figure itself: absolute numbers are for reading only.
    pub fn ratio(&self) -> f64 {
        self.value.median() / self.reference.median()
    }

    /// Whether the ratio is what it should be.
    pub fn meets_goal(&self, better: Better) -> bool {
        match better {
            Better::Higher => self.ratio() >= self.goal,
            Better::Lower => self.ratio() <= self.goal,
        }
    }

    /// The greater of the two spreads.
    pub fn spread(&self) -> f64 {
        self.value.spread().max(self.reference.spread())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_spreads() {
        let samples = Samples::new([5.0, 1.0, f64::NAN, 3.0, 2.0, 4.0]);
        assert_eq!((samples.count(), samples.median(), samples.quantile(0.25)), (5, 3.0, 2.0));
        assert!((samples.spread() - 2.0 / 3.0).abs() < 1e-12);
        assert_eq!(Samples::new([1.0, 2.0]).median(), 1.5);
        assert!(Samples::default().median().is_nan() && Samples::default().spread().is_nan());
    }

    #[test]
    fn goals_go_either_way() {
        let figure = |value: f64, goal: f64| Figure {
            name: String::new(),
            value: Samples::new([value]),
            reference: Samples::new([2.0]),
            goal,
        };
        assert_eq!(figure(6.0, 3.0).ratio(), 3.0);
        assert!(figure(6.0, 3.0).meets_goal(Better::Lower) && figure(6.0, 3.0).meets_goal(Better::Higher));
        assert!(!figure(7.0, 3.0).meets_goal(Better::Lower) && figure(7.0, 3.0).meets_goal(Better::Higher));
        let nothing = Figure { value: Samples::default(), ..figure(1.0, 1.0) };
        assert!(!nothing.meets_goal(Better::Lower) && !nothing.meets_goal(Better::Higher));
    }
}
