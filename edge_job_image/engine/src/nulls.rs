//! Cells that mean that there is no value.

use serde::Deserialize;

/// Texts that mean it; the empty one always does.
#[derive(Deserialize)]
#[serde(from = "Vec<String>")]
pub struct Nulls {
    texts: Vec<Vec<u8>>,
    /// Bit n is set when there is one of n bytes; the highest bit is for all longer ones.
    lengths: u64,
}

impl From<Vec<String>> for Nulls {
    fn from(texts: Vec<String>) -> Self {
        let texts: Vec<_> = texts.into_iter().map(String::into_bytes).collect();
        let lengths = texts.iter().fold(1, |lengths, text| lengths | 1 << text.len().min(63));
        Self { texts, lengths }
    }
}

impl Nulls {
    #[inline(always)]
    pub fn contain(&self, cell: &[u8]) -> bool {
        cell.is_empty()
            || (self.lengths >> cell.len().min(63) & 1 == 1
                && self.texts.iter().any(|text| text == cell))
    }
}
