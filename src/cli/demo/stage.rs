//! A whole Portreeve on a throw-away directory: PostgreSQL, keyring, proxy and portal as processes of their own, four
//! customers, an owner each, one member of staff. The demonstration plays on it, and so do the tests.
//! Not here: the story (`story.rs`). All roles run as the same user here, which a real installation never does.

use std::fs;
use std::io::{BufRead, BufReader, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use super::cluster::{self, Cluster};
pub use super::customers::{CUSTOMERS, SHARED_DATABASE, TENANTS};
pub use super::role::Role;
use crate::purge::MAINTENANCE;

/// How many ports are tried for the portal.
const PORTS_TRIED: usize = 5;
/// How long a role may take to say that it is ready.
const READY_WITHIN: Duration = Duration::from_secs(30);

/// The role that takes snapshots.
const SNAPSHOT_ROLE: &str = "portreeve_snapshot";
/// The file of its password.
const SNAPSHOT_PASSWORD: &str = "snapshots.password";

/// The file of the maintenance role's password.
const MAINTENANCE_PASSWORD: &str = "maintenance.password";
/// The data map of the shared tables.
const SHARED_MAP: &str = include_str!("../../../config/datamap-shared.toml");

/// The member of staff.
pub const STAFF: &str = "jane";

/// Why there is no stage.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// PostgreSQL.
    #[error(transparent)]
    Cluster(#[from] cluster::Error),
    /// A file, a folder or a program.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// A command of our own failed.
    #[error("portreeve {arguments}: {said}")]
    Command {
        /// Its arguments.
        arguments: String,
        /// What it said.
        said: String,
    },
    /// A role did not come up.
    #[error("portreeve {role} did not start:\n{said}")]
    NotReady {
        /// Which.
        role: String,
        /// What it said.
        said: String,
    },
}

impl Error {
    pub(super) fn system(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Error {
        let what = what.into();
        move |source| Error::System { what, source }
    }
}

/// What may differ from stage to stage.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The `portreeve` binary.
    pub binary: PathBuf,
    /// Where an initialised data directory is kept between runs.
    pub cache: Option<PathBuf>,
    /// The directory of PostgreSQL's programs; none: the usual one.
    pub bin: Option<PathBuf>,
    /// Where everything goes; a new folder under the system's temporary one if there is none named.
    pub directory: Option<PathBuf>,
    /// Lines for sections of the configuration, such as `("proxy", "strict = true")`.
    pub lines: Vec<(String, String)>,
    /// More parameters of the server.
    pub parameters: Vec<(String, String)>,
    /// Rows in the customers' databases; without, they are empty.
    pub seed: bool,
}

impl Settings {
    /// A usual stage with rows.
    pub fn new(binary: impl Into<PathBuf>) -> Settings {
        Settings {
            binary: binary.into(),
            cache: None,
            bin: None,
            directory: None,
            lines: Vec::new(),
            parameters: Vec::new(),
            seed: true,
        }
    }
}

/// Everything that runs. Fields are dropped in this order: the roles end before the database does.
#[derive(Debug)]
pub struct Stage {
    /// The gate; none while it is stopped.
    pub proxy: Option<Role>,
    /// The owners' pages.
    pub portal: Option<Role>,
    /// The retention daemon; none until [`Stage::start_retention`].
    pub retention: Option<Role>,
    /// The keyring.
    pub keyring: Option<Role>,
    /// PostgreSQL.
    pub cluster: Cluster,
    directory: PathBuf,
    is_own: bool,
    pub(super) portal_port: u16,
    pub(super) settings: Settings,
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.proxy = None;
        self.portal = None;
        self.retention = None;
        self.keyring = None;
        if self.is_own
            && let Err(error) = fs::remove_dir_all(&self.directory)
        {
            tracing::warn!(directory = %self.directory.display(), %error, "could not be removed");
        }
    }
}

