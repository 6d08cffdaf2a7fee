//! What holds for the engine whatever the rules are and whatever the files hold.
//!
//! An input is three bytes that choose the rules and the ranges, then the content of a file.

use std::fs;
use std::path::{Path, PathBuf};

use edge_etl_engine::clean::Outside;
use edge_etl_engine::engine::{self, Input, Outcome, Refused};
use edge_etl_engine::plan::Plan;
use edge_etl_engine::source::Compression;
use serde_json::{Value, json};

/// 2015-01-01 and 2030-01-01, in microseconds since 1970.
const EARLIEST: i64 = 1_420_070_400_000_000;
const LATEST: i64 = 1_893_456_000_000_000;

/// A choice made of the bits of a byte, the lowest first.
struct Choices(u8);

impl Choices {
    fn of(&mut self, count: u8) -> usize {
        let chosen = self.0 % count;
        self.0 /= count;
        chosen.into()
    }

    fn yes(&mut self) -> bool {
        self.of(2) == 1
    }
}

/// What of an outcome must be the same each time.
#[derive(Debug, PartialEq, Eq)]
struct Told {
    inputs: Vec<String>,
    files: Vec<(&'static str, Option<i64>, u64, String)>,
}

/// A folder for the file that is read and those that are written.
pub struct Site {
    folder: PathBuf,
}

impl Drop for Site {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.folder).expect("the folder can be removed");
    }
}

impl Site {
    /// Makes a folder of this name and process.
    pub fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("edge-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("out")).expect("a folder can be made");
        Self { folder }
    }

    /// Panics when the engine does not keep to its word.
    pub fn check(&mut self, data: &[u8]) {
        let Some((&[rules, flags, ranges], content)) = data.split_first_chunk() else {
            return;
        };
        let path = self.folder.join("in.csv");
        fs::write(&path, content).expect("the file can be written");
        let inputs = inputs(&path, content, ranges);
        let alone = Plan { threads: Some(1), ..plan(rules, flags, content, 20 << 20) };
        let first = self.told(&alone, &inputs, content);
        let shared = Plan { threads: Some(3), ..plan(rules, flags, content, 20 << 20) };
        let again = self.told(&shared, &inputs, content);
        assert_eq!(first, again, "the same input, another result");
        let little = self.told(&plan(rules, flags, content, 1), &inputs, content);
        assert_eq!(first.inputs, little.inputs, "less memory, another result");
    }

    fn told(&self, plan: &Plan, inputs: &[Input], content: &[u8]) -> Told {
        let repr = |text: &str| format!("{text:?}");
        let outside = Outside { repr: &repr };
        let out = self.folder.join("out");
        let outcome = engine::run(plan, inputs, &out, outside, &|_| true).expect("it can write");
        let files = outcome.files.iter().map(|finished| {
            let file = &finished.file;
            let path = out.join(&file.name);
            let written = fs::read(&path).expect("a file that is named is there");
            assert_eq!(written.len() as u64, file.bytes, "{}", file.name);
            assert!(written.starts_with(b"PAR1") && written.ends_with(b"PAR1"), "{}", file.name);
            fs::remove_file(path).expect("it can be removed");
            (finished.kind, finished.day, file.rows, file.sha256.clone())
        });
        let files = files.collect();
        assert_eq!(fs::read_dir(&out).expect("it can be read").count(), 0, "files without a name");
        add_up(plan, inputs, content, &outcome);
        let inputs = outcome.inputs.iter().map(|input| format!("{input:?}")).collect();
        Told { inputs, files }
    }
}

/// What is behind the first line in one range, or in two, the second behind a newline.
fn inputs(path: &Path, content: &[u8], ranges: u8) -> Vec<Input> {
    let size = content.len();
    let after = |from: usize| {
        let newline = content[from.min(size)..].iter().position(|&byte| byte == b'\n');
        newline.map_or(size, |at| from + at + 1)
    };
    let first = after(0);
    let cut = if ranges == 0 { size } else { after(size * usize::from(ranges) / 256).max(first) };
    let input = |start: usize, end: usize| Input {
        name: "in.csv".to_owned(),
        path: path.to_owned(),
        first: first as u64,
        start: start as u64,
        end: end as u64,
        lines: newlines(&content[..start]),
        dialect: 0,
        compression: Compression::None,
        digested: 0,
    };
    let mut inputs = vec![input(first, cut)];
    if cut < size {
        inputs.push(input(cut, size));
    }
    inputs
}

/// How the file is written. Its first line names its columns; what it does not name is anywhere.
fn dialect(content: &[u8], delimiter: &str, decimal: &str, encoding: usize) -> Value {
    let line = content.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    let names: Vec<_> = line.split(delimiter).map(|name| name.trim().trim_matches('"')).collect();
    let place = |name: &str, otherwise: usize| {
        names.iter().position(|each| *each == name).unwrap_or(otherwise % names.len())
    };
    let fields = ["sensor_id", "P1", "place", "raining", "ticks"];
    let fields: Vec<_> = (1..).zip(fields).map(|(at, name)| place(name, at)).collect();
    let time = place("timestamp", 0);
    let times = if names.contains(&"time") { vec![time, place("time", 0)] } else { vec![time] };
    let encodings = ["utf-8", "utf-8", "windows-1252", "utf-16-le"];
    json!({
        "columns": names,
        "delimiter": delimiter,
        "decimal": decimal,
        "encoding": encodings[encoding],
        "returns": encoding == 1,
        "extra": usize::from(names.len() > 7),
        "times": times,
        "fields": fields,
    })
}

