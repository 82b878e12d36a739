//! Registers for tests, one for each engine, and what can be done to one behind its back.
//! Not here: what must hold of them (`conformance_tests.rs`).

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::{At, Error, Follower, Register, prepare};
use crate::cli::demo::cluster::{self, Cluster};
use crate::clock::{Clock, SystemClock};
use crate::config::RegisterServer;
use crate::grant::world::{World, trust};
use crate::grant::{Event, Proposal, Stored};
use crate::secret::Secret;

/// The event as something to append.
pub(super) fn proposal(stored: Stored) -> Proposal {
    let id = Event::decode(&stored.content).expect("it is an event").id;
    Proposal { id, stored }
}

/// Waits for that to be so; what it takes in the end is the caller's to judge.
pub(super) fn wait_for(what: impl Fn() -> bool) {
    let since = Instant::now();
    while !what() {
        assert!(since.elapsed() < Duration::from_secs(20), "it never happened");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A register with nothing in it yet.
pub(super) struct Kept {
    pub(super) at: At,
    behind: Behind,
    directory: TempDir,
}

/// What it is kept in.
enum Behind {
    File(PathBuf),
    Server(Arc<Shelf>, RegisterServer),
}

/// A server, with a register in each of its databases.
pub(super) struct Shelf {
    runtime: tokio::runtime::Runtime,
    cluster: Mutex<Cluster>,
    /// Of the password's file.
    directory: TempDir,
}

/// The role of Portreeve there.
const ROLE: &str = "portreeve_register";

impl Shelf {
    pub(super) fn start() -> Arc<Shelf> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        // Beside the binaries of tests, where other tests keep one, too.
        let this = std::env::current_exe().expect("this binary");
        let cache = this.ancestors().find(|path| path.ends_with("target")).map(|target| target.join("tmp"));
        let cluster = runtime.block_on(Cluster::start(cluster::Settings { cache, ..cluster::Settings::default() }));
        let (cluster, directory) = (cluster.expect("a cluster"), tempfile::tempdir().expect("a directory"));
        let sql = format!("create role {ROLE} login password '{}'", verifier("secret"));
        runtime.block_on(cluster.run_sql("postgres", &sql)).expect("a role");
        let shelf = Shelf { runtime, cluster: Mutex::new(cluster), directory };
        shelf.write_password("secret");
        Arc::new(shelf)
    }

    pub(super) fn cluster(&self) -> MutexGuard<'_, Cluster> {
        self.cluster.lock().expect("no panic while it was held")
    }

    pub(super) fn write_password(&self, password: &str) {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.password_file();
        std::fs::write(&path, password).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("closed");
    }

    fn password_file(&self) -> PathBuf {
        self.directory.path().join("register.password")
    }

    /// As a superuser.
    pub(super) fn sql(&self, database: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, cluster::Error> {
        let cluster = self.cluster();
        self.runtime.block_on(cluster.run_sql(database, sql))
    }

    /// As the machine would. What was written until now is in its place, so that the next start need not replay all of it.
    pub(super) fn crash(&self) {
        self.sql("postgres", "checkpoint").expect("written");
        self.cluster().stop();
    }

    pub(super) fn start_again(&self) {
        let mut cluster = self.cluster();
        self.runtime.block_on(cluster.start_again()).expect("it is back");
    }

    /// A new database, with nothing in it.
    pub(super) fn database(&self) -> RegisterServer {
        let named: [u8; 6] = crate::entropy::random(&crate::entropy::OsEntropy);
        let database = named.iter().fold("r".to_owned(), |name, byte| format!("{name}{byte:02x}"));
        self.sql("postgres", &format!("create database {database}")).expect("made");
        let (port, ca) = {
            let cluster = self.cluster();
            (cluster.port(), cluster.certificates().cluster_ca.clone())
        };
        let (host, role) = ("localhost".to_owned(), ROLE.to_owned());
        RegisterServer { host, port, database, role, password_file: self.password_file(), ca, certificate: None }
    }

    pub(super) fn prepare(&self, server: &RegisterServer) -> Result<(), Error> {
        let dsn = Secret::new(self.cluster().superuser_dsn("postgres"));
        self.runtime.block_on(prepare(&dsn, server))
    }
}

/// A password as a server keeps it.
pub(super) fn verifier(password: &str) -> String {
    postgres_protocol::password::scram_sha_256(password.as_bytes())
}

impl Kept {
    /// On a server, in a database of its own.
    pub(super) fn on(shelf: &Arc<Shelf>) -> Kept {
        let server = shelf.database();
        shelf.prepare(&server).expect("prepared");
        let (at, behind) = (At::Server(server.clone()), Behind::Server(Arc::clone(shelf), server));
        Kept { at, behind, directory: tempfile::tempdir().expect("a directory") }
    }

    /// In a file.
    pub(super) fn file() -> Kept {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("register/register.sqlite");
        Kept { at: At::File(path.clone()), behind: Behind::File(path), directory }
    }

    pub(super) fn open(&self) -> Register {
        self.try_open().expect("it opens")
    }

    pub(super) fn try_open(&self) -> Result<Register, Error> {
        Register::open(self.at.clone(), trust())
    }

    /// Appends what that world was folded from.
    pub(super) fn holding(&self, world: &World) -> Register {
        let register = self.open();
        for event in &world.events {
            register.append(&proposal(event.clone())).expect("it applies");
        }
        register
    }

    /// What a role saw last.
    pub(super) fn seen(&self) -> PathBuf {
        self.directory.path().join("role/seen")
    }

    pub(super) fn follow(&self) -> Result<Follower, Error> {
        self.follow_by(Arc::new(SystemClock))
    }

    pub(super) fn follow_by(&self, clock: Arc<dyn Clock>) -> Result<Follower, Error> {
        Follower::start(self.at.clone(), trust(), &self.seen(), clock)
    }

    /// Bytes as its SQL says them.
    pub(super) fn bytes(&self, bytes: &[u8]) -> String {
        let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        match &self.behind {
            Behind::File(_) => format!("x'{digits}'"),
            Behind::Server(..) => format!("'\\x{digits}'"),
        }
    }

    /// Writes an event there as whoever may write there can, past every check of ours.
    pub(super) fn forge(&self, event: &Stored) {
        let (id, content, hash) = (self.bytes(&[9; 16]), self.bytes(&event.content), self.bytes(&event.hash));
        self.alter(&format!("INSERT INTO event VALUES ({}, {id}, {content}, {hash}, NULL)", event.sequence.0));
    }

    /// Does to it what only whoever owns the machine can: nothing there is in the way.
    pub(super) fn alter(&self, sql: &str) {
        match &self.behind {
            Behind::File(path) => tamper(path, sql),
            Behind::Server(shelf, server) => {
                let off = "alter table portreeve_register.event disable trigger all";
                let on = "alter table portreeve_register.event enable trigger all;
                    alter table portreeve_register.event enable always trigger event_stays,
                        enable always trigger event_stays_whole, enable always trigger event_under_way,
                        enable always trigger event_told, enable always trigger event_is_not_abandoned";
                for sql in [off, &format!("set search_path = portreeve_register; {sql}"), on] {
                    shelf.sql(&server.database, sql).expect("it is done");
                }
            }
        }
    }

    /// Tries that as the roles of Portreeve could; the refusal.
    pub(super) fn refusal(&self, sql: &str) -> String {
        match &self.behind {
            Behind::File(path) => {
                let connection = rusqlite::Connection::open(path).expect("it opens");
                connection.execute(sql, []).expect_err("it is refused").to_string()
            }
            Behind::Server(shelf, server) => {
                let sql = format!("set role {ROLE}; set search_path = portreeve_register; {sql}");
                shelf.sql(&server.database, &sql).expect_err("it is refused").to_string()
            }
        }
    }

    /// A newer Portreeve has made its tables anew.
    pub(super) fn upgrade(&self) {
        match &self.behind {
            Behind::File(_) => self.alter("PRAGMA user_version = 2"),
            Behind::Server(..) => self.alter("update register set version = 2"),
        }
    }

    /// It cannot be reached any more.
    pub(super) fn go_away(&self) {
        match &self.behind {
            Behind::File(path) => std::fs::rename(path, path.with_extension("aside")).expect("it is moved"),
            Behind::Server(shelf, _) => shelf.crash(),
        }
    }

    /// It can be reached again.
    pub(super) fn come_back(&self) {
        match &self.behind {
            Behind::File(path) => std::fs::rename(path.with_extension("aside"), path).expect("it is back"),
            Behind::Server(shelf, _) => shelf.start_again(),
        }
    }

    /// Where it is, for another process; see [`at_of`].
    pub(super) fn name(&self) -> String {
        match &self.at {
            At::File(path) => path.display().to_string(),
            At::Server(server) => {
                let RegisterServer { port, database, password_file, ca, .. } = server;
                format!("{port}|{database}|{}|{}", password_file.display(), ca.display())
            }
        }
    }
}

/// The place that [`Kept::name`] named.
pub(super) fn at_of(name: &str) -> At {
    let parts: Vec<&str> = name.split('|').collect();
    let [port, database, password_file, ca] = parts.as_slice() else { return At::from(Path::new(name)) };
    At::Server(RegisterServer {
        host: "localhost".to_owned(),
        port: port.parse().expect("a port"),
        database: (*database).to_owned(),
        role: ROLE.to_owned(),
        password_file: password_file.into(),
        ca: ca.into(),
        certificate: None,
    })
}

/// Writes to the file behind the register's back.
pub(super) fn tamper(path: &Path, sql: &str) {
    let connection = rusqlite::Connection::open(path).expect("it opens");
    connection
        .execute_batch("DROP TRIGGER IF EXISTS event_update; DROP TRIGGER IF EXISTS event_delete;")
        .and_then(|()| connection.execute_batch(sql))
        .expect("it is done");
}
