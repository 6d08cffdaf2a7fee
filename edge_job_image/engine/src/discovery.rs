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
    pub path: PathBuf,
    pub device: u64,
    pub inode: u64,
    pub size: u64,
    /// Nanoseconds since 1970.
    pub modified: i64,
    pub changed: i64,
}

impl Found {
    fn new(name: String, path: PathBuf, state: &Metadata) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds * 1_000_000_000 + rest;
        Self {
            name,
            path,
            device: state.dev(),
            inode: state.ino(),
            size: state.size(),
            modified: nanoseconds(state.mtime(), state.mtime_nsec()),
            changed: nanoseconds(state.ctime(), state.ctime_nsec()),
        }
    }
}

/// What a source holds, in the order of the names.
pub struct Listing {
    pub files: Vec<Found>,
    /// Directories that could not be listed.
    pub unreadable: Vec<String>,
    /// Names that match, but are links, pipes, devices or sockets.
    pub passed_over: Vec<String>,
}

impl Listing {
    /// A digest of all that is known of the files: it is the same as long as nothing changed.
    pub fn digest(&self) -> u128 {
        let mut hasher = Hasher::new();
        for file in &self.files {
            hasher.write(file.name.as_bytes());
            hasher.write(&[0]);
            for number in [file.device, file.inode, file.size] {
                hasher.write(&number.to_le_bytes());
            }
            for time in [file.modified, file.changed] {
                hasher.write(&time.to_le_bytes());
            }
        }
        hasher.finish_128()
    }
}

/// Lists a source. Symbolic links are not followed: one can lead out of what the administrator
/// allowed, or in a circle. Pipes, devices and sockets are passed over.
pub fn discover(source: &Path, patterns: &[Pattern]) -> io::Result<Listing> {
    let mut listing = Listing { files: vec![], unreadable: vec![], passed_over: vec![] };
    let mut folders: Vec<(PathBuf, Vec<String>)> = vec![(source.to_owned(), vec![])];
    while let Some((folder, above)) = folders.pop() {
        match list(&folder, &above, patterns, &mut listing, &mut folders) {
            Err(error) if above.is_empty() => return Err(error),
            Err(_) => listing.unreadable.push(above.join("/") + "/"),
            Ok(()) => {}
        }
    }
    listing.files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
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
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = shown(entry.file_name().as_bytes());
        if entry.file_type()?.is_dir() {
            folders.push((entry.path(), [above, &[name]].concat()));
        } else if patterns.iter().any(|pattern| pattern.matches(above, &name)) {
            let names = above.iter().map(String::as_str).chain([name.as_str()]);
            let name = names.collect::<Vec<_>>().join("/");
            match entry.metadata() {
                Ok(state) if state.is_file() => {
                    listing.files.push(Found::new(name, entry.path(), &state));
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
