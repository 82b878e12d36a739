//! A base backup's manifest, read as it passes and held against the files that passed before it.
//! Not here: the tar stream (`base_backup.rs`). 48 bytes are kept for each file, whatever its name.
//! PostgreSQL's documentation, "Backup Manifest Format"; one file stands on one line, as the server writes it.

use std::io::{BufRead, BufReader, Read};

use aws_lc_rs::digest::{self, SHA256};
use serde::Deserialize;

use super::error::Error;
use super::header::Algorithm;

/// A line names one file; paths are at most 1024 bytes, twice that in hexadecimal.
const LINE_BYTES_MAX: u64 = 16 << 10;

/// Below this, status files come and go: as for `pg_verifybackup`, only the segments that are needed count.
pub(super) const WAL: &[u8] = b"pg_wal/";

/// A checksum while it grows.
pub(super) enum Checksum {
    Sha256(Box<digest::Context>),
    Crc32c(u32),
}

impl Checksum {
    pub(super) fn new(algorithm: Algorithm) -> Checksum {
        match algorithm {
            Algorithm::Sha256 => Checksum::Sha256(Box::new(digest::Context::new(&SHA256))),
            Algorithm::Crc32c => Checksum::Crc32c(0),
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Checksum::Sha256(context) => context.update(bytes),
            Checksum::Crc32c(sum) => *sum = crc32c::crc32c_append(*sum, bytes),
        }
    }

    /// As it stands in a manifest: hexadecimal. A CRC-32C is written with its lowest byte first.
    fn finish(self) -> String {
        match self {
            Checksum::Sha256(context) => hex(context.finish().as_ref()),
            Checksum::Crc32c(sum) => hex(&sum.to_le_bytes()),
        }
    }
}

/// What passed: of each file two short digests.
#[derive(Default)]
pub(super) struct Passed {
    files: Vec<File>,
    is_sorted: bool,
    segments: Vec<(String, u64)>,
}

struct File {
    path: [u8; 16],
    content: [u8; 16],
    is_listed: bool,
}

impl Passed {
    /// A file other than WAL.
    pub(super) fn file(&mut self, path: &[u8], size: u64, checksum: Checksum) {
        let content = content(size, &checksum.finish());
        self.files.push(File { path: short(path), content, is_listed: false });
        self.is_sorted = false;
    }

    /// A file in `pg_wal`.
    pub(super) fn wal(&mut self, name: &str, size: u64) {
        let is_segment = name.len() == 24 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_segment {
            self.segments.push((name.to_owned(), size));
        }
    }

    pub(super) fn len(&self) -> u64 {
        self.files.len() as u64
    }

