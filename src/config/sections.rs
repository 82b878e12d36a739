//! The sections of a checked configuration, as the roles use them: paths resolved, quantities with their types.
//! Not here: defaults (`raw.rs`) and how a file becomes these (`source.rs`).

mod staff;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use self::staff::{Oidc, Staff};
use super::error::Error;
use super::raw::{Checksums, Format, Scrub, SnapshotKind};
use super::user::User;
use super::{Config, secrets};
use crate::grant::{Observing, Scope};
use crate::retention::by_age::ByAge;
use crate::retention::plan::{Caps, OnCeiling, Rules};
use crate::retention::solve::{Backend, Unkeepable};
use crate::retention::window::Window;

/// `[proxy]`: the gate itself.
#[derive(Clone, Debug)]
pub struct Proxy {
    /// Its name among proxies; its log is called `proxy-<id>`.
    pub id: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Its certificate chain (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM, secret).
    pub key: PathBuf,
    /// Its control socket (Unix).
    pub socket: PathBuf,
    /// Every statement is durable before it is forwarded, readers' too.
    pub strict: bool,
    /// How many threads serve sessions. More hand work to each other, which costs more than it gains while one keeps up.
    pub threads: usize,
    /// The largest frame of a client that is decoded, in bytes.
    pub frame_bytes_max: usize,
    /// How long a session may say nothing.
    pub idle_after: Duration,
    /// Its own folder: locks, and the register's last sequence and hash it saw.
    pub state: PathBuf,
    /// The key that signs its log (secret).
    pub log_key: PathBuf,
}

/// `[clusters.<name>]`: one PostgreSQL server.
#[derive(Clone, Debug)]
pub struct Cluster {
    /// Its host name or address, which its certificate must carry.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The authority that signed its certificate (PEM).
    pub ca: PathBuf,
    /// The proxy's client certificate chain (PEM).
    pub certificate: PathBuf,
    /// That certificate's private key (PEM, secret).
    pub key: PathBuf,
    /// The role that opens and closes login roles.
    pub provisioner: String,
    /// That role's password (one line, secret).
    pub password_file: PathBuf,
    /// How retention signs in to purge; without it no closed account of this cluster is led further.
    pub maintenance: Option<Maintenance>,
    /// Login roles that somebody else manages, if the proxy makes none.
    pub external: Option<External>,
    /// Its replicas that sessions may read from, by name.
    pub replicas: BTreeMap<String, Replica>,
}

/// `[clusters.<name>.replicas.<name>]`: a replica of that server; whatever else it takes to reach it is the cluster's.
#[derive(Clone, Debug)]
pub struct Replica {
    /// Its host name or address, which its certificate must carry.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// How long a session waits for what the primary has written to be there.
    pub replay_within: Duration,
}

/// `fence = "external"`: the login roles that somebody else manages, for each scope at most one.
#[derive(Clone, Debug, Default)]
pub struct External {
    /// For the scope `metadata`.
    pub metadata: Option<Login>,
    /// For `read`.
    pub read: Option<Login>,
    /// For `write`.
    pub write: Option<Login>,
}

/// A login role, or one for each customer of a database that has several, and where its password is.
#[derive(Clone, Debug)]
pub struct Login {
    /// Its name; `{tenant}` stands for a customer's schema or tenant key.
    pub role: String,
    /// Its password (one line, secret).
    pub password_file: PathBuf,
}

impl External {
    /// All of them, each with its scope.
    pub fn logins(&self) -> impl Iterator<Item = (Scope, &Login)> {
        let each = [(Scope::Metadata, &self.metadata), (Scope::Read, &self.read), (Scope::Write, &self.write)];
        each.into_iter().filter_map(|(scope, login)| Some((scope, login.as_ref()?)))
    }
}