fn newlines(bytes: &[u8]) -> u64 {
    bytes.iter().filter(|&&byte| byte == b'\n').count() as u64
}

fn plan(rules: u8, flags: u8, content: &[u8], budget: usize) -> Plan {
    let (mut rules, mut flags) = (Choices(rules), Choices(flags));
    let delimiter = [";", ",", "\t", "|"][rules.of(4)];
    let decimal = [".", ","][rules.of(2)];
    let formats = [
        json!(["ISO8601"]),
        json!(["ISO8601", "EpochMillis", "EpochSeconds"]),
        json!(["%d/%m/%Y %H.%M.%S", "%m/%d/%Y %H.%M.%S", "%b %d %y %I:%M%p%z"]),
    ][rules.of(3)]
    .clone();
    let key = [json!([0]), json!([0, 2]), json!([]), json!([1])][rules.of(4)].clone();
    let set_null = flags.yes();
    let (ship_rows, ship_features) = [(true, true), (true, false), (false, true)][flags.of(3)];
    let group_by = [json!([0]), json!([]), json!([2])][flags.of(3)].clone();
    let window = [3_600_000_000_i64, 86_400_000_000, 1_000_000][flags.of(3)];
    let dialect = dialect(content, delimiter, decimal, flags.of(4));
    let limit = |value: f64| json!([value, format!("{value}")]);
    serde_json::from_value(json!({
        "dialects": [dialect],
        "thousands": "'",
        "comment": "#",
        "timestamp": {
            "formats": formats,
            "earliest": EARLIEST,
            "latest": LATEST,
            "not_before": "2015-01-01T00:00:00Z",
            "max_future": "1h",
        },
        "fields": [
            {"name": "sensor_id", "kind": "string", "set_null": set_null, "nulls": ["", "NA"],
             "missing": "missing_key"},
            {"name": "pm10", "kind": "double", "set_null": set_null, "nulls": ["", "NA"],
             "min": limit(0.0), "max": limit(999.8), "null_ranges": [[-200, -200], [900, 1e9]]},
            {"name": "place", "kind": "string", "set_null": set_null, "nulls": ["", "NA"],
             "missing": "missing_required"},
            {"name": "raining", "kind": "boolean", "set_null": set_null,
             "nulls": ["", "NA"]},
            {"name": "ticks", "kind": "long", "set_null": set_null, "nulls": ["", "NA"],
             "min": limit(0.0), "circular": 24, "max_rate": limit(1e6),
             "stuck_after": {"readings": 2, "text": "2 readings"}},
        ],
        "nulls": ["", "NA"],
        "key": {"fields": key, "timestamp": true},
        "features": {"window": window, "group_by": group_by, "quantiles": [1, 50, 99], "first": true,
                     "last": true, "circular": true},
        "most_series": 2,
        "ship_rows": ship_rows,
        "ship_features": ship_features,
        "budget": budget,
    }))
    .expect("the plan is one")
}

/// Reads ranges as the ledger has them; a content here is short, so its numbers are.
fn ranges(packed: &[u8]) -> Vec<[u64; 3]> {
    let mut bytes = packed.iter().map(|&byte| u64::from(byte));
    let mut next = || bytes.next().expect("it goes on");
    let mut ranges = vec![];
    if !packed.is_empty() {
        let count = match next() {
            0xdc => next() << 8 | next(),
            few => few & 0x0f,
        };
        for _ in 0..count {
            let is_mixed = next() == 0x94;
            ranges.push(std::array::from_fn(|_| match next() {
                0xcc => next(),
                0xcd => next() << 8 | next(),
                small => small,
            }));
            assert!(!is_mixed || next() == 0xc3);
        }
    }
    assert!(bytes.next().is_none());
    ranges
}

/// Every row is in exactly one place, and as many as counted are in the files.
fn add_up(plan: &Plan, inputs: &[Input], content: &[u8], outcome: &Outcome) {
    assert_eq!(outcome.inputs.len(), inputs.len());
    let (mut clean, mut rejected) = (0, 0);
    for (input, result) in inputs.iter().zip(&outcome.inputs) {
        match result {
            Ok(read) => {
                let refused: u64 = read.rejected.values().sum();
                assert_eq!(read.rows, read.clean + read.duplicate + refused, "{read:?}");
                let is_plain = plan.dialects[0].is_plain();
                if is_plain {
                    assert_eq!(read.lines, newlines(&content[..input.end as usize]), "{read:?}");
                }
                let mut end = input.start;
                for [from, to, lines] in ranges(&read.refused.packed()) {
                    assert!(end <= from && from < to, "{read:?}");
                    if is_plain {
                        assert_eq!(lines, newlines(&content[..from as usize]));
                    }
                    end = to;
                }
                assert!(end <= input.end, "{read:?}");
                clean += read.clean;
                rejected += refused;
            }
            Err(refused) => assert!(matches!(refused, Refused::Quarantined(_)), "{refused:?}"),
        }
    }
    let rows = |kind: &str| -> u64 {
        outcome.files.iter().filter(|file| file.kind == kind).map(|file| file.file.rows).sum()
    };
    assert_eq!(rejected, rows("rejected"));
    assert_eq!(if plan.ship_rows { clean } else { 0 }, rows("rows"));
    assert_eq!(clean > 0, outcome.latest.is_some());
}
