//! The newest readings, as Python sees them.

use pyo3::prelude::*;

use super::super::recent;

/// The newest readings that say their own time.
#[pyclass]
pub struct Recent(pub recent::Recent);

#[pymethods]
impl Recent {
    /// So many are known.
    #[new]
    fn new(most: usize) -> Self {
        Self(recent::Recent::new(most))
    }

    /// Learns the readings of a segment older than all that is known; says whether there is room
    /// for more.
    fn learn(&mut self, stream: &str, segment: &[u8]) -> bool {
        self.0.learn(stream, segment)
    }

    /// Forgets the readings of the last `Part.rows`, which could not be stored.
    fn forget(&mut self) {
        self.0.forget();
    }
}