/// How retention signs in at a cluster: `maintenance` and what begins with `maintenance_`.
#[derive(Clone, Debug)]
pub struct Maintenance {
    /// The role that `portreeve retention prepare` makes.
    pub role: String,
    /// That role's password (one line, secret).
    pub password_file: PathBuf,
    /// A client certificate and its key (PEM, secret), where the server asks for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// `[register]`: what was decided.
#[derive(Clone, Debug)]
pub struct Register {
    /// The SQLite file.
    pub path: PathBuf,
    /// The server that keeps it instead, if one does.
    pub server: Option<RegisterServer>,
}

/// `engine = "postgresql"`: the server that keeps the register.
#[derive(Clone, Debug)]
pub struct RegisterServer {
    /// Where it is; its certificate carries this name.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The database that `portreeve register prepare` made ready.
    pub database: String,
    /// The role that may append, and erase side rows.
    pub role: String,
    /// That role's password (one line, secret).
    pub password_file: PathBuf,
    /// Who signed the server's certificate (PEM).
    pub ca: PathBuf,
    /// A client certificate and its key (PEM, secret), where the server asks for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
}

/// `[audit]`: what happened.
#[derive(Clone, Debug)]
pub struct Audit {
    /// Every log is a folder in here, named as its writer.
    pub directory: PathBuf,
    /// The size of a segment, in bytes.
    pub segment_bytes: u64,
    /// What is kept free on the disk; below it no session begins. Bytes.
    pub reserve_bytes: u64,
    /// How long one data key is used.
    pub epoch_after: Duration,
    /// How much one data key seals, in bytes.
    pub epoch_bytes: u64,
    /// When keys of records of no customer are destroyed, counted from the end of their month.
    pub vendor: ByAge,
}

/// `[witnesses.<name>]`: somebody elsewhere who remembers how long the logs are.
#[derive(Clone, Debug)]
pub struct Witness {
    /// Where.
    pub at: WitnessAt,
    /// How often it is told what is new.
    pub every: Duration,
}

/// Where a witness is.
#[derive(Clone, Debug)]
pub enum WitnessAt {
    /// A folder elsewhere, to whose files checkpoints are appended.
    Folder(PathBuf),
    /// A service that speaks C2SP tlog-witness over HTTPS.
    Endpoint {
        /// Its submission prefix.
        url: String,
        /// The file with its verifier key.
        key: PathBuf,
        /// The authority that signed its certificate (PEM).
        ca: PathBuf,
    },
}

/// `[keyring]`: who may open what happened.
#[derive(Clone, Debug)]
pub struct Keyring {
    /// Its socket (Unix).
    pub socket: PathBuf,
    /// The wrapped keys.
    pub file: PathBuf,
    /// What unwraps them (secret).
    pub credential: PathBuf,
    /// Its Ed25519 public key, which the other roles pin.
    pub public_key: PathBuf,
    /// Users that may have keys made to seal records.
    pub writers: Vec<User>,
    /// Users that may have records opened.
    pub openers: Vec<User>,
    /// Users that may have keys destroyed: the retention role's only.
    pub destroyers: Vec<User>,
    /// Copies of the keyring file, rewritten with it; each has a `.generation` file beside it.
    pub copies: Vec<PathBuf>,
    /// The key that signs its log (secret).
    pub log_key: PathBuf,
}

impl Keyring {
    /// The folder in which the public key of each log is pinned (`<writer>.vkey`): beside the keyring's own, so that who
    /// can write the logs cannot exchange it.
    pub fn log_keys(&self) -> PathBuf {
        self.public_key.with_file_name("log-keys")
    }

    /// The numbers of `writers`.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] for the first that this machine does not know.
    pub fn writer_uids(&self) -> Result<Vec<u32>, Error> {
        self.writers.iter().map(User::uid).collect()
    }

    /// The numbers of `openers`.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] for the first that this machine does not know.
    pub fn opener_uids(&self) -> Result<Vec<u32>, Error> {
        self.openers.iter().map(User::uid).collect()
    }

