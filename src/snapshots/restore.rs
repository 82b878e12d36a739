//! Bringing a snapshot back: to a directory a server can start from, or into a database; and reading one to its end to
//! see that it could be.
//! Not here: who may; a restore is an access, and whoever calls has recorded it.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, Stdio};

use super::Watch;
use super::back_end::check_again;
use super::child::{Programs, Running, Upstream};
use super::error::Error;
use super::header::{Kind, Names};
use super::reading::Stored;
use super::store::Store;
use crate::ids::SnapshotId;
use crate::secret::Secret;

const COPY_BYTES: usize = 256 << 10;

/// Where a snapshot goes.
#[derive(Debug)]
pub enum Target<'a> {
    /// A whole cluster: a directory that is missing or empty.
    Directory(&'a Path),
    /// A dump: an empty database, and the server it is on.
    Database {
        /// The server, as a role that may create everything there.
        upstream: &'a Upstream,
        /// The database.
        database: &'a str,
    },
}

/// A snapshot that was opened and read to its end: it agrees with itself and with its foot.
#[derive(Clone, Debug)]
pub struct Verified {
    /// What of it names somebody.
    pub names: Names,
    /// Files of a cluster, entries of a dump.
    pub parts: u64,
    /// Bytes before sealing.
    pub bytes: u64,
}

/// A snapshot that is back.
#[derive(Clone, Debug)]
pub struct Restored {
    /// What of it names somebody.
    pub names: Names,
    /// Bytes that were restored, before they were unpacked.
    pub bytes: u64,
}

impl Store {
    /// Reads the stored bytes once, without any key, and compares them with what was written.
    ///
    /// # Errors
    /// [`Error::Damaged`], and as [`Store::find`].
    pub fn check_stored(&self, id: SnapshotId, watch: &mut Watch<'_>) -> Result<(), Error> {
        Stored::open(self, id)?.check_stored(watch)
    }

    /// Opens the whole snapshot and checks it against its manifest or, row by row, with `pg_restore`.
    ///
    /// # Errors
    /// [`Error::Key`], [`Error::Damaged`], [`Error::NotVerified`], and as [`Store::find`].
    pub fn verify(
        &self,
        id: SnapshotId,
        private: &Secret<[u8; 32]>,
        programs: &Programs,
        watch: &mut Watch<'_>,
    ) -> Result<Verified, Error> {
        let stored = Stored::open(self, id)?;
        verify(&stored, private, programs, watch)
    }

    /// Brings a snapshot back. A dump is verified first, so that nothing of a damaged one gets into the database; a
    /// cluster has its name only when all of it is there and `pg_verifybackup` agrees.
    ///
    /// # Errors
    /// As [`Store::verify`]; [`Error::Refused`] if the target is not empty or not for this kind; [`Error::Storage`],
    /// [`Error::Program`].
    pub fn restore(
        &self,
        id: SnapshotId,
        private: &Secret<[u8; 32]>,
        programs: &Programs,
        target: &Target<'_>,
        watch: &mut Watch<'_>,
    ) -> Result<Restored, Error> {
        let stored = Stored::open(self, id)?;
        let names = stored.names(private)?;
        match (stored.header().kind, target) {
            (Kind::PgBaseBackup, Target::Directory(directory)) => {
                to_directory(&stored, private, programs, directory, watch)?;
            }
            (Kind::PgDump, Target::Database { upstream, database }) => {
                verify(&stored, private, programs, watch)?;
                to_database(&stored, private, programs, upstream, database, watch)?;
            }
            (Kind::PgBaseBackup, Target::Database { .. }) => {
                return Err(refused(id, "is of a whole cluster: restore it to a directory"));
            }
            (Kind::PgDump, Target::Directory(_)) => {
                return Err(refused(id, "is of one database: restore it into a database"));
            }
        }
        Ok(Restored { names, bytes: stored.foot().plain_bytes })
    }
}

fn refused(id: SnapshotId, why: &str) -> Error {
    Error::Refused(format!("snapshot {id} {why}"))
}

fn verify(
    stored: &Stored,
    private: &Secret<[u8; 32]>,
    programs: &Programs,
    watch: &mut Watch<'_>,
) -> Result<Verified, Error> {
    let names = stored.names(private)?;
    let mut watch = |progress| watch(progress);
    let mut opened = stored.opened(private, &mut watch)?;
    let checked = check_again(stored.header(), programs, &mut opened);
    let checked = opened.outcome(checked)?;
    let foot = stored.foot();
    if checked.content != foot.content || checked.parts != foot.parts {
        return Err(Error::damaged(stored.header().id(), "its content is not what its foot says"));
    }
    Ok(Verified { names, parts: checked.parts, bytes: foot.plain_bytes })
}

