//! `pg_dump`, custom format: one database.
//! Not here: roles and tablespaces, which no dump of a database has.
//! PostgreSQL's documentation, pg_dump and pg_restore.

use std::io::{ErrorKind, Read, Write};
use std::process::Stdio;

use aws_lc_rs::digest;

use super::about::About;
use super::back_end::{BackEnd, Checked, Depth};
use super::child::{Programs, Running, Upstream};
use super::error::Error;
use super::header::{Algorithm, Kind};

/// Lines of a table of contents that are kept: they stand before the entries.
const NOTES_BYTES_MAX: usize = 16 << 10;
const READ_BYTES: usize = 64 << 10;

/// One database by `pg_dump`.
#[derive(Clone, Debug)]
pub struct PgDump {
    /// Which.
    pub database: String,
    /// Compression, 0 to 9; 1 costs little and brings most.
    pub compression: u8,
}

impl BackEnd for PgDump {
    fn kind(&self) -> Kind {
        Kind::PgDump
    }

    fn database(&self) -> Option<&str> {
        Some(&self.database)
    }

    fn checksums(&self) -> Option<Algorithm> {
        None
    }

    fn estimate(&self, about: &About) -> Option<u64> {
        about.database_bytes
    }

    fn start(&self, programs: &Programs, upstream: &Upstream, _label: &str) -> Result<Running, Error> {
        let mut command = programs.command("pg_dump");
        command
            .args(["--format=custom", "--no-password", "--lock-wait-timeout=60s"])
            .arg(format!("--compress={}", self.compression.min(9)));
        let private = upstream.connect(&mut command, Some(&self.database))?;
        command.stdout(Stdio::piped());
        Running::start(command, Some(private))
    }

    fn check(&self, programs: &Programs, stream: &mut dyn Read) -> Result<Checked, Error> {
        check(programs, Depth::Contents, stream)
    }
}

/// Digest and entries of a dump, as `pg_restore` reads it.
pub(super) fn check(programs: &Programs, depth: Depth, stream: &mut dyn Read) -> Result<Checked, Error> {
    look(programs, depth, stream).map(|(checked, _)| checked)
}

/// The same, with what stands before the entries: when it was made, of which database, by which version.
pub(super) fn look(programs: &Programs, depth: Depth, stream: &mut dyn Read) -> Result<(Checked, String), Error> {
    let mut list = Listing::start(programs)?;
    let mut whole = match depth {
        Depth::Contents => None,
        Depth::Whole => Some(Rows::start(programs)?),
    };
    let mut hash = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let read = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => buffer.get(..read).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(Error::NotVerified(error.to_string())),
        };
        hash.update(read);
        list.0.feed(read);
        if let Some(rows) = &mut whole {
            rows.0.feed(read);
        }
    }
    let (parts, notes) = list.end()?;
    whole.map_or(Ok(()), Rows::end)?;
    let content = hash.finish().as_ref().try_into().expect("SHA-256 has 32 bytes");
    Ok((Checked { parts, content }, notes))
}

/// A `pg_restore` that is fed until it has read enough.
struct Fed {
    running: Running,
    stdin: Option<std::process::ChildStdin>,
}

impl Fed {
    fn feed(&mut self, bytes: &[u8]) {
        // It closes its end as soon as it knows enough; whether it was content, its exit status says.
        if self.stdin.as_mut().is_some_and(|stdin| stdin.write_all(bytes).is_err()) {
            self.stdin = None;
        }
    }

    fn end(mut self) -> Result<(), Error> {
        drop(self.stdin.take());
        self.running.wait().map_err(|error| Error::NotVerified(error.to_string()))
    }
}

/// `pg_restore --list`.
struct Listing(Fed, std::thread::JoinHandle<(u64, String)>);

impl Listing {
    fn start(programs: &Programs) -> Result<Listing, Error> {
        let mut command = programs.command("pg_restore");
        command.arg("--list").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut running = Running::start(command, None)?;
        let stdin = running.take_stdin();
        let stdout = running.take_stdout();
        let entries = std::thread::spawn(move || stdout.map(count_entries).unwrap_or_default());
        Ok(Listing(Fed { running, stdin }, entries))
    }

    fn end(self) -> Result<(u64, String), Error> {
        self.0.end()?;
        self.1.join().map_err(|_| Error::Panicked("listing"))
    }
}

/// `pg_restore` of every row into nothing.
struct Rows(Fed);

impl Rows {
    fn start(programs: &Programs) -> Result<Rows, Error> {
        let mut command = programs.command("pg_restore");
        command.args(["--file=/dev/null", "--exit-on-error"]).stdin(Stdio::piped());
        let mut running = Running::start(command, None)?;
        let stdin = running.take_stdin();
        Ok(Rows(Fed { running, stdin }))
    }

    fn end(self) -> Result<(), Error> {
        self.0.end()
    }
}

/// Entries of a table of contents, and the notes before them. A list that cannot be read ends early; then its writer
/// fails too.
fn count_entries(list: impl Read) -> (u64, String) {
    let mut list = std::io::BufReader::new(list);
    let (mut entries, mut notes, mut line) = (0, String::new(), Vec::new());
    loop {
        line.clear();
        match std::io::BufRead::read_until(&mut list, b'\n', &mut line) {
            Ok(0) | Err(_) => return (entries, notes),
            Ok(_) if !line.starts_with(b";") => entries += u64::from(line.first().is_some_and(u8::is_ascii_digit)),
            Ok(_) if entries == 0 && notes.len() + line.len() <= NOTES_BYTES_MAX => {
                notes.push_str(&String::from_utf8_lossy(&line));
            }
            Ok(_) => {}
        }
    }
}