impl Stage {
    /// Builds everything and starts it.
    ///
    /// # Errors
    /// Any [`Error`]; what was started by then is stopped.
    pub async fn set_up(settings: Settings) -> Result<Stage, Error> {
        let cluster = Cluster::start(cluster::Settings {
            directory: None,
            cache: settings.cache.clone(),
            bin: settings.bin.clone(),
            parameters: settings.parameters.clone(),
        })
        .await?;
        let (directory, is_own) = match &settings.directory {
            Some(directory) => (directory.clone(), false),
            None => (own_directory(), true),
        };
        fs::create_dir_all(&directory).map_err(Error::system(format!("make {}", directory.display())))?;
        let (proxy, portal, retention, keyring) = (None, None, None, None);
        let mut stage =
            Stage { proxy, portal, retention, keyring, cluster, directory, is_own, portal_port: 0, settings };
        stage.write_configuration()?;
        stage.run(&["keys", "init"])?;
        stage.keyring = Some(stage.start("keyring")?);
        stage.add_customers().await?;
        stage.write_secret(&format!("{STAFF}.password"), &password())?;
        let file = stage.path(&format!("{STAFF}.password"));
        stage.run(&["staff", "create", STAFF, "--password-file", &file.to_string_lossy()])?;
        stage.start_portal()?;
        stage.proxy = Some(stage.start("proxy")?);
        Ok(stage)
    }

    /// Whether the customers' databases have rows.
    pub(super) fn has_rows(&self) -> bool {
        self.settings.seed
    }

    /// A file of the stage.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The configuration file.
    pub fn configuration(&self) -> PathBuf {
        self.path("portreeve.toml")
    }

    /// Where every writer's log is.
    pub fn audit(&self) -> PathBuf {
        self.path("audit")
    }

    /// The port clients connect to.
    pub fn gate_port(&self) -> u16 {
        port_of(self.proxy.as_ref())
    }

    /// The port browsers connect to.
    pub fn portal_port(&self) -> u16 {
        self.portal_port
    }

    /// Starts the portal. Its configuration names its address as owners type it, port included, so that a free port is
    /// chosen beforehand; somebody else may take it meanwhile, and then another is tried.
    fn start_portal(&mut self) -> Result<(), Error> {
        for _ in 0..PORTS_TRIED {
            let free = std::net::TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
            self.portal_port = free.map_err(Error::system("find a free port"))?.port();
            self.write_configuration()?;
            match self.start("portal") {
                Ok(portal) => {
                    self.portal = Some(portal);
                    return Ok(());
                }
                Err(Error::NotReady { said, .. }) if said.contains("in use") => {}
                Err(error) => return Err(error),
            }
        }
        Err(Error::NotReady { role: "portal".to_owned(), said: "every port tried was taken meanwhile".to_owned() })
    }

    /// The first line of a secret file of the stage.
    pub fn secret(&self, name: &str) -> Result<String, Error> {
        let text = fs::read_to_string(self.path(name)).map_err(Error::system(format!("read {name}")))?;
        Ok(text.lines().next().unwrap_or_default().to_owned())
    }

    /// What psql and libpq are given to reach a customer through the gate; the password is in `PGPASSFILE`.
    pub fn conninfo(&self, customer: &str) -> String {
        let ca = &self.cluster.certificates().gate_ca;
        format!(
            "host=localhost port={} dbname={customer} user={STAFF} sslmode=verify-full sslrootcert={}",
            self.gate_port(),
            ca.display()
        )
    }

    /// A password file for libpq with the staff member's password.
    pub fn passfile(&self) -> Result<PathBuf, Error> {
        self.write_secret("pgpass", &format!("*:*:*:{STAFF}:{}", self.secret(&format!("{STAFF}.password"))?))
    }

    /// The real psql on a customer through the gate, ready to be given `-c` and run.
    pub fn psql(&self, customer: &str) -> Result<Command, Error> {
        let mut psql = Command::new("psql");
        psql.arg(self.conninfo(customer)).args(["-X", "-w", "-v", "ON_ERROR_STOP=1"]);
        psql.env("PGPASSFILE", self.passfile()?).env("PGCONNECT_TIMEOUT", "20").stdin(Stdio::null());
        Ok(psql)
    }

    /// Runs one of our own commands to its end.
    ///
    /// # Errors
    /// [`Error::Command`] with what it said, if it fails.
    pub fn run(&self, arguments: &[&str]) -> Result<Output, Error> {
        let output = self.command(arguments).output().map_err(Error::system("run portreeve"))?;
        if output.status.success() {
            return Ok(output);
        }
        Err(Error::Command { arguments: arguments.join(" "), said: said(&output) })
    }

