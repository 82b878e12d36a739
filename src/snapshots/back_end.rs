//! What a back-end has to do: say what it is, stream a snapshot, and tell a whole one from a torn one.
//! Not here: the store, sealing, leases; those are the same for all.

use std::io::Read;

use super::about::About;
use super::base_backup;
use super::child::{Programs, Running, Upstream};
use super::dump;
use super::error::Error;
use super::header::{Algorithm, Header, Kind};

/// A way to take snapshots.
pub trait BackEnd: Send + Sync {
    /// Which one.
    fn kind(&self) -> Kind;

    /// The database it takes; none if it takes the whole cluster.
    fn database(&self) -> Option<&str>;

    /// The checksums of its manifest, if it has one.
    fn checksums(&self) -> Option<Algorithm>;

    /// How many bytes there will be, as far as one can tell.
    fn estimate(&self, about: &About) -> Option<u64>;

    /// Starts the program whose standard output is the snapshot.
    ///
    /// # Errors
    /// [`Error::NoProgram`], [`Error::Storage`] for the password's file.
    fn start(&self, programs: &Programs, upstream: &Upstream, label: &str) -> Result<Running, Error>;

    /// Reads the whole snapshot as it passes, and says whether it agrees with itself.
    ///
    /// # Errors
    /// [`Error::NotVerified`].
    fn check(&self, programs: &Programs, stream: &mut dyn Read) -> Result<Checked, Error>;
}

/// A snapshot that was read to its end and agrees with itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// How many files a cluster has, or how many entries a dump.
    pub parts: u64,
    /// SHA-256 of a dump, or of a cluster's manifest.
    pub content: [u8; 32],
}

/// How closely a dump is looked at. A cluster's manifest is always checked against every byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// Its table of contents is read; that the rest came whole, `pg_dump` says itself.
    Contents,
    /// Every row is decompressed and read.
    Whole,
}

/// Checks a stored snapshot's plain bytes, by what its header says it is.
pub(super) fn check_again(header: &Header, programs: &Programs, stream: &mut dyn Read) -> Result<Checked, Error> {
    match (header.kind, header.checksums) {
        (Kind::PgDump, _) => dump::check(programs, Depth::Whole, stream),
        (Kind::PgBaseBackup, Some(checksums)) => base_backup::check(checksums, stream),
        (Kind::PgBaseBackup, None) => Err(Error::NotVerified("its header names no checksums".to_owned())),
    }
}