    /// The numbers of `destroyers`.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] for the first that this machine does not know.
    pub fn destroyer_uids(&self) -> Result<Vec<u32>, Error> {
        self.destroyers.iter().map(User::uid).collect()
    }
}

/// `[portal]`: the owner's pages.
#[derive(Clone, Debug)]
pub struct Portal {
    /// Where browsers connect.
    pub listen: SocketAddr,
    /// Its certificate chain (PEM).
    pub certificate: PathBuf,
    /// Its private key (PEM, secret).
    pub key: PathBuf,
    /// Its address as owners type it, without a slash at the end.
    pub public_url: String,
    /// The key that signs what owners widen (secret).
    pub signing_key: PathBuf,
    /// The public half, by which every role checks that.
    pub signing_public_key: PathBuf,
    /// SHA-256 of the token of the vendor's application; none: it has none.
    pub vendor_token: Option<[u8; 32]>,
    /// In it a folder per customer, such as `c7`, with the archive and the certificates its owners may take home.
    pub archives: PathBuf,
    /// Its own folder: the register's last sequence and hash it saw.
    pub state: PathBuf,
    /// The key that signs its log (secret).
    pub log_key: PathBuf,
}

/// `[fence]`: what the database enforces.
#[derive(Clone, Debug)]
pub struct Fence {
    /// Findings of the self-test that are accepted, by their names.
    pub accept: Vec<String>,
    /// Whether `fence apply` takes from PUBLIC what a reader could change things with.
    pub revoke_public: bool,
    /// How often the self-test is repeated while sessions are open.
    pub examine_every: Duration,
}

/// `[limits]`: how much of anything.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Sessions under one grant in one proxy.
    pub connections_per_grant: u32,
    /// Connections from one address, signed in or not.
    pub connections_per_address: u32,
    /// Connections of one proxy.
    pub connections: u32,
    /// Failed sign-ins from one address within `attempts_within`.
    pub attempts_per_address: u32,
    /// Failed sign-ins under one name within `attempts_within`.
    pub attempts_per_name: u32,
    /// How long a failed sign-in counts.
    pub attempts_within: Duration,
    /// How long signing in may take, from the first byte.
    pub sign_in_within: Duration,
    /// How long a proxy that cannot read the register keeps its sessions.
    pub register_stale_after: Duration,
    /// A roll-out under way: staff are let in where owners have decided nothing yet, and it is recorded. None: as usual.
    pub observing: Option<Observing>,
}

/// `[road]`: who may be connected to the databases besides the gate.
#[derive(Clone, Debug)]
pub struct Road {
    /// The vendor's application: roles, and from where, such as `app@10.0.0.0/8`.
    pub application: Vec<String>,
    /// Backups and administrators, in the same way; retention's own roles need not be named.
    pub maintenance: Vec<String>,
}

/// `[retention]`: the daemon that keeps the promise.
#[derive(Clone, Debug)]
pub struct Retention {
    /// Its name, its log is called `retention-<id>`; what it makes is tagged with it, and only that is deleted.
    pub id: String,
    /// Its own folder.
    pub state: PathBuf,
    /// The key that signs its log and its certificates (secret).
    pub log_key: PathBuf,
    /// The key by which it knows its own snapshots (secret). Lost, they are nobody's any more.
    pub instance_key: PathBuf,
    /// PostgreSQL's own programs; none: the newest under `/usr/lib/postgresql`.
    pub programs: Option<PathBuf>,
    /// Where a password may lie in a file for as long as `pg_dump` runs: in memory, nobody else's.
    pub runtime: PathBuf,
    /// When a purge may run.
    pub window: Window,
    /// How much one plan may do without a second person.
    pub caps: Caps,
    /// Whether what is above a cap needs a second person; otherwise the one who asks must only present the digest.
    pub two_people: bool,
    /// What becomes of the last good snapshot when it is too old.
    pub on_ceiling: OnCeiling,
    /// How hard a purge may press on a database.
    pub pressing: Pressing,
    /// Where the data map of a database with shared tables is, by `cluster/database`.
    pub datamap: BTreeMap<String, PathBuf>,
}

/// `[retention]`, the keys that begin with `purge_`: how hard a purge in shared tables may press on its database.
#[derive(Clone, Copy, Debug)]
pub struct Pressing {
    /// How many rows the first batch has.
    pub rows_first: u32,
    /// The most rows of a batch.
    pub rows_max: u32,
    /// How long a batch should take.
    pub batch: Duration,
    /// How long to rest after a batch, in hundredths of what it took.
    pub rest_percent: u32,
    /// No batch while a replica is further behind.
    pub replica_lag_max: Duration,
    /// How long to hold back for others that wait for locks.
    pub waiters: Duration,
    /// Whether files are rewritten, too.
    pub scrub: Scrub,
}

/// `[snapshots.<name>]`: one back-end.
#[derive(Clone, Debug)]
pub struct Snapshots {
    /// How it takes one.
    pub kind: SnapshotKind,
    /// Of which cluster.
    pub cluster: String,
    /// Where they are put.
    pub directory: PathBuf,
    /// The public key they are encrypted to.
    pub recipient: PathBuf,
    /// The role that takes them: with REPLICATION for the whole cluster, else one that reads everything.
    pub role: String,
    /// That role's password (one line, secret).
    pub password_file: PathBuf,
    /// A client certificate and its key (PEM, secret), where the server asks for one.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// How long taking one is expected to last.
    pub takes: Duration,
    /// How long from the deletion's due moment until its absence is confirmed.
    pub expiry_lag: Duration,
    /// How long the store itself keeps what was deleted: its own snapshots, a recycle bin, a lock.
    pub store_keeps: Duration,
    /// The pace at which it is written, if there is a limit. Bytes per second.
    pub bytes_per_second_max: Option<u64>,
    /// The checksums in the manifest of a whole cluster's snapshot.
    pub checksums: Checksums,
}

