//! Distinct strings, each stored once and known by a small number.

use hashbrown::HashTable;

/// A set of byte strings numbered in the order in which they first came.
pub struct Dictionary {
    bytes: Vec<u8>,
    ends: Vec<u32>,
    table: HashTable<u32>,
    /// The one that `number` was asked for last.
    last: u32,
    /// The one that it was asked for behind each, when that was last.
    next: Vec<u32>,
}

/// The number that stands for no string.
pub const NULL: u32 = u32::MAX;

impl Default for Dictionary {
    fn default() -> Self {
        Self::new()
    }
}

impl Dictionary {
    pub const fn new() -> Self {
        Self { bytes: vec![], ends: vec![], table: HashTable::new(), last: NULL, next: vec![] }
    }

    /// The number of the string that is likely to be next, if it stands at a position of a block
    /// with the byte `until` behind it, and where that is.
    #[inline(always)]
    pub fn guess(&mut self, block: &[u8], at: usize, until: u8) -> Option<(u32, usize)> {
        let next = *self.next.get(self.last as usize)?;
        let text = self.get(next);
        let (cell, behind) = block.get(at..)?.split_at_checked(text.len())?;
        if behind.first() != Some(&until) || !same(cell, text) {
            return None;
        }
        let end = at + text.len();
        self.last = next;
        Some((next, end))
    }

    /// The number of a string, which is added when it is new.
    #[inline]
    pub fn number(&mut self, text: &[u8]) -> u32 {
        // Devices mostly send in turns, or one sends all its readings.
        if let Some(&next) = self.next.get(self.last as usize)
            && same(self.get(next), text)
        {
            self.last = next;
            return next;
        }
        let number = self.find(text);
        if let Some(next) = self.next.get_mut(self.last as usize) {
            *next = number;
        }
        self.last = number;
        number
    }

    /// The same, of a string that `guess` is not to know.
    pub fn find(&mut self, text: &[u8]) -> u32 {
        let Self { bytes, ends, table, .. } = self;
        let hash = hash(text);
        if let Some(&number) = table.find(hash, |&number| same(cut(bytes, ends, number), text)) {
            return number;
        }
        let number = self.append(text);
        let Self { bytes, ends, table, .. } = self;
        table.insert_unique(hash, number, |&other| self::hash(cut(bytes, ends, other)));
        number
    }

    /// The number of a string that is added without looking whether it is new.
    pub fn append(&mut self, text: &[u8]) -> u32 {
        let number = self.ends.len() as u32;
        self.bytes.extend_from_slice(text);
        self.ends.push(self.bytes.len() as u32);
        self.next.push(number);
        number
    }

    /// The string of a number that `number` returned.
    #[inline]
    pub fn get(&self, number: u32) -> &[u8] {
        cut(&self.bytes, &self.ends, number)
    }

    /// How many strings there are.
    pub const fn count(&self) -> usize {
        self.ends.len()
    }

    /// Forgets all strings and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.ends.clear();
        self.table.clear();
        self.next.clear();
        self.last = NULL;
    }

    /// The memory that the strings take, in bytes.
    pub fn memory(&self) -> usize {
        self.bytes.capacity() + self.ends.capacity() * 8 + self.table.capacity() * 6
    }
}

#[inline(always)]
fn cut<'a>(bytes: &'a [u8], ends: &[u32], number: u32) -> &'a [u8] {
    let number = number as usize;
    let start = if number == 0 { 0 } else { ends[number - 1] as usize };
    &bytes[start..ends[number] as usize]
}

/// Whether two texts are equal; most are names of a few words, for which a call costs more.
#[inline(always)]
fn same(one: &[u8], other: &[u8]) -> bool {
    if one.len() != other.len() {
        return false;
    }
    match (one.first_chunk::<8>(), one.last_chunk::<8>(), other.first_chunk(), other.last_chunk()) {
        (Some(a), Some(b), Some(c), Some(d)) if one.len() <= 16 => a == c && b == d,
        _ => one == other,
    }
}

/// Mixes eight bytes at a time by multiplication: short texts, and nobody to defend against who
/// could not more easily send a larger file (the table grows with distinct strings only).
#[inline]
pub fn hash(text: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut state = text.len() as u64;
    let (words, rest) = text.as_chunks::<8>();
    for word in words {
        state = mix(state ^ u64::from_le_bytes(*word), FACTOR);
    }
    // The last eight bytes once more: to copy a few into a word would cost a call.
    let last = match text.last_chunk() {
        Some(last) => u64::from_le_bytes(*last),
        None => rest.iter().fold(0, |word, &byte| word << 8 | u64::from(byte)),
    };
    mix(state ^ last, FACTOR)
}

/// The product's halves folded together.
#[inline(always)]
pub const fn mix(left: u64, right: u64) -> u64 {
    let product = (left as u128) * (right as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_string_has_one_number() {
        let mut dictionary = Dictionary::default();
        let texts: Vec<String> = (0..1000).map(|n| format!("sensor-{}", n % 300)).collect();
        let numbers: Vec<u32> = texts.iter().map(|t| dictionary.number(t.as_bytes())).collect();
        assert_eq!(dictionary.count(), 300);
        for (text, &number) in texts.iter().zip(&numbers) {
            assert_eq!(dictionary.get(number), text.as_bytes());
        }
        assert_eq!(dictionary.number(b""), 300);
        assert_eq!(dictionary.get(300), b"");
        assert_eq!([dictionary.append(b"new"), dictionary.append(b"new")], [301, 302]);
        assert_eq!([dictionary.get(302), dictionary.get(300)], [b"new".as_slice(), b""]);
    }

    #[test]
    fn only_what_was_asked_for_by_number_is_guessed() {
        let mut dictionary = Dictionary::default();
        assert_eq!(dictionary.find(b"a;b"), 0);
        assert_eq!(dictionary.guess(b"a;b;", 0, b';'), None);
        assert_eq!(dictionary.number(b"first"), 1);
        assert_eq!(dictionary.number(b"second"), 2);
        assert_eq!(dictionary.find(b"a;b"), 0);
        assert_eq!(dictionary.number(b"first"), 1);
        let block = b";second;first\n";
        assert_eq!(dictionary.guess(block, 0, b';'), None);
        assert_eq!(dictionary.guess(block, 1, b'\n'), None);
        assert_eq!(dictionary.guess(block, 1, b';'), Some((2, 7)));
        assert_eq!(dictionary.guess(&block[..13], 8, b'\n'), None);
        assert_eq!(dictionary.guess(block, 8, b'\n'), Some((1, 13)));
    }
}
