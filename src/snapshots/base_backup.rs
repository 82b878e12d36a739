//! `pg_basebackup`, one tar with the WAL it needs: the whole cluster.
//! Not here: clusters with tablespaces of their own (HOLE: `pg_basebackup` cannot write those to a pipe, and says so),
//! and incremental backups, which would make one snapshot's age depend on another's.
//! PostgreSQL's documentation, pg_basebackup; the manifest is the tar's last file.

use std::io::{self, Read};
use std::process::Stdio;

use super::about::About;
use super::back_end::{BackEnd, Checked};
use super::child::{Programs, Running, Upstream};
use super::error::Error;
use super::header::{Algorithm, Kind};
use super::manifest::{self, Checksum, Passed};

/// The manifest's name within the tar.
pub(super) const MANIFEST: &str = "backup_manifest";
const READ_BYTES: usize = 64 << 10;

/// The whole cluster by `pg_basebackup`.
#[derive(Clone, Debug)]
pub struct PgBaseBackup {
    /// The manifest's checksums.
    pub checksums: Algorithm,
}

impl BackEnd for PgBaseBackup {
    fn kind(&self) -> Kind {
        Kind::PgBaseBackup
    }

    fn database(&self) -> Option<&str> {
        None
    }

    fn checksums(&self) -> Option<Algorithm> {
        Some(self.checksums)
    }

    fn estimate(&self, about: &About) -> Option<u64> {
        about.cluster_bytes
    }

    fn start(&self, programs: &Programs, upstream: &Upstream, label: &str) -> Result<Running, Error> {
        let mut command = programs.command("pg_basebackup");
        let checksums = match self.checksums {
            Algorithm::Sha256 => "SHA256",
            Algorithm::Crc32c => "CRC32C",
        };
        command
            .args(["--pgdata=-", "--format=tar", "--wal-method=fetch", "--checkpoint=fast", "--no-password"])
            .arg(format!("--manifest-checksums={checksums}"))
            .arg(format!("--label={label}"));
        let private = upstream.connect(&mut command, None)?;
        command.stdout(Stdio::piped());
        Running::start(command, Some(private))
    }

    fn check(&self, _programs: &Programs, stream: &mut dyn Read) -> Result<Checked, Error> {
        check(self.checksums, stream)
    }
}

/// Holds every file of the tar against the manifest at its end.
pub(super) fn check(checksums: Algorithm, stream: &mut dyn Read) -> Result<Checked, Error> {
    let unreadable = |error: io::Error| Error::NotVerified(format!("its tar cannot be read: {error}"));
    let mut passed = Passed::default();
    let mut content = None;
    let mut buffer = vec![0; READ_BYTES];
    let mut archive = tar::Archive::new(&mut *stream);
    for entry in archive.entries().map_err(unreadable)? {
        let mut entry = entry.map_err(unreadable)?;
        if content.is_some() {
            return Err(Error::NotVerified("something follows its manifest".to_owned()));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let name = entry.path_bytes().into_owned();
        let name = name.strip_prefix(b"./").unwrap_or(&name).to_vec();
        if name == MANIFEST.as_bytes() {
            content = Some(manifest::compare(&mut entry, &mut passed, checksums)?);
        } else if let Some(segment) = name.strip_prefix(manifest::WAL) {
            passed.wal(&String::from_utf8_lossy(segment), entry.size());
        } else {
            let size = entry.size();
            passed.file(&name, size, checksum_of(&mut entry, size, checksums, &mut buffer).map_err(unreadable)?);
        }
    }
    let content = content.ok_or_else(|| Error::NotVerified("it has no manifest".to_owned()))?;
    // Zeros fill the tar up; whoever sends it wants them read.
    io::copy(stream, &mut io::sink()).map_err(unreadable)?;
    Ok(Checked { parts: passed.len(), content })
}

fn checksum_of(entry: &mut impl Read, size: u64, checksums: Algorithm, buffer: &mut [u8]) -> io::Result<Checksum> {
    let mut checksum = Checksum::new(checksums);
    let mut left = size;
    loop {
        match entry.read(buffer)? {
            0 if left == 0 => return Ok(checksum),
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => {
                checksum.update(buffer.get(..read).unwrap_or_default());
                left = left.saturating_sub(read as u64);
            }
        }
    }
}