impl Snapshots {
    fn backend(&self, name: &str) -> Backend {
        let Snapshots { takes, expiry_lag, store_keeps, .. } = *self;
        Backend { name: name.to_owned(), takes, expiry_lag, store_keeps }
    }
}

/// `[cli]`: the command line as a writer of records.
#[derive(Clone, Debug)]
pub struct Cli {
    /// The key that signs its log (secret).
    pub log_key: PathBuf,
    /// Its own folder: the register's last sequence and hash it saw.
    pub state: PathBuf,
}

/// `[observe]`: diagnostics on standard error.
#[derive(Clone, Debug)]
pub struct Observe {
    /// A `tracing` filter, such as `info` or `portreeve=debug`; `RUST_LOG` outranks it.
    pub level: String,
    /// Text or JSON.
    pub format: Format,
}

/// A role whose secrets can be checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `portreeve proxy`.
    Proxy,
    /// `portreeve portal`.
    Portal,
    /// `portreeve keyring`.
    Keyring,
    /// `portreeve retention`.
    Retention,
    /// Everything else: the command line.
    Cli,
}

impl Config {
    /// What follows from the promise for the back-ends there are.
    ///
    /// # Errors
    /// [`Unkeepable`], with every reason.
    pub fn rules(&self) -> Result<Rules, Unkeepable> {
        let backends: Vec<Backend> = self.snapshots.iter().map(|(name, snapshots)| snapshots.backend(name)).collect();
        Rules::new(self.promise.clone(), &backends, self.retention.caps, self.retention.on_ceiling)
    }

    /// The secret files that `role` reads.
    pub fn secrets(&self, role: Role) -> Vec<&Path> {
        let files: Vec<&PathBuf> = match role {
            Role::Proxy => {
                let clusters = self.clusters.values().flat_map(|cluster| [&cluster.key, &cluster.password_file]);
                let logins = self.clusters.values().filter_map(|cluster| cluster.external.as_ref());
                let logins = logins.flat_map(External::logins).map(|(_, login)| &login.password_file);
                [&self.proxy.key, &self.proxy.log_key].into_iter().chain(clusters).chain(logins).collect()
            }
            Role::Portal => {
                let client = self.staff.oidc.iter().filter_map(|oidc| oidc.client_secret_file.as_ref());
                let own = [&self.portal.key, &self.portal.signing_key, &self.portal.log_key];
                own.into_iter().chain(client).collect()
            }
            Role::Keyring => vec![&self.keyring.credential, &self.keyring.log_key],
            Role::Retention => {
                let keys = self.snapshots.values().filter_map(|snapshots| snapshots.certificate.as_ref());
                let passwords = self.snapshots.values().map(|snapshots| &snapshots.password_file);
                let own = [&self.retention.log_key, &self.retention.instance_key];
                let roads = self.clusters.values().filter_map(|cluster| cluster.maintenance.as_ref());
                let roads = roads.flat_map(|road| {
                    std::iter::once(&road.password_file).chain(road.certificate.as_ref().map(|(_, key)| key))
                });
                own.into_iter().chain(passwords).chain(keys.map(|(_, key)| key)).chain(roads).collect()
            }
            Role::Cli => vec![&self.cli.log_key],
        };
        let register = self.register.server.as_ref().filter(|_| role != Role::Keyring);
        let register = register.into_iter().flat_map(|server| {
            std::iter::once(&server.password_file).chain(server.certificate.as_ref().map(|(_, key)| key))
        });
        files.into_iter().chain(register).map(PathBuf::as_path).collect()
    }

    /// Whether `role` can read its secrets and nobody else can.
    ///
    /// # Errors
    /// As [`super::read_secret`], for the first file that is wrong.
    pub fn check_secrets(&self, role: Role) -> Result<(), Error> {
        self.secrets(role).into_iter().try_for_each(|file| secrets::read_secret(file).map(drop))
    }
}
