//! The files of a source directory that belong to a job.

use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use twox_hash::xxhash3_128::Hasher;

use crate::cells::shown;
use crate::glob::Pattern;

/// A regular file as it was found.
pub struct Found {
    /// Relative to the source; bytes that are not UTF-8 are shown as `\xff`.
    pub name: String,
    /// Its path, where the name does not say it.
    raw: Option<PathBuf>,
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    pub changed: i64,
}

impl Found {
    fn new(name: String, raw: Option<PathBuf>, state: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds * 1_000_000_000 + rest;
        Self {
            name,
            raw,
            device: state.dev(),
            inode: state.ino(),
            size: state.size(),
            modified: nanoseconds(state.mtime(), state.mtime_nsec()),
            changed: nanoseconds(state.ctime(), state.ctime_nsec()),
        }
    }
}

/// What a source holds.
pub struct Listing {
    source: PathBuf,
    pub files: Vec<Found>,
    /// Directories that could not be listed.
    pub unreadable: Vec<String>,
    /// Names that match, but are links, pipes, devices or sockets.
    pub passed_over: Vec<String>,
}

impl Listing {
    /// A digest of all that is known of the files: it is the same as long as nothing changed.
    ///
    /// It is the sum of a digest of each, so that their order does not matter: to sort them takes
    /// longer.
    pub fn digest(&self) -> u128 {
        let mut bytes = vec![];
        self.files.iter().fold(0, |sum, file| {
            bytes.clear();
            for number in [file.device, file.inode, file.size] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            for time in [file.modified, file.changed] {
                bytes.extend_from_slice(&time.to_le_bytes());
            }
            bytes.extend_from_slice(file.name.as_bytes());
            u128::wrapping_add(sum, Hasher::oneshot(&bytes))
        })
    }

    /// The files in the order of their names, each with its path.
    pub fn sorted(&self) -> Vec<(&Found, PathBuf)> {
        let path = |file: &Found| file.raw.clone().unwrap_or_else(|| self.source.join(&file.name));
        let mut files: Vec<_> = self.files.iter().collect();
        files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        files.into_iter().map(|file| (file, path(file))).collect()
    }
}

/// Lists a source. Symbolic links are not followed: one can lead out of what the administrator
/// allowed, or in a circle. Pipes, devices and sockets are passed over.
pub fn discover(source: &Path, patterns: &[Pattern]) -> io::Result<Listing> {
    let source = source.to_owned();
    let mut folders: Vec<(PathBuf, Vec<String>)> = vec![(source.clone(), vec![])];
    let mut listing = Listing { source, files: vec![], unreadable: vec![], passed_over: vec![] };
    while let Some((folder, above)) = folders.pop() {
        match list(&folder, &above, patterns, &mut listing, &mut folders) {
            Err(error) if above.is_empty() => return Err(error),
            Err(_) => listing.unreadable.push(above.join("/") + "/"),
            Ok(()) => {}
        }
    }
    listing.unreadable.sort_unstable();
    listing.passed_over.sort_unstable();
    Ok(listing)
}

fn list(
    folder: &Path,
    above: &[String],
    patterns: &[Pattern],
    listing: &mut Listing,
    folders: &mut Vec<(PathBuf, Vec<String>)>,
) -> io::Result<()> {
    let prefix: String = above.iter().flat_map(|folder| [folder, "/"]).collect();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, is_raw) = match entry.file_name().into_string() {
            Ok(name) => (name, false),
            Err(raw) => (shown(raw.as_bytes()), true),
        };
        if entry.file_type()?.is_dir() {
            folders.push((entry.path(), [above, &[name]].concat()));
        } else if patterns.iter().any(|pattern| pattern.matches(above, &name)) {
            let name = if above.is_empty() { name } else { format!("{prefix}{name}") };
            match entry.metadata() {
                Ok(state) if state.is_file() => {
                    // Below a folder that is shown otherwise than it is called, so is the file.
                    let is_raw = is_raw || prefix.contains('\\');
                    let raw = is_raw.then(|| entry.path());
                    listing.files.push(Found::new(name, raw, &state));
                }
                Ok(_) => listing.passed_over.push(name),
                // It vanished since the directory was listed.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(())
}