    /// One of our own commands with this stage's configuration, ready to run.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.settings.binary);
        command.arg("--config").arg(self.configuration()).args(arguments).stdin(Stdio::null());
        command
    }

    /// Starts the gate again after it was stopped or killed.
    pub fn start_proxy(&mut self) -> Result<(), Error> {
        self.proxy = None;
        self.proxy = Some(self.start("proxy")?);
        Ok(())
    }

    /// Starts the keyring again after it was stopped or killed.
    pub fn start_keyring(&mut self) -> Result<(), Error> {
        self.keyring = None;
        self.keyring = Some(self.start("keyring")?);
        Ok(())
    }

    /// Makes the snapshot and maintenance roles, a recipient's pair and a store, and starts the retention daemon.
    pub async fn start_retention(&mut self) -> Result<(), Error> {
        if !self.path("store/store").exists() {
            self.prepare_retention().await?;
        }
        self.retention = None;
        self.retention = Some(self.start("retention")?);
        Ok(())
    }

    /// All but starting it.
    pub async fn prepare_retention(&self) -> Result<(), Error> {
        let role = format!(
            "create role {SNAPSHOT_ROLE} login replication bypassrls password '{}' in role pg_read_all_data, pg_read_all_stats; \
             grant connect on database postgres, {} to {SNAPSHOT_ROLE}",
            self.secret(SNAPSHOT_PASSWORD)?,
            CUSTOMERS.into_iter().chain([SHARED_DATABASE]).collect::<Vec<_>>().join(", "),
        );
        self.cluster.run_sql("postgres", &role).await?;
        let (public, private) = (self.path("snapshots.pub"), self.path("snapshots.key"));
        let (public, private) = (public.to_string_lossy(), private.to_string_lossy());
        self.run(&["retention", "keys", "--public", &public, "--private", &private])?;
        self.run(&["retention", "store", "nightly"])?;
        // From "postgres" a customer's own database is dropped.
        for database in CUSTOMERS.into_iter().chain([SHARED_DATABASE, "postgres"]) {
            let dsn = self.write_secret(&format!("{database}.dsn"), &self.cluster.superuser_dsn(database))?;
            let prepared = self.command(&[
                "retention",
                "prepare",
                "--cluster",
                "main",
                "--database",
                database,
                "--dsn-file",
                &dsn.to_string_lossy(),
            ]);
            let mut prepared = prepared;
            let output = prepared.output().map_err(Error::system("run portreeve"))?;
            // 4: it says what is in the way, which is the database's matter.
            if !matches!(output.status.code(), Some(0 | 4)) {
                return Err(Error::Command { arguments: "retention prepare".to_owned(), said: said(&output) });
            }
        }
        let password = format!("alter role {MAINTENANCE} password '{}'", self.secret(MAINTENANCE_PASSWORD)?);
        self.cluster.run_sql("postgres", &password).await?;
        Ok(())
    }

    /// Moves an owner's switch by the API, with that owner's token; answers the HTTP status and the body.
    pub fn set_consent(&self, customer: &str, body: &str) -> Result<(u16, String), Error> {
        self.api(customer, "PUT", &format!("/v1/customers/{customer}/consent"), Some(body))
    }

    /// Asks the API with the token of `customer`'s owner.
    pub fn api(&self, customer: &str, verb: &str, path: &str, body: Option<&str>) -> Result<(u16, String), Error> {
        let header = self.write_secret(
            &format!("owner-{customer}.header"),
            &format!("Authorization: Bearer {}", self.secret(&format!("owner-{customer}.token"))?),
        )?;
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "20", "-X", verb, "-w", "\n%{http_code}"])
            .arg("--cacert")
            .arg(&self.cluster.certificates().gate_ca)
            .arg("-H")
            .arg(format!("@{}", header.display()))
            .arg(format!("https://localhost:{}{path}", self.portal_port()));
        if let Some(body) = body {
            curl.args(["-H", "Content-Type: application/json", "-d", body]);
        }
        let output = curl.output().map_err(Error::system("run curl"))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let (body, status) = text.rsplit_once('\n').unwrap_or_default();
        match status.parse() {
            Ok(status) if output.status.success() => Ok((status, body.to_owned())),
            Ok(_) | Err(_) => Err(Error::Command { arguments: format!("curl {path}"), said: said(&output) }),
        }
    }

    /// Opens a grant as the staff member, with the staff member's password.
    pub fn grant(&self, customer: &str, scope: &str) -> Result<Output, Error> {
        let password = self.path(&format!("{STAFF}.password"));
        self.run(&[
            "grant",
            "create",
            "--staff",
            STAFF,
            "--customer",
            customer,
            "--scope",
            scope,
            "--for",
            "1h",
            "--purpose",
            "fault",
            "--reason",
            "invoices show wrong totals",
            "--ticket",
            "SUP-1",
            "--password-file",
            &password.to_string_lossy(),
        ])
    }

    /// Writes a file only its owner may read, over the one there.
    pub fn write_secret(&self, name: &str, text: &str) -> Result<PathBuf, Error> {
        let path = self.path(name);
        let failed = || Error::system(format!("write {}", path.display()));
        let mut file =
            fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path).map_err(failed())?;
        file.set_permissions(fs::Permissions::from_mode(0o600)).map_err(failed())?;
        writeln!(file, "{text}").map_err(failed())?;
        Ok(path)
    }

    /// Starts a role and waits until it says that it is ready.
    pub fn start(&self, name: &'static str) -> Result<Role, Error> {
        let log = self.path(&format!("{name}.log"));
        let arguments: &[&str] = if name == "retention" { &["retention", "run"] } else { &[name] };
        let mut file = fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .map_err(Error::system(format!("write {}", log.display())))?;
        let mut child = self
            .command(arguments)
            .env("RUST_LOG", "info")
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(Error::system(format!("start {name}")))?;
        let stderr = child.stderr.take();
        let (ready, is_ready) = mpsc::channel();
        // Ends with the process, whose standard error it reads; what it says is kept in the file.
        let scribe = std::thread::spawn(move || {
            for line in stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines()).map_while(Result::ok) {
                if writeln!(file, "{line}").is_err() {
                    return;
                }
                if let Some(address) = ready_line(&line) {
                    // Only the first is waited for.
                    ready.send(address).unwrap_or_default();
                }
            }
        });
        let mut role = Role { name, child, address: None, log: log.clone(), scribe };
        match is_ready.recv_timeout(READY_WITHIN) {
            Ok(address) => {
                role.address = address;
                Ok(role)
            }
            Err(_) => {
                let said = fs::read_to_string(&log).unwrap_or_default();
                Err(Error::NotReady { role: name.to_owned(), said })
            }
        }
    }

    fn write_configuration(&self) -> Result<(), Error> {
        for folder in ["audit", "register", "proxy", "portal", "keyring", "cli", "retention", "run", "archives"] {
            let path = self.path(folder);
            fs::create_dir_all(&path).map_err(Error::system(format!("make {}", path.display())))?;
        }
        self.write_secret("provisioner.password", self.cluster.provisioner_password())?;
        if !self.path(SNAPSHOT_PASSWORD).exists() {
            self.write_secret(SNAPSHOT_PASSWORD, &password())?;
            self.write_secret(MAINTENANCE_PASSWORD, &password())?;
        }
        let map = self.path("datamap-shared.toml");
        fs::write(&map, SHARED_MAP).map_err(Error::system(format!("write {}", map.display())))?;
        let path = self.configuration();
        fs::write(&path, self.toml()).map_err(Error::system(format!("write {}", path.display())))
    }
}

