//! PostgreSQL's own programs as children: found, given a password file and a TLS that verifies, watched, and ended
//! with us.
//! Not here: what their output means. Killed by -9 ourselves, their pipe breaks: each of them reads or writes one.
//! libpq's connection strings: PostgreSQL's documentation, "Database Connection Control Functions".

use std::fmt::Write as _;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::JoinHandle;

use rustix::pipe::fcntl_setpipe_size;
use rustix::process::{Pid, Signal, kill_process_group};

use super::error::Error;
use super::pipeline::Source;
use super::private::PrivateDirectory;
use crate::secret::Secret;

/// How much a child may be ahead of us: what everybody may ask for, see pipe(7), "/proc files".
const PIPE_BYTES: usize = 1 << 20;
/// How much of a child's last words is kept.
const SAID_BYTES_MAX: usize = 4096;

/// Where `pg_dump`, `pg_restore`, `pg_basebackup` and `pg_verifybackup` are.
#[derive(Clone, Debug)]
pub struct Programs {
    bin: PathBuf,
}

impl Programs {
    /// In that directory.
    pub fn in_directory(bin: &Path) -> Programs {
        Programs { bin: bin.to_owned() }
    }

    /// In the newest of `/usr/lib/postgresql/*/bin`.
    ///
    /// # Errors
    /// [`Error::Refused`] if there is none.
    pub fn usual() -> Result<Programs, Error> {
        let usual = Path::new("/usr/lib/postgresql");
        let entries = std::fs::read_dir(usual).into_iter().flatten().flatten();
        let newest = entries
            .filter_map(|entry| Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin"))))
            .filter(|(_, bin)| bin.join("pg_dump").exists())
            .max();
        let none = || {
            let install = "install postgresql-client, or set the directory of pg_dump";
            Error::Refused(format!("there is no pg_dump in {}/*/bin; {install}", usual.display()))
        };
        newest.map(|(_, bin)| Programs { bin }).ok_or_else(none)
    }

    pub(super) fn path(&self, program: &str) -> PathBuf {
        self.bin.join(program)
    }

    /// A program with nothing of our environment but what it needs.
    pub(super) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.path(program));
        command
            .env_clear()
            .env("PATH", &self.bin)
            .env("LC_ALL", "C.UTF-8")
            .env("TZ", "UTC")
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        command
    }
}

/// A database server, and as whom we sign in there.
#[derive(Debug)]
pub struct Upstream {
    /// Host name or address; the certificate must be for it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// The role: of `pg_basebackup` with REPLICATION; of `pg_dump` one that reads everything.
    pub user: String,
    /// Its password.
    pub password: Secret<String>,
    /// The CA, PEM.
    pub ca: PathBuf,
    /// A client certificate and its key, PEM, where the server asks for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// The database that questions about the whole cluster go to, such as `postgres`.
    pub database: String,
    /// Where password files may lie for as long as a child runs: a directory for this service alone, in memory.
    pub private: PathBuf,
}