/// Unpacks a cluster beside its name, has it verified, and gives it its name.
fn to_directory(
    stored: &Stored,
    private: &Secret<[u8; 32]>,
    programs: &Programs,
    directory: &Path,
    watch: &mut Watch<'_>,
) -> Result<(), Error> {
    refuse_filled(directory)?;
    let partial = beside(directory);
    fs::create_dir(&partial).map_err(Error::storage("create", &partial))?;
    let result = unpack(stored, private, &partial, watch)
        .and_then(|()| verify_directory(programs, &partial))
        .and_then(|()| sync_all(&partial))
        .and_then(|()| fs::rename(&partial, directory).map_err(Error::storage("rename", &partial)))
        .and_then(|()| sync_all(directory));
    if result.is_err()
        && let Err(error) = fs::remove_dir_all(&partial)
    {
        tracing::warn!(dir = %partial.display(), %error, "a torn restore stays behind: remove it");
    }
    result
}

fn refuse_filled(directory: &Path) -> Result<(), Error> {
    let is_empty = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(Error::storage("list", directory)(error)),
        Ok(mut entries) => entries.next().is_none(),
    };
    let what = "is not empty; name a directory that is missing or empty to restore to";
    if is_empty { Ok(()) } else { Err(Error::Refused(format!("{} {what}", directory.display()))) }
}

fn beside(directory: &Path) -> PathBuf {
    let mut name = directory.file_name().unwrap_or_default().to_owned();
    name.push(".partial");
    directory.with_file_name(name)
}

fn unpack(stored: &Stored, private: &Secret<[u8; 32]>, into: &Path, watch: &mut Watch<'_>) -> Result<(), Error> {
    let mut watch = |progress| watch(progress);
    let mut opened = stored.opened(private, &mut watch)?;
    let unpacked = unpack_tar(&mut opened, into);
    opened.outcome(unpacked)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(into, mode).map_err(Error::storage("set the mode of", into))
}

fn unpack_tar(tar: &mut dyn Read, into: &Path) -> Result<(), Error> {
    let mut archive = tar::Archive::new(tar);
    archive.set_preserve_permissions(true);
    for entry in archive.entries().map_err(Error::storage("unpack into", into))? {
        let mut entry = entry.map_err(Error::storage("unpack into", into))?;
        let path = into.join(entry.path().map_err(Error::storage("unpack into", into))?);
        if !entry.unpack_in(into).map_err(Error::storage("write", &path))? {
            return Err(Error::NotVerified(format!("{} lies outside of it", path.display())));
        }
    }
    Ok(())
}

fn verify_directory(programs: &Programs, directory: &Path) -> Result<(), Error> {
    let mut command = programs.command("pg_verifybackup");
    command.arg("--quiet").arg(directory);
    Running::start(command, None)?.wait()
}

/// syncfs(2): everything that was unpacked survives power loss.
fn sync_all(directory: &Path) -> Result<(), Error> {
    let opened = File::open(directory).map_err(Error::storage("open", directory))?;
    rustix::fs::syncfs(opened).map_err(|error| Error::storage("sync", directory)(error.into()))
}

fn to_database(
    stored: &Stored,
    private: &Secret<[u8; 32]>,
    programs: &Programs,
    upstream: &Upstream,
    database: &str,
    watch: &mut Watch<'_>,
) -> Result<(), Error> {
    let mut command = programs.command("pg_restore");
    command.args(["--exit-on-error", "--single-transaction", "--no-password"]).stdin(Stdio::piped());
    let directory = upstream.connect(&mut command, Some(database))?;
    let mut child = Running::start(command, Some(directory))?;
    let mut stdin = child.take_stdin();
    let mut watch = |progress| watch(progress);
    let mut opened = stored.opened(private, &mut watch)?;
    let fed = stdin.as_mut().map_or(Ok(()), |stdin| feed(&mut opened, stdin));
    ended(child, stdin, opened.outcome(fed))
}

/// What became of it. A program may have enough before the end, or give up: whether it was content, its exit status
/// says. What could not be read is the cause of all else; then it is ended before it sees an end of the stream.
fn ended(mut child: Running, stdin: Option<ChildStdin>, fed: Result<(), Error>) -> Result<(), Error> {
    let Err(cause) = fed else {
        drop(stdin);
        return child.wait();
    };
    child.kill();
    drop(stdin);
    if let Err(said) = child.wait() {
        tracing::debug!(%said, "the program that restored was ended");
    }
    Err(cause)
}

fn feed(from: &mut dyn Read, to: &mut impl Write) -> Result<(), Error> {
    let mut buffer = vec![0; COPY_BYTES];
    loop {
        let read = from.read(&mut buffer).map_err(|error| Error::NotVerified(error.to_string()))?;
        if read == 0 || to.write_all(buffer.get(..read).unwrap_or_default()).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
#[path = "restore_tests.rs"]
mod tests;
