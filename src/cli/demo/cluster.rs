//! A throw-away PostgreSQL with TLS, its own CA and the pg_hba.conf a production server behind Portreeve should have.
//! Not here: a way to keep its data; it stops when this process ends, however it ends, and its own directory goes too.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::ClientConfig;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use super::certificates::{self, Certificates};
pub use super::data_directory::postgres_bin;
use super::data_directory::{self, Directory, RunAs};
use crate::entropy::{OsEntropy, random};
use crate::net::tls_connect::{self, Identity, client_config};

/// The role that Portreeve's proxy signs in with to open and close grants.
pub const PROVISIONER: &str = "portreeve_provisioner";
/// The vendor's application: owns the customers' databases.
pub const APPLICATION: &str = "app";

const READY_WITHIN: Duration = Duration::from_secs(30);
const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// Rows for [`Cluster::seed`]: one customer's contacts, orders, invoices and tickets.
const DEMO_DATA: &str = include_str!("demo_data.sql");

/// Starts the server (`$1` program, `$2` data directory), waits until its own standard input is closed, which happens
/// when we let go of it and also when we are killed, and takes the server down; the directory `$3` too, if there is one
/// and nobody said `keep`.
const WATCHER: &str = r#"
"$1" -D "$2" </dev/null & server=$!
last=
while read -r word; do last=$word; done
kill -QUIT "$server" 2>/dev/null
wait "$server"
if [ -n "$3" ] && [ "$last" != keep ]; then rm -rf "$3"; fi
"#;

/// `local` lines first: the superuser by the socket alone, whose directory is closed to other users. Then members of
/// `portreeve_staff`: with a certificate of the proxy's own CA or not at all, so that a password changed by its holder
/// opens no other road.
const HBA: &str = "\
# TYPE  DATABASE  USER                   ADDRESS       METHOD
local   all       postgres                             trust
local   all       all                                  reject
hostssl all       +portreeve_staff       127.0.0.1/32  scram-sha-256 clientcert=verify-ca
host    all       +portreeve_staff       all           reject
hostssl all       portreeve_provisioner  127.0.0.1/32  scram-sha-256 clientcert=verify-ca
hostssl all       app                    127.0.0.1/32  scram-sha-256
hostssl all,replication portreeve_snapshot  127.0.0.1/32  scram-sha-256
hostssl all       portreeve_maintenance  127.0.0.1/32  scram-sha-256
hostssl all       portreeve_register     127.0.0.1/32  scram-sha-256
host    all       all                    all           reject
";

/// Why there is no cluster. Faults of the machine or its configuration, except `Sql`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Neither the environment nor the usual place has a server.
    #[error("no PostgreSQL server in {looked}; install postgresql or set PORTREEVE_PG_BIN to the directory of initdb")]
    NoPostgres {
        /// Where we looked.
        looked: String,
    },
    /// We are root, and there is nobody to step down to.
    #[error("PostgreSQL does not run as root, and /etc/passwd has neither a user postgres nor nobody")]
    NoUser,
    /// A file, directory or program could not be used.
    #[error("cannot {verb} {}: {source}", path.display())]
    Io {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A program ran and failed, or the server did not come up.
    #[error("{} failed: {said}", program.display())]
    Failed {
        /// Which one.
        program: PathBuf,
        /// Its last words.
        said: String,
    },
    /// Certificates could not be made.
    #[error(transparent)]
    Certificates(#[from] certificates::Error),
    /// Certificates could not be used.
    #[error(transparent)]
    Tls(#[from] tls_connect::Error),
    /// The server refused a statement.
    #[error("in database \"{database}\": {}", database_says(source))]
    Sql {
        /// Where.
        database: String,
        /// What it said.
        source: tokio_postgres::Error,
    },
}

impl Error {
    pub(super) fn io(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
        let path = path.to_owned();
        move |source| Error::Io { verb, path, source }
    }

    fn sql(database: &str) -> impl FnOnce(tokio_postgres::Error) -> Error {
        let database = database.to_owned();
        move |source| Error::Sql { database, source }
    }
}

/// tokio-postgres prints only "db error"; the server's own words are inside.
fn database_says(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), ToString::to_string)
}

/// How a cluster is made. `Default` is right for most: an own directory under the system's temporary one, no cache.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where its files go; it must not exist yet, its path must be short (a socket lies in it) and, when we are root,
    /// be reachable by user `postgres`. Kept when the cluster stops. `None`: a new one, removed when the cluster stops.
    pub directory: Option<PathBuf>,
    /// Where an initialised data directory may be kept between runs, to start in a moment instead of seconds.
    pub cache: Option<PathBuf>,
    /// The directory of PostgreSQL's programs; none: [`postgres_bin`].
    pub bin: Option<PathBuf>,
    /// More lines for `postgresql.conf`: name and value, such as `("log_statement", "all")`.
    pub parameters: Vec<(String, String)>,
}

