//! What was measured, by cell, contender and figure; medians and spread.
//! Not here: what the figures should be (`report.rs`).

use std::collections::BTreeMap;

/// Figures of one run, by name.
pub type Measured = Vec<(&'static str, f64)>;

/// All runs.
#[derive(Debug, Default)]
pub struct Samples(BTreeMap<(String, String, &'static str), Vec<f64>>);

/// The middle of several runs, and how far they lie apart.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The median.
    pub median: f64,
    /// The least.
    pub least: f64,
    /// The most.
    pub most: f64,
}

impl Samples {
    /// Keeps one run's figures.
    pub fn add(&mut self, cell: &str, contender: &str, measured: Measured) {
        for (figure, value) in measured {
            self.0.entry((cell.to_owned(), contender.to_owned(), figure)).or_default().push(value);
        }
    }

    /// A figure of a contender in a cell, over all runs.
    pub fn figure(&self, cell: &str, contender: &str, figure: &'static str) -> Option<Figure> {
        let mut values = self.0.get(&(cell.to_owned(), contender.to_owned(), figure))?.clone();
        values.sort_unstable_by(f64::total_cmp);
        Some(Figure { median: percentile(&values, 0.5)?, least: *values.first()?, most: *values.last()? })
    }
}

/// The value below which that share of the sorted ones lies.
pub fn percentile(sorted: &[f64], share: f64) -> Option<f64> {
    let last = sorted.len().checked_sub(1)?;
    sorted.get((last as f64 * share).round() as usize).copied()
}
