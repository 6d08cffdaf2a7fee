//! The keys that have been read, for jobs whose key does not hold the timestamp.

use hashbrown::HashTable;

use crate::strings::{hash, mix};
use crate::table::{Column, Table};

/// A set of keys. It grows with the number of distinct keys: nothing else can say of a row whether
/// its key came before at another time.
#[derive(Default)]
pub struct Seen {
    keys: Vec<u8>,
    table: HashTable<(u64, u64, u32)>,
    buffer: Vec<u8>,
}

impl Seen {
    /// Whether the key of a row comes for the first time.
    pub fn is_new(&mut self, table: &Table, row: usize, key: &[usize]) -> bool {
        self.buffer.clear();
        for &field in key {
            write_key(&table.columns[field], row, &mut self.buffer);
        }
        let Self { keys, table, buffer } = self;
        let hash = mix(hash(buffer), 0xd6e8_feb8_6659_fd93);
        let cut = |&(_, start, length): &(u64, u64, u32)| {
            &keys[start as usize..start as usize + length as usize] == buffer.as_slice()
        };
        if table.find(hash, cut).is_some() {
            return false;
        }
        let entry = (hash, keys.len() as u64, buffer.len() as u32);
        keys.extend_from_slice(buffer);
        table.insert_unique(hash, entry, |entry| entry.0);
        true
    }
}

/// Writes a value so that no two different keys are the same bytes.
fn write_key(column: &Column, row: usize, bytes: &mut Vec<u8>) {
    match column {
        Column::String { numbers, dictionary } => {
            let text = dictionary.get(numbers[row]);
            bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
            bytes.extend_from_slice(text);
        }
        _ => bytes.extend_from_slice(&column.identity(row).to_le_bytes()),
    }
}