/// The sign-in name of a customer's owner.
pub fn owner(customer: &str) -> String {
    format!("owner@{customer}.example")
}

/// What a finished command said, on both streams.
pub fn said(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}{}", out.trim_end(), err.trim_end())
}

/// The address in the line by which a role says that it is ready; no address if it listens on no port.
fn ready_line(line: &str) -> Option<Option<String>> {
    let is_ready =
        ["the gate is open", "the portal is open", "the keyring answers", "the retention daemon keeps watch"]
            .iter()
            .any(|text| line.contains(text));
    let address = || line.split_whitespace().find_map(|word| word.strip_prefix("address=")).map(str::to_owned);
    is_ready.then(address)
}

fn port_of(role: Option<&Role>) -> u16 {
    let address = role.and_then(|role| role.address.as_deref()).unwrap_or_default();
    address.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).unwrap_or_default()
}

fn own_directory() -> PathBuf {
    let name: [u8; 6] = crate::entropy::random(&crate::entropy::OsEntropy);
    let name: String = name.iter().map(|byte| format!("{byte:02x}")).collect();
    Path::new("/tmp").join(format!("portreeve-{name}"))
}

pub(super) fn password() -> String {
    let bytes: [u8; 9] = crate::entropy::random(&crate::entropy::OsEntropy);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