    /// Takes a file off by its line in the manifest.
    fn take_off(&mut self, path: &[u8], size: u64, checksum: &str) -> Result<(), &'static str> {
        if !self.is_sorted {
            self.files.sort_unstable_by_key(|file| file.path);
            self.is_sorted = true;
        }
        let at = self.files.binary_search_by_key(&short(path), |file| file.path);
        let file = at.ok().and_then(|at| self.files.get_mut(at)).ok_or("it is not in the backup")?;
        if std::mem::replace(&mut file.is_listed, true) {
            return Err("it is listed twice");
        }
        if file.content == content(size, &checksum.to_ascii_lowercase()) {
            Ok(())
        } else {
            Err("its size or checksum differs")
        }
    }

    fn check_wal(&self, range: &WalRange) -> Result<(), Error> {
        let wrong = || not_verified("a WAL range in the manifest cannot be read");
        let (start, end) = (lsn(&range.start).ok_or_else(wrong)?, lsn(&range.end).ok_or_else(wrong)?);
        let segment_bytes = self.segments.first().map_or(0, |(_, size)| *size);
        if !segment_bytes.is_power_of_two() || segment_bytes < 1 << 20 {
            return Err(not_verified("there is no WAL in it: it could not be started"));
        }
        let per_id = (1 << 32) / segment_bytes;
        for number in start / segment_bytes..=end.saturating_sub(1).max(start) / segment_bytes {
            let name = format!("{:08X}{:08X}{:08X}", range.timeline, number / per_id, number % per_id);
            if !self.segments.iter().any(|(segment, size)| *segment == name && *size == segment_bytes) {
                return Err(not_verified(format!("the WAL segment {name} that it needs is missing or short")));
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct FileLine {
    #[serde(rename = "Path")]
    path: Option<String>,
    #[serde(rename = "Encoded-Path")]
    encoded_path: Option<String>,
    #[serde(rename = "Size")]
    size: u64,
    #[serde(rename = "Checksum-Algorithm")]
    algorithm: Option<String>,
    #[serde(rename = "Checksum")]
    checksum: Option<String>,
}

#[derive(Deserialize)]
struct WalRange {
    #[serde(rename = "Timeline")]
    timeline: u32,
    #[serde(rename = "Start-LSN")]
    start: String,
    #[serde(rename = "End-LSN")]
    end: String,
}

/// Reads the manifest to its end and holds every line against what passed. Its own checksum.
pub(super) fn compare(manifest: impl Read, passed: &mut Passed, expected: Algorithm) -> Result<[u8; 32], Error> {
    let mut manifest = BufReader::new(manifest);
    let mut hash = digest::Context::new(&SHA256);
    let (mut line, mut wal_ranges) = (Vec::new(), Vec::new());
    loop {
        line.clear();
        let read = (&mut manifest).take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
        if read.map_err(|error| not_verified(format!("its manifest cannot be read: {error}")))? == 0 {
            return Err(not_verified("its manifest is cut off"));
        }
        let text = std::str::from_utf8(&line).map_err(|_| not_verified("its manifest is not UTF-8"))?;
        let item = text.trim_end().trim_end_matches(',');
        if let Some(own) = item.strip_prefix("\"Manifest-Checksum\": \"") {
            let found = hash.finish();
            if own.trim_end_matches(['"', '}']) != hex(found.as_ref()) {
                return Err(not_verified("its manifest does not have the checksum it says it has"));
            }
            finish(passed, &wal_ranges)?;
            return Ok(found.as_ref().try_into().expect("SHA-256 has 32 bytes"));
        }
        hash.update(&line);
        if item.starts_with("{ \"Path\"") || item.starts_with("{ \"Encoded-Path\"") {
            let file: FileLine = serde_json::from_str(item).map_err(|error| unreadable(item, &error))?;
            compare_file(&file, passed, expected)?;
        } else if item.starts_with("{ \"Timeline\"") {
            wal_ranges.push(serde_json::from_str(item).map_err(|error| unreadable(item, &error))?);
        }
    }
}

fn finish(passed: &Passed, wal_ranges: &[WalRange]) -> Result<(), Error> {
    let unlisted = passed.files.iter().filter(|file| !file.is_listed).count();
    if unlisted > 0 {
        return Err(not_verified(format!("{unlisted} of its files are not in its manifest")));
    }
    if wal_ranges.is_empty() {
        return Err(not_verified("its manifest names no WAL"));
    }
    wal_ranges.iter().try_for_each(|range| passed.check_wal(range))
}

fn compare_file(file: &FileLine, passed: &mut Passed, expected: Algorithm) -> Result<(), Error> {
    let path = match (&file.path, &file.encoded_path) {
        (Some(path), None) => path.clone().into_bytes(),
        (None, Some(encoded)) => {
            unhex(encoded).ok_or_else(|| not_verified("a path in its manifest is no hexadecimal"))?
        }
        _ => return Err(not_verified("a line of its manifest names no file")),
    };
    if path.starts_with(WAL) {
        return Ok(());
    }
    let wrong = |why: &str| not_verified(format!("{}: {why}", String::from_utf8_lossy(&path)));
    let (Some(algorithm), Some(checksum)) = (&file.algorithm, &file.checksum) else {
        return Err(wrong("its manifest has no checksum for it"));
    };
    if algorithm_of(algorithm) != Some(expected) {
        return Err(wrong("its checksum is of another algorithm than the others"));
    }
    passed.take_off(&path, file.size, checksum).map_err(wrong)
}

/// The algorithm of a manifest's first file; `None` if it is one we do not check, or none.
pub(super) fn algorithm(manifest: impl Read) -> Option<Algorithm> {
    let lines = BufReader::new(manifest.take(4 * LINE_BYTES_MAX)).lines();
    let line = lines.map_while(Result::ok).find(|line| line.starts_with("{ \"Path\""))?;
    let file: FileLine = serde_json::from_str(line.trim_end().trim_end_matches(',')).ok()?;
    algorithm_of(&file.algorithm?)
}

fn algorithm_of(name: &str) -> Option<Algorithm> {
    match name {
        "SHA256" => Some(Algorithm::Sha256),
        "CRC32C" => Some(Algorithm::Crc32c),
        _ => None,
    }
}

fn content(size: u64, checksum: &str) -> [u8; 16] {
    short(format!("{size} {checksum}").as_bytes())
}

/// The first half of SHA-256: nobody but the server chooses these paths, and it could choose the manifest as well.
fn short(bytes: &[u8]) -> [u8; 16] {
    let digest = digest::digest(&SHA256, bytes);
    let (half, _) = digest.as_ref().split_at(16);
    half.try_into().expect("half of 32 bytes")
}

/// `0/2000028` as a number.
fn lsn(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    Some(u64::from(u32::from_str_radix(high, 16).ok()?) << 32 | u64::from(u32::from_str_radix(low, 16).ok()?))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
    pairs.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect()
}

fn not_verified(what: impl Into<String>) -> Error {
    Error::NotVerified(what.into())
}

fn unreadable(line: &str, error: &serde_json::Error) -> Error {
    not_verified(format!("a line of its manifest cannot be read ({error}): {line}"))
}

#[cfg(test)]
#[path = "manifest_tests.rs"]
mod tests;
