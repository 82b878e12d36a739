//! Taking in what was there before us: a dump or a base backup that somebody else's tool made.
//! Not here: the original, which stays where it is until its owner removes it (its age counts all the same).
//! Its start is what the operator states, held against what stands in the file.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use chrono::NaiveDateTime;

use super::Watch;
use super::back_end::{BackEnd, Depth};
use super::base_backup::{MANIFEST, PgBaseBackup};
use super::child::Programs;
use super::dump::{self, PgDump};
use super::error::Error;
use super::header::{Kind, Origin};
use super::lease::Lease;
use super::manifest;
use super::pipeline::{Passage, Source};
use super::store::Store;
use super::take::{Draft, Order, Taken};
use crate::clock::{Clock, Timestamp};
use crate::entropy::Entropy;

/// The local time in a file is of an unknown zone: east of UTC at most so much.
const ZONE_EAST_MAX: Duration = Duration::from_secs(14 * 3600);
/// And west of it.
const ZONE_WEST_MAX: Duration = Duration::from_secs(12 * 3600);
/// An operator may say "about nine".
const STATED_WITHIN: Duration = Duration::from_secs(3600);

/// What a file says of itself.
struct Told {
    kind: Kind,
    database: String,
    server_version: String,
    system_identifier: Option<u64>,
    /// Its local time, as if it were UTC, and whether it is.
    local: Timestamp,
    is_utc: bool,
}

impl Store {
    /// Takes in the dump (custom format) or base backup (a directory with its manifest) at `path`, which began when
    /// `order` says.
    ///
    /// # Errors
    /// [`Error::Refused`] if it is neither, or says another start; [`Error::NotVerified`]; as [`Store::take`].
    #[expect(clippy::too_many_arguments, reason = "each is another seam: who leads, what, time, chance")]
    pub fn adopt(
        &self,
        lease: &Lease,
        programs: &Programs,
        path: &Path,
        order: &Order,
        clock: &dyn Clock,
        entropy: &dyn Entropy,
        watch: &mut Watch<'_>,
    ) -> Result<Taken, Error> {
        let about = fs::metadata(path).map_err(Error::storage("look at", path))?;
        let (told, back_end): (Told, Box<dyn BackEnd>) = if about.is_dir() {
            let checksums = algorithm_of(path)?;
            (of_directory(path)?, Box::new(PgBaseBackup { checksums }))
        } else {
            let told = of_dump(path, programs)?;
            let database = told.database.clone();
            (told, Box::new(PgDump { database, compression: 0 }))
        };
        told.agrees(path, order.started, clock.now())?;
        let drafted = Draft {
            id: order.id,
            kind: told.kind,
            origin: Origin::Adopted,
            database: &told.database,
            customers: &order.customers,
            slot: order.slot,
            started: order.started,
            source_started: told.is_utc.then_some(told.local),
            server_version: told.server_version.clone(),
            system_identifier: told.system_identifier,
            checksums: back_end.checksums(),
            recipient: order.recipient,
        };
        let (header, key) = drafted.seal(self, lease, entropy)?;
        let mut source: Box<dyn Source> = if about.is_dir() {
            Box::new(Directory { path: path.to_owned(), packing: None })
        } else {
            Box::new(PlainFile(path.to_owned()))
        };
        let estimate = (!about.is_dir()).then_some(about.len());
        let (header_of, bytes_per_second_max) = (header.clone(), order.bytes_per_second_max);
        let passage = Passage { store: self, lease, clock, header: header_of, key, estimate, bytes_per_second_max };
        let foot = passage.run(source.as_mut(), |stream| back_end.check(programs, stream), watch)?;
        Ok(Taken { header, foot })
    }
}

impl Told {
    /// Whether the stated start can be the file's.
    fn agrees(&self, path: &Path, started: Timestamp, now: Timestamp) -> Result<(), Error> {
        let minus = |span: Duration| Timestamp(self.local.0 - i64::try_from(span.as_micros()).unwrap_or(i64::MAX));
        let (earliest, latest) = if self.is_utc {
            (minus(STATED_WITHIN), self.local.plus(STATED_WITHIN))
        } else {
            (minus(ZONE_EAST_MAX + STATED_WITHIN), self.local.plus(ZONE_WEST_MAX + STATED_WITHIN))
        };
        if started > now {
            return Err(Error::Refused(format!("a snapshot cannot have been begun at {started}: it is {now}")));
        }
        if (earliest..=latest).contains(&started) {
            return Ok(());
        }
        let zone = if self.is_utc { "UTC" } else { "in an unknown time zone" };
        Err(Error::Refused(format!(
            "{} says that it was begun at {} {zone}; {started} was stated: state the start that is true",
            path.display(),
            self.local,
        )))
    }
}

fn algorithm_of(directory: &Path) -> Result<super::Algorithm, Error> {
    let path = directory.join(MANIFEST);
    let file = File::open(&path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => Error::Refused(format!(
            "{} has no {MANIFEST}: only a base backup in plain format with its manifest can be adopted",
            directory.display()
        )),
        _ => Error::storage("open", &path)(error),
    })?;
    manifest::algorithm(file).ok_or_else(|| {
        Error::Refused(format!("{} has no SHA256 or CRC32C checksums: it cannot be verified", path.display()))
    })
}

