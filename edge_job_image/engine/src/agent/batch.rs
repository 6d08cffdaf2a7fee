//! The readings of one body: their times, and their values as the cells of a CSV file.

use super::moment;
use super::refusal::Refusal;

/// The first column of every segment: ISO 8601 in UTC.
pub const TIMESTAMP: &str = "timestamp";
/// A reading's time is the first of these that it has.
const TIMES: [&str; 3] = [TIMESTAMP, "time", "ts"];
const LONGEST: usize = 1_024;
const LONGEST_NAME: usize = 64;
/// Columns of one reading.
const MOST_COLUMNS: usize = 64;
/// In one body.
pub const MOST_READINGS: usize = 10_000;
/// Different columns in one body.
const MOST_NAMES: usize = 200;

/// Readings in memory, without an allocation for each value.
#[derive(Debug, Default)]
pub struct Batch {
    names: Vec<Box<str>>,
    text: String,
    cells: Vec<Cell>,
    readings: Vec<Reading>,
}

/// A value: which column, and where in the text.
#[derive(Debug, Clone, Copy)]
struct Cell {
    name: u32,
    start: u32,
    end: u32,
}

#[derive(Debug, Clone, Copy)]
struct Reading {
    /// Microseconds since 1970, UTC; None when the sender did not say.
    time: Option<i64>,
    /// Where its cells end.
    end: u32,
}

impl Batch {
    pub fn len(&self) -> usize {
        self.readings.len()
    }

    pub fn is_empty(&self) -> bool {
        self.readings.is_empty()
    }

    /// Roughly what it takes in memory.
    pub fn bytes(&self) -> usize {
        self.text.len() + self.cells.len() * size_of::<Cell>() + self.len() * size_of::<Reading>()
    }

    /// The columns, in the order in which they came.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(|name| &**name)
    }

    fn cells_of(&self, reading: usize) -> &[Cell] {
        let start = reading.checked_sub(1).map_or(0, |before| self.readings[before].end as usize);
        &self.cells[start..self.readings[reading].end as usize]
    }

    fn value(&self, cell: Cell) -> &str {
        &self.text[cell.start as usize..cell.end as usize]
    }

    pub fn time(&self, reading: usize) -> Option<i64> {
        self.readings[reading].time
    }

    /// The columns and values of a reading.
    pub fn values(&self, reading: usize) -> impl Iterator<Item = (&str, &str)> {
        let cells = self.cells_of(reading).iter();
        cells.map(|&cell| (&*self.names[cell.name as usize], self.value(cell)))
    }

    /// The reading's value in a column.
    pub fn get(&self, reading: usize, column: &str) -> Option<&str> {
        self.values(reading).find_map(|(name, value)| (name == column).then_some(value))
    }

    /// Appends a reading as a line of CSV with these columns behind the time.
    pub fn line(&self, reading: usize, time: Option<i64>, columns: &[String], out: &mut String) {
        if let Some(time) = time {
            moment::write(time, out);
        }
        let cells = self.cells_of(reading);
        for (position, column) in columns.iter().enumerate() {
            out.push(',');
            // Mostly the columns come in their order.
            let found = cells
                .get(position)
                .filter(|cell| *self.names[cell.name as usize] == **column)
                .or_else(|| cells.iter().find(|cell| *self.names[cell.name as usize] == **column));
            if let Some(&cell) = found {
                write_cell(self.value(cell), out);
            }
        }
        out.push('\n');
    }

    /// Adds a reading whose columns and values come from an earlier `values`.
    pub fn restore(
        &mut self,
        time: Option<i64>,
        values: &[(String, String)],
    ) -> Result<(), Refusal> {
        for (name, value) in values {
            self.put(name, value).map_err(Refusal::bad)?;
        }
        let end = self.cells.len() as u32;
        self.readings.push(Reading { time, end });
        Ok(())
    }

    fn begin(&self) -> usize {
        self.readings.last().map_or(0, |last| last.end as usize)
    }

    /// Gives a column of the reading that is being read its value; the last one counts.
    fn put(&mut self, name: &str, value: &str) -> Result<(), String> {
        check_name(name)?;
        check_value(name, value)?;
        let name = self.index(name)?;
        let start = self.text.len();
        self.text.push_str(value);
        let cell = Cell { name, start: start as u32, end: self.text.len() as u32 };
        let begin = self.begin();
        match self.cells[begin..].iter_mut().find(|cell| cell.name == name) {
            Some(earlier) => *earlier = cell,
            None => self.cells.push(cell),
        }
        Ok(())
    }

    fn index(&mut self, name: &str) -> Result<u32, String> {
        // The columns of one reading are mostly those of the one before.
        let likely = self.cells.len() - self.begin();
        if self.names.get(likely).is_some_and(|known| **known == *name) {
            return Ok(likely as u32);
        }
        if let Some(index) = self.names.iter().position(|known| **known == *name) {
            return Ok(index as u32);
        }
        if self.names.len() == MOST_NAMES {
            return Err(format!("more than {MOST_NAMES} different columns"));
        }
        self.names.push(name.into());
        Ok(self.names.len() as u32 - 1)
    }
}

/// A reading that is being read.
pub struct Draft<'a> {
    batch: &'a mut Batch,
    times: [Option<String>; 3],
}

