//! Percentiles of samples that are all kept: exact, and small enough here.

/// Samples of one quantity, sorted.
#[derive(Debug)]
pub(crate) struct Samples {
    sorted: Vec<u64>,
}

impl Samples {
    pub(crate) fn new(mut samples: Vec<u64>) -> Self {
        samples.sort_unstable();
        Self { sorted: samples }
    }

    /// The smallest sample that at least `percent` of 100 samples do not exceed (nearest rank); 0 without samples.
    pub(crate) fn percentile(&self, percent: f64) -> u64 {
        let rank = (percent / 100.0 * self.sorted.len() as f64).ceil() as usize;
        self.sorted.get(rank.max(1) - 1).or(self.sorted.last()).copied().unwrap_or(0)
    }

    /// The largest sample; 0 without samples.
    pub(crate) fn max(&self) -> u64 {
        self.sorted.last().copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_samples_by_nearest_rank() {
        let samples = Samples::new((1..=100).rev().collect());
        assert_eq!(
            [0.0, 1.0, 50.0, 99.0, 99.5, 100.0].map(|p| samples.percentile(p)),
            [1, 1, 50, 99, 100, 100]
        );
        assert_eq!(samples.max(), 100);
    }

    #[test]
    fn of_few_samples_the_high_percentiles_are_the_largest() {
        let samples = Samples::new(vec![7, 3]);
        assert_eq!((samples.percentile(50.0), samples.percentile(99.0)), (3, 7));
    }

    #[test]
    fn no_samples_have_no_percentiles() {
        let samples = Samples::new(Vec::new());
        assert_eq!((samples.percentile(50.0), samples.max()), (0, 0));
    }
}