fn of_directory(directory: &Path) -> Result<Told, Error> {
    let read = |name: &str| {
        let path = directory.join(name);
        fs::read(&path).map_err(Error::storage("read", &path))
    };
    let label = String::from_utf8_lossy(&read("backup_label")?).into_owned();
    let refused = |what: &str| Error::Refused(format!("{}: {what}", directory.display()));
    let start = label.lines().find_map(|line| line.strip_prefix("START TIME: "));
    let start = start.ok_or_else(|| refused("its backup_label has no START TIME"))?;
    let (local, zone) = start.rsplit_once(' ').ok_or_else(|| refused("its START TIME has no time zone"))?;
    let control = read("global/pg_control")?;
    let system_identifier = control.first_chunk::<8>().map(|bytes| u64::from_le_bytes(*bytes));
    Ok(Told {
        kind: Kind::PgBaseBackup,
        database: String::new(),
        server_version: String::from_utf8_lossy(&read("PG_VERSION")?).trim().to_owned(),
        system_identifier,
        local: time(local).ok_or_else(|| refused("its START TIME cannot be read"))?,
        is_utc: matches!(zone, "UTC" | "GMT"),
    })
}

fn of_dump(path: &Path, programs: &Programs) -> Result<Told, Error> {
    let mut file = File::open(path).map_err(Error::storage("open", path))?;
    let (_, notes) = dump::look(programs, Depth::Contents, &mut file)?;
    let note = |name: &str| {
        let found = notes.lines().find_map(|line| line.trim_start_matches([';', ' ']).strip_prefix(name));
        found
            .map(str::trim)
            .ok_or_else(|| Error::Refused(format!("{}: pg_restore does not find \"{name}\" in it", path.display())))
    };
    let made = note("Archive created at")?;
    // pg_restore runs with UTC and adds its name; what stands in the file is the local time of whoever dumped.
    let local = time(made.rsplit_once(' ').map_or(made, |(local, _)| local));
    Ok(Told {
        kind: Kind::PgDump,
        database: note("dbname:")?.to_owned(),
        server_version: note("Dumped from database version:")?.split_whitespace().next().unwrap_or("").to_owned(),
        system_identifier: None,
        local: local.ok_or_else(|| Error::Refused(format!("{}: \"{made}\" is not a time", path.display())))?,
        is_utc: false,
    })
}

fn time(text: &str) -> Option<Timestamp> {
    let parsed = NaiveDateTime::parse_from_str(text.trim(), "%Y-%m-%d %H:%M:%S").ok()?;
    Some(Timestamp(parsed.and_utc().timestamp_micros()))
}

/// A dump that is there.
struct PlainFile(PathBuf);

impl Source for PlainFile {
    fn stream(&mut self) -> Result<Box<dyn Read + Send>, Error> {
        Ok(Box::new(File::open(&self.0).map_err(Error::storage("open", &self.0))?))
    }

    fn stop(&mut self) {}

    fn end(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// A directory that is packed as `pg_basebackup` would: the manifest last. Dropped, its reader stops the packing.
struct Directory {
    path: PathBuf,
    packing: Option<JoinHandle<io::Result<()>>>,
}

impl Source for Directory {
    fn stream(&mut self) -> Result<Box<dyn Read + Send>, Error> {
        let (reader, writer) = io::pipe().map_err(Error::storage("make a pipe for", &self.path))?;
        let path = self.path.clone();
        self.packing = Some(std::thread::spawn(move || pack(&path, writer)));
        Ok(Box::new(reader))
    }

    fn stop(&mut self) {}

    fn end(&mut self) -> Result<(), Error> {
        let packed = self.packing.take().map_or(Ok(Ok(())), JoinHandle::join);
        packed.map_err(|_| Error::Panicked("packing"))?.map_err(Error::storage("pack", &self.path))
    }
}

fn pack(directory: &Path, to: impl io::Write) -> io::Result<()> {
    let mut builder = tar::Builder::new(io::BufWriter::with_capacity(256 << 10, to));
    pack_directory(directory, Path::new(""), &mut builder)?;
    let path = directory.join(MANIFEST);
    builder.append_path_with_name(&path, MANIFEST)?;
    io::Write::flush(&mut builder.into_inner()?)
}

/// Files and directories below, in the order of their names; a link would lead out of the backup.
fn pack_directory<W: io::Write>(root: &Path, below: &Path, builder: &mut tar::Builder<W>) -> io::Result<()> {
    let mut entries = fs::read_dir(root.join(below))?.collect::<io::Result<Vec<_>>>()?;
    entries.sort_by_key(fs::DirEntry::file_name);
    for entry in entries {
        let name = below.join(entry.file_name());
        let kind = entry.file_type()?;
        if kind.is_dir() {
            builder.append_dir(&name, entry.path())?;
            pack_directory(root, &name, builder)?;
        } else if kind.is_file() {
            if name != Path::new(MANIFEST) {
                builder.append_path_with_name(entry.path(), &name)?;
            }
        } else {
            let said = format!("{} is a link or no file: tablespaces cannot be adopted", entry.path().display());
            return Err(io::Error::other(said));
        }
    }
    Ok(())
}