impl Upstream {
    /// Host and port, for messages.
    pub fn place(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// A connection string without a secret: TLS verified, the password in that file.
    pub(super) fn conninfo(&self, database: Option<&str>, passfile: &Path) -> String {
        let path = |path: &Path| path.display().to_string();
        let mut words = vec![
            ("host", self.host.clone()),
            ("port", self.port.to_string()),
            ("user", self.user.clone()),
            ("passfile", path(passfile)),
            ("sslmode", "verify-full".to_owned()),
            ("sslrootcert", path(&self.ca)),
            ("gssencmode", "disable".to_owned()),
            ("channel_binding", "require".to_owned()),
            ("connect_timeout", "20".to_owned()),
        ];
        words.extend(database.map(|database| ("dbname", database.to_owned())));
        if let Some((certificate, key)) = &self.certificate {
            words.extend([("sslcert", path(certificate)), ("sslkey", path(key))]);
        }
        words.into_iter().fold(String::new(), |mut text, (name, value)| {
            let value = value.replace('\\', "\\\\").replace('\'', "\\'");
            // Writing into a String does not fail.
            let _ = write!(text, "{name}='{value}' ");
            text
        })
    }

    /// Gives `command` a connection: the last argument, and a home without anybody's files.
    pub(super) fn connect(&self, command: &mut Command, database: Option<&str>) -> Result<PrivateDirectory, Error> {
        let private = PrivateDirectory::create(&self.private)?;
        let passfile = private.keep(&self.password)?;
        command.env("HOME", private.path());
        command.arg(format!("--dbname={}", self.conninfo(database, &passfile)));
        Ok(private)
    }
}

/// A child; killed with all its own when dropped.
pub struct Running {
    program: String,
    child: Child,
    said: Option<JoinHandle<String>>,
    status: Option<ExitStatus>,
    _private: Option<PrivateDirectory>,
}

impl Running {
    /// Starts it. The private directory goes when it goes.
    pub(super) fn start(mut command: Command, private: Option<PrivateDirectory>) -> Result<Running, Error> {
        let program = PathBuf::from(command.get_program());
        let mut child = command.spawn().map_err(|source| Error::NoProgram { program: program.clone(), source })?;
        let said = child.stderr.take().map(|stderr| std::thread::spawn(move || last_words(stderr)));
        let program = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Running { program, child, said, status: None, _private: private })
    }

    pub(super) fn take_stdout(&mut self) -> Option<ChildStdout> {
        self.child.stdout.take()
    }

    pub(super) fn take_stdin(&mut self) -> Option<ChildStdin> {
        self.child.stdin.take()
    }

    /// Waits for its end, which must be a good one.
    pub(super) fn wait(&mut self) -> Result<(), Error> {
        let status = match self.status {
            Some(status) => status,
            None => self.child.wait().map_err(|error| self.failed("unknown", &error.to_string()))?,
        };
        self.status = Some(status);
        let said = self.said.take().map(JoinHandle::join).and_then(Result::ok).unwrap_or_default();
        if status.success() { Ok(()) } else { Err(self.failed(&status.to_string(), &said)) }
    }

    fn failed(&self, status: &str, said: &str) -> Error {
        let said = if said.trim().is_empty() { "it said nothing" } else { said.trim() };
        Error::Program { program: self.program.clone(), status: status.to_owned(), said: said.replace('\n', "; ") }
    }

    /// Kills it and all it started. Until it was waited for, nobody else has its number.
    pub(super) fn kill(&mut self) {
        if self.status.is_some() {
            return;
        }
        let group = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(Err(error)) = group.map(|group| kill_process_group(group, Signal::KILL)) {
            tracing::debug!(program = self.program, %error, "a child was gone before it was killed");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        if self.status.is_none()
            && let Err(error) = self.child.wait()
        {
            tracing::warn!(program = self.program, %error, "a child cannot be waited for");
        }
    }
}

impl Source for Running {
    fn stream(&mut self) -> Result<Box<dyn Read + Send>, Error> {
        let stdout = self.take_stdout().ok_or_else(|| self.failed("running", "its output is taken"))?;
        if let Err(error) = fcntl_setpipe_size(&stdout, PIPE_BYTES) {
            tracing::debug!(program = self.program, %error, "its pipe stays small");
        }
        Ok(Box::new(stdout))
    }

    fn stop(&mut self) {
        self.kill();
    }

    fn end(&mut self) -> Result<(), Error> {
        self.wait()
    }
}

/// The end of what it said; reading goes on to the end, so that it never waits for us.
fn last_words(mut stderr: impl Read) -> String {
    let mut kept = Vec::new();
    let mut buffer = [0; 1024];
    loop {
        match stderr.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => kept.extend_from_slice(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
        if kept.len() > 2 * SAID_BYTES_MAX {
            kept.drain(..kept.len() - SAID_BYTES_MAX);
        }
    }
    let from = kept.len().saturating_sub(SAID_BYTES_MAX);
    String::from_utf8_lossy(kept.get(from..).unwrap_or_default()).into_owned()
}