/// A running server. Dropping it stops the server.
#[derive(Debug)]
pub struct Cluster {
    directory: Directory,
    bin: PathBuf,
    run_as: RunAs,
    port: u16,
    certificates: Certificates,
    provisioner_password: String,
    application_password: String,
    watcher: Option<(Child, ChildStdin)>,
}

impl Cluster {
    /// Makes a new cluster and starts it. The databases `postgres` and `template1` are closed to PUBLIC, the roles
    /// [`APPLICATION`] and [`PROVISIONER`] exist; databases come by [`Cluster::create_database`].
    pub async fn start(settings: Settings) -> Result<Cluster, Error> {
        let bin = settings.bin.clone().map_or_else(postgres_bin, Ok)?;
        let run_as = RunAs::choose()?;
        let directory = Directory::create(settings.directory, run_as)?;
        let certificates = Certificates::create(&directory.path.join("certificates"))?;
        for path in [&certificates.directory, &certificates.cluster.key] {
            run_as.give(path)?;
        }
        data_directory::create(&bin, &directory.path.join("data"), settings.cache.as_deref(), run_as)?;
        let mut cluster = Cluster {
            bin,
            run_as,
            port: free_port()?,
            certificates,
            provisioner_password: password(),
            application_password: password(),
            watcher: None,
            directory,
        };
        cluster.configure(&settings.parameters)?;
        cluster.launch().await?;
        cluster.populate().await?;
        Ok(cluster)
    }

    /// Starts the server again after [`Cluster::stop`], on the same port with the same data.
    pub async fn start_again(&mut self) -> Result<(), Error> {
        self.stop();
        self.launch().await
    }

