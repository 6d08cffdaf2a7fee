//! Thrift's compact protocol, as far as Parquet's headers and footers need it to be written.

/// A field's or an element's type.
#[derive(Clone, Copy)]
pub enum Kind {
    I32 = 5,
    I64 = 6,
    Binary = 8,
    Struct = 12,
}

/// Writes one struct and what is in it, in the order of the fields' numbers.
#[derive(Default)]
pub struct Struct {
    bytes: Vec<u8>,
    last: u8,
}

impl Struct {
    fn header(&mut self, field: u8, kind: u8) {
        // No struct of Parquet's has a gap of more than 15.
        self.bytes.push((field - self.last) << 4 | kind);
        self.last = field;
    }

    pub fn i32(mut self, field: u8, value: i32) -> Self {
        self.header(field, Kind::I32 as u8);
        zigzag(&mut self.bytes, i64::from(value));
        self
    }

    pub fn i64(mut self, field: u8, value: i64) -> Self {
        self.header(field, Kind::I64 as u8);
        zigzag(&mut self.bytes, value);
        self
    }

    pub fn bool(mut self, field: u8, value: bool) -> Self {
        self.header(field, if value { 1 } else { 2 });
        self
    }

    pub fn binary(mut self, field: u8, value: &[u8]) -> Self {
        self.header(field, Kind::Binary as u8);
        varint(&mut self.bytes, value.len() as u64);
        self.bytes.extend_from_slice(value);
        self
    }

    pub fn nested(mut self, field: u8, value: Self) -> Self {
        self.header(field, Kind::Struct as u8);
        self.bytes.extend(value.finish());
        self
    }

    /// A list of what `write` writes for each element.
    pub fn list<T>(
        mut self,
        field: u8,
        kind: Kind,
        elements: &[T],
        mut write: impl FnMut(&mut Vec<u8>, &T),
    ) -> Self {
        self.header(field, 9);
        if elements.len() < 15 {
            self.bytes.push((elements.len() as u8) << 4 | kind as u8);
        } else {
            self.bytes.push(0xf0 | kind as u8);
            varint(&mut self.bytes, elements.len() as u64);
        }
        for element in elements {
            write(&mut self.bytes, element);
        }
        self
    }

    /// The bytes of the struct.
    pub fn finish(mut self) -> Vec<u8> {
        self.bytes.push(0);
        self.bytes
    }
}

/// Writes an unsigned number, seven bits to a byte, the lowest first.
pub fn varint(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Writes a signed number so that small ones of either sign are short.
pub fn zigzag(bytes: &mut Vec<u8>, value: i64) {
    varint(bytes, (value << 1 ^ value >> 63) as u64);
}