impl<'a> Draft<'a> {
    /// Begins the next reading.
    pub fn new(batch: &'a mut Batch) -> Result<Self, Refusal> {
        if batch.len() == MOST_READINGS {
            let message = format!("more than {MOST_READINGS} readings: send them in parts");
            return Err(Refusal::bad(message));
        }
        Ok(Self { batch, times: [const { None }; 3] })
    }

    /// Gives a column its value; the last one counts.
    pub fn put(&mut self, name: &str, value: &str) -> Result<(), String> {
        match TIMES.iter().position(|time| *time == name) {
            Some(place) => {
                check_value(name, value)?;
                self.times[place] = Some(value.to_owned());
                Ok(())
            }
            None => self.batch.put(name, value),
        }
    }

    /// Ends the reading; says what is wrong with it as a whole.
    pub fn end(self) -> Result<(), String> {
        let Self { batch, times } = self;
        let mut time = None;
        for (name, value) in TIMES.iter().zip(times) {
            match value {
                Some(value) if time.is_none() => time = Some(moment::parse(name, &value)?),
                Some(value) => batch.put(name, &value)?,
                None => {}
            }
        }
        let cells = batch.cells.len() - batch.begin();
        if cells == 0 {
            return Err("it holds no value".to_owned());
        }
        if cells > MOST_COLUMNS {
            return Err(format!("it has more than {MOST_COLUMNS} values"));
        }
        batch.readings.push(Reading { time, end: batch.cells.len() as u32 });
        Ok(())
    }
}

/// Adds the columns of a batch to those known, unless they would be more than allowed.
pub fn widen(known: &mut Vec<String>, batch: &Batch, most: usize) -> bool {
    let known_already = |name: &&str| known.iter().any(|column| column == name);
    let new: Vec<String> =
        batch.names().filter(|name| !known_already(name)).map(str::to_owned).collect();
    let fits = known.len() + new.len() <= most;
    if fits {
        known.extend(new);
    }
    fits
}

fn check_name(name: &str) -> Result<(), String> {
    let first = |byte: u8| byte.is_ascii_alphabetic() || byte == b'_';
    let bytes = name.as_bytes();
    let fine = bytes.len() <= LONGEST_NAME
        && bytes.first().is_some_and(|&byte| first(byte))
        && bytes
            .iter()
            .all(|&byte| first(byte) || byte.is_ascii_digit() || b".:/-".contains(&byte));
    if fine {
        return Ok(());
    }
    let shown: String = name.chars().take(80).collect();
    Err(format!(
        "{shown:?} is no name of a column: letters, digits and _ . : / -, at most {LONGEST_NAME}, \
         beginning with a letter"
    ))
}

fn check_value(name: &str, value: &str) -> Result<(), String> {
    if value.len() > LONGEST && value.chars().count() > LONGEST {
        return Err(format!("{name}: longer than {LONGEST} characters"));
    }
    // The last three end lines for some readers.
    let control = |char: char| char.is_control() || matches!(char, '\u{2028}' | '\u{2029}');
    let plain = value.bytes().all(|byte| (b' '..0x7f).contains(&byte));
    if !plain && value.chars().any(control) {
        return Err(format!("{name}: has line breaks or other control characters"));
    }
    Ok(())
}

fn write_cell(cell: &str, out: &mut String) {
    // Also what other dialects take for a mark, so that nobody takes the file for one of them.
    let marked = cell.bytes().any(|byte| matches!(byte, b'"' | b',' | b';' | b'|' | b'#'));
    if !marked && !cell.starts_with(char::is_whitespace) && !cell.ends_with(char::is_whitespace) {
        out.push_str(cell);
        return;
    }
    out.push('"');
    for (position, part) in cell.split('"').enumerate() {
        if position > 0 {
            out.push_str("\"\"");
        }
        out.push_str(part);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_what_would_break_it() {
        let mut batch = Batch::default();
        let mut draft = Draft::new(&mut batch).unwrap();
        draft.put("a", "x,\"y\"").unwrap();
        draft.put("b", "1;2").unwrap();
        draft.put("a", " z").unwrap();
        draft.end().unwrap();
        let columns: Vec<String> = ["b", "none", "a"].map(str::to_owned).to_vec();
        let mut line = String::new();
        batch.line(0, Some(1), &columns, &mut line);
        assert_eq!(line, "1970-01-01T00:00:00.000001Z,\"1;2\",,\" z\"\n");
    }

    #[test]
    fn the_first_of_the_times_counts_and_the_others_are_columns() {
        let mut batch = Batch::default();
        let mut draft = Draft::new(&mut batch).unwrap();
        draft.put("ts", "5").unwrap();
        draft.put("time", "1970-01-01").unwrap();
        draft.end().unwrap();
        assert_eq!(batch.time(0), Some(0));
        assert_eq!(batch.values(0).collect::<Vec<_>>(), [("ts", "5")]);
    }

    #[test]
    fn columns_are_added_as_long_as_there_is_room() {
        let mut batch = Batch::default();
        batch.restore(None, &[("a".into(), "1".into()), ("b".into(), "2".into())]).unwrap();
        let mut known = vec!["a".to_owned()];
        assert!(!widen(&mut known, &batch, 1));
        assert_eq!(known, ["a"]);
        assert!(widen(&mut known, &batch, 2));
        assert_eq!(known, ["a", "b"]);
    }
}
