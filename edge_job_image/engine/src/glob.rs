//! Patterns of names: `*` and `?` stay within a directory, `**` is any number of directories, and
//! neither matches a name that begins with a dot. The same as `edge_etl_job.discovery.matcher`.

/// A pattern, cut at its slashes.
pub struct Pattern {
    folders: Vec<Segment>,
    last: Segment,
}

enum Segment {
    /// `**`
    Any,
    Of(Vec<Part>),
}

enum Part {
    Any,
    One,
    Text(String),
    Class { ranges: Vec<(char, char)>, negated: bool },
}

impl Pattern {
    pub fn new(text: &str) -> Self {
        let mut segments: Vec<Segment> = text.split('/').map(Segment::new).collect();
        let last = segments.pop().unwrap_or(Segment::Of(vec![]));
        Self { folders: segments, last }
    }

    /// Whether a file of this name, in these folders, is meant.
    pub fn matches(&self, folders: &[String], name: &str) -> bool {
        let is_last = |rest: &[String]| match &self.last {
            Segment::Any => rest.iter().all(|folder| is_shown(folder)) && is_shown(name),
            last => rest.is_empty() && last.matches(name),
        };
        in_folders(&self.folders, folders, &is_last)
    }
}

/// Whether segments match the first of some folders, and `last` what is left of them.
fn in_folders(segments: &[Segment], folders: &[String], last: &impl Fn(&[String]) -> bool) -> bool {
    match segments.split_first() {
        None => last(folders),
        Some((Segment::Any, rest)) => {
            let passed = folders.iter().take_while(|folder| is_shown(folder)).count();
            (0..=passed).any(|count| in_folders(rest, &folders[count..], last))
        }
        Some((segment, rest)) => match folders.split_first() {
            Some((folder, below)) => segment.matches(folder) && in_folders(rest, below, last),
            None => false,
        },
    }
}

fn is_shown(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.')
}

impl Segment {
    fn new(text: &str) -> Self {
        if text == "**" {
            return Self::Any;
        }
        let mut parts = vec![];
        let mut rest = text;
        while let Some(first) = rest.chars().next() {
            let behind = &rest[first.len_utf8()..];
            (parts, rest) = match first {
                '*' => (with(parts, Part::Any), behind.trim_start_matches('*')),
                '?' => (with(parts, Part::One), behind),
                '[' if let Some((class, behind)) = class(behind) => (with(parts, class), behind),
                other => (with_character(parts, other), behind),
            };
        }
        // What begins with a dot is meant only where the pattern has one.
        Self::Of(parts)
    }

    fn matches(&self, name: &str) -> bool {
        let Self::Of(parts) = self else { return is_shown(name) };
        let begins_with_dot =
            matches!(parts.first(), Some(Part::Text(text)) if text.starts_with('.'));
        (begins_with_dot || !name.starts_with('.')) && fits(parts, name)
    }
}

fn with(mut parts: Vec<Part>, part: Part) -> Vec<Part> {
    parts.push(part);
    parts
}

fn with_character(mut parts: Vec<Part>, character: char) -> Vec<Part> {
    match parts.last_mut() {
        Some(Part::Text(text)) => text.push(character),
        _ => parts.push(Part::Text(character.to_string())),
    }
    parts
}

/// The class that a `[` opens, and what is behind its `]`; a `]` that comes first belongs to it.
fn class(text: &str) -> Option<(Part, &str)> {
    let (negated, body) = match text.strip_prefix('!') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let from = usize::from(body.starts_with(']'));
    let end = from + body[from..].find(']')?;
    let characters: Vec<char> = body[..end].chars().collect();
    let mut ranges = vec![];
    let mut rest = characters.as_slice();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        let mut last = first;
        if let ['-', end, behind @ ..] = rest {
            last = *end;
            rest = behind;
        }
        ranges.push((first, last));
    }
    Some((Part::Class { ranges, negated }, &body[end + 1..]))
}

fn fits(parts: &[Part], name: &str) -> bool {
    let Some((part, rest)) = parts.split_first() else { return name.is_empty() };
    match (part, rest) {
        // Most patterns ask only for the end of a name.
        (Part::Any, [Part::Text(end)]) => name.ends_with(end.as_str()),
        (Part::Any, _) => {
            let mut ends = name.char_indices().map(|(at, _)| at).chain([name.len()]);
            ends.any(|at| fits(rest, &name[at..]))
        }
        (Part::Text(text), _) => {
            name.strip_prefix(text.as_str()).is_some_and(|behind| fits(rest, behind))
        }
        (Part::One, _) => one(name).is_some_and(|(_, behind)| fits(rest, behind)),
        (Part::Class { ranges, negated }, _) => one(name).is_some_and(|(first, behind)| {
            let is_in = ranges.iter().any(|(from, to)| (*from..=*to).contains(&first));
            is_in != *negated && fits(rest, behind)
        }),
    }
}

/// The first character of a name, and what is behind it.
fn one(name: &str) -> Option<(char, &str)> {
    let mut characters = name.chars();
    Some((characters.next()?, characters.as_str()))
}