    /// Takes the server down at once, as a crash of the machine would (clients are cut off, the WAL is replayed at the
    /// next start). Does nothing when it is down. The directory stays until the cluster is dropped.
    pub fn stop(&mut self) {
        let Some((mut watcher, mut stdin)) = self.watcher.take() else {
            return;
        };
        if let Err(error) = stdin.write_all(b"keep\n") {
            tracing::warn!(%error, "the watcher of a throw-away postgresql was gone already");
        }
        drop(stdin);
        let began = Instant::now();
        while began.elapsed() < STOPPED_WITHIN {
            match watcher.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        tracing::error!(directory = %self.directory.path.display(), "a throw-away postgresql did not stop");
    }

    /// The port it listens on, at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The directory of all its files; `server.log` is in it.
    pub fn directory(&self) -> &Path {
        &self.directory.path
    }

    /// The certificates around it.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// The password of [`PROVISIONER`].
    pub fn provisioner_password(&self) -> &str {
        &self.provisioner_password
    }

    /// The password of [`APPLICATION`].
    pub fn application_password(&self) -> &str {
        &self.application_password
    }

    /// TLS that trusts this server and shows the proxy's certificate.
    pub fn proxy_tls(&self) -> Result<Arc<ClientConfig>, Error> {
        let identity = Identity { chain: &self.certificates.proxy.certificate, key: &self.certificates.proxy.key };
        Ok(client_config(&self.certificates.cluster_ca, Some(identity))?)
    }

    /// TLS that trusts this server and shows no certificate.
    pub fn plain_tls(&self) -> Result<Arc<ClientConfig>, Error> {
        Ok(client_config(&self.certificates.cluster_ca, None)?)
    }

    /// How the superuser connects to `database`, for psql and tokio-postgres alike; it holds no secret.
    pub fn superuser_dsn(&self, database: &str) -> String {
        let quoted = |text: &str| format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"));
        let socket = self.socket_directory();
        format!(
            "host={} port={} user=postgres dbname={}",
            quoted(&socket.display().to_string()),
            self.port,
            quoted(database)
        )
    }

    /// Runs `sql` (one or several statements) in `database` as superuser; all rows as text.
    pub async fn run_sql(&self, database: &str, sql: &str) -> Result<Vec<Vec<Option<String>>>, Error> {
        let dsn = self.superuser_dsn(database);
        let (client, connection) = tokio_postgres::connect(&dsn, NoTls).await.map_err(Error::sql(database))?;
        let driver = tokio::spawn(connection);
        let answer = client.simple_query(sql).await.map_err(Error::sql(database));
        drop(client);
        if let Ok(Err(source)) = driver.await {
            tracing::debug!(%source, "a superuser's connection ended badly");
        }
        let text = |message| match message {
            SimpleQueryMessage::Row(row) => Some((0..row.len()).map(|at| row.get(at).map(str::to_owned)).collect()),
            _ => None,
        };
        Ok(answer?.into_iter().filter_map(text).collect())
    }

    /// An empty database that belongs to [`APPLICATION`].
    pub async fn create_database(&self, name: &str) -> Result<(), Error> {
        let name = name.replace('"', "\"\"");
        self.run_sql("postgres", &format!("create database \"{name}\" owner {APPLICATION}")).await.map(drop)
    }

    /// Some thousand realistic rows of one customer (contacts, orders, invoices, tickets), different for each database
    /// name and the same each time.
    pub async fn seed(&self, database: &str) -> Result<(), Error> {
        self.run_sql(database, DEMO_DATA).await.map(drop)
    }

    /// Where the server's Unix socket is, over which the superuser connects.
    pub fn socket_directory(&self) -> PathBuf {
        self.directory.path.join("socket")
    }

    fn configure(&self, parameters: &[(String, String)]) -> Result<(), Error> {
        let (data, socket) = (self.directory.path.join("data"), self.socket_directory());
        fs::create_dir(&socket).map_err(Error::io("create", &socket))?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o700)).map_err(Error::io("close", &socket))?;
        self.run_as.give(&socket)?;
        let file = |path: &Path| path.display().to_string();
        let own = [
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", self.port.to_string()),
            ("unix_socket_directories", file(&socket)),
            ("ssl", "on".to_owned()),
            ("ssl_ca_file", file(&self.certificates.proxy_ca)),
            ("ssl_cert_file", file(&self.certificates.cluster.certificate)),
            ("ssl_key_file", file(&self.certificates.cluster.key)),
            ("fsync", "on".to_owned()),
            ("max_connections", "200".to_owned()),
            ("max_prepared_transactions", "0".to_owned()),
            ("password_encryption", "scram-sha-256".to_owned()),
            ("timezone", "UTC".to_owned()),
        ];
        let given = parameters.iter().map(|(name, value)| (name.as_str(), value.clone()));
        let lines: String = own
            .into_iter()
            .chain(given)
            .map(|(name, value)| format!("{name} = '{}'\n", value.replace('\'', "''")))
            .collect();
        let settings = data.join("postgresql.conf");
        OpenOptions::new()
            .append(true)
            .open(&settings)
            .and_then(|mut settings| settings.write_all(lines.as_bytes()))
            .map_err(Error::io("write", &settings))?;
        let hba = data.join("pg_hba.conf");
        fs::write(&hba, HBA).map_err(Error::io("write", &hba))
    }

    async fn launch(&mut self) -> Result<(), Error> {
        let log_path = self.directory.path.join("server.log");
        let log = OpenOptions::new().create(true).append(true).open(&log_path).map_err(Error::io("open", &log_path))?;
        let written = log.metadata().map_err(Error::io("read", &log_path))?.len();
        let program = self.bin.join("postgres");
        let data = self.directory.path.join("data");
        let pid_file = data.join("postmaster.pid");
        let mut command = Command::new("/bin/sh");
        command.args(["-c", WATCHER, "watcher"]).arg(&program).arg(&data);
        command.arg(if self.directory.removed_at_end { self.directory.path.as_os_str() } else { "".as_ref() });
        command
            .current_dir("/")
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(log.try_clone().map_err(Error::io("share", &log_path))?)
            .stderr(log);
        self.run_as.apply(&mut command);
        let mut watcher = command.spawn().map_err(Error::io("run", Path::new("/bin/sh")))?;
        let stdin = watcher.stdin.take().ok_or_else(|| Error::Failed { program, said: "no pipe to it".to_owned() })?;
        self.watcher = Some((watcher, stdin));
        self.wait_until_ready(&pid_file, || {
            let log = fs::read(&log_path).unwrap_or_default();
            let since = usize::try_from(written).ok().and_then(|written| log.get(written..));
            String::from_utf8_lossy(since.unwrap_or_default()).into_owned()
        })
        .await
    }

    /// The server writes `ready` into the eighth line of its pid file when it accepts connections.
    async fn wait_until_ready(&self, pid_file: &Path, log: impl Fn() -> String) -> Result<(), Error> {
        let began = Instant::now();
        while began.elapsed() < READY_WITHIN {
            let state = fs::read_to_string(pid_file).unwrap_or_default();
            if state.lines().nth(7).is_some_and(|line| line.trim() == "ready") {
                return Ok(());
            }
            // Whoever connects meanwhile is told so with such a line, too.
            let is_fatal = |line: &str| line.contains("FATAL: ") && !line.contains("FATAL:  the database system is ");
            if log().lines().any(is_fatal) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let said = log();
        let tail: Vec<&str> = said.lines().rev().take(5).collect();
        let said = tail.into_iter().rev().collect::<Vec<_>>().join("; ");
        Err(Error::Failed { program: self.bin.join("postgres"), said })
    }

    /// Passwords travel as SCRAM verifiers, so that no server log can hold them.
    async fn populate(&self) -> Result<(), Error> {
        let verifier = |password: &str| postgres_protocol::password::scram_sha_256(password.as_bytes());
        let sql = format!(
            "create role {APPLICATION} login password '{}'; create role {PROVISIONER} login password '{}'; \
             revoke connect, temporary on database postgres from public; revoke connect on database template1 from public",
            verifier(&self.application_password),
            verifier(&self.provisioner_password),
        );
        self.run_sql("postgres", &sql).await.map(drop)
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.stop();
    }
}

fn free_port() -> Result<u16, Error> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map(|address| address.port())
        .map_err(Error::io("find a free port at", Path::new("127.0.0.1")))
}

fn password() -> String {
    random::<24>(&OsEntropy).map(|byte| format!("{byte:02x}")).concat()
}
