//! What the bench stands on: a whole Portreeve with pgbench's tables behind it, and the other ways to reach them.
//! Tables for reading are in one customer's database, tables for writing in the other's.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use portreeve::cli::demo::cluster::APPLICATION;
use portreeve::cli::demo::stage::{STAFF, Settings, Stage, said};

use super::bouncer::Bouncer;
use super::{Failed, Plan, relay};

/// The database that is read.
pub const READ: &str = "acme";
/// The database that is written.
pub const WRITTEN: &str = "globex";
/// What the owner allows for it.
pub const READING: &str = r#"{"mode":"standing","scope":"read"}"#;
/// pgbench's scale: 100,000 accounts each.
const SCALE: &str = "10";

/// Everything that runs. Fields are dropped in this order.
pub struct Ground {
    bouncer: Bouncer,
    relay: Relay,
    /// Portreeve and the server.
    pub stage: Stage,
    passwords: PathBuf,
}

/// One way to the database.
#[derive(Clone, Debug)]
pub struct Contender {
    /// `direct`, `relay`, `pgbouncer` or `portreeve`.
    pub name: String,
    /// Where it listens.
    pub port: u16,
    /// Who signs in.
    pub user: String,
    /// That user's password.
    pub password: String,
    /// The CA that signed its certificate.
    pub ca: PathBuf,
    /// The process in between.
    pub pid: Option<u32>,
    passwords: PathBuf,
}

impl Contender {
    /// A libpq program that reaches that database this way.
    pub fn command(&self, program: &str, database: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env("PGHOST", "localhost")
            .env("PGHOSTADDR", "127.0.0.1")
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", &self.user)
            .env("PGDATABASE", database)
            .env("PGSSLMODE", "verify-full")
            .env("PGSSLROOTCERT", &self.ca)
            .env("PGGSSENCMODE", "disable")
            // The bare relay ends TLS with a certificate of its own, which channel binding is there to notice.
            .env("PGCHANNELBINDING", "disable")
            .env("PGPASSFILE", &self.passwords)
            .stdin(Stdio::null());
        command
    }
}

impl Ground {
    /// Starts everything and fills the tables.
    pub async fn prepare(plan: &Plan) -> Result<Ground, Failed> {
        let mut settings = Settings::new(&plan.binary);
        settings.seed = false;
        settings.parameters =
            vec![("max_connections".to_owned(), "700".to_owned()), ("shared_buffers".to_owned(), "512MB".to_owned())];
        // The only settings that are not the defaults: how many sessions one member of staff may have.
        for line in ["connections_per_grant = 520", "connections_per_address = 700"] {
            settings.lines.push(("limits".to_owned(), line.to_owned()));
        }
        let mut stage = Stage::set_up(settings).await?;
        use_usual_segments(&mut stage)?;
        for database in [READ, WRITTEN] {
            fill(&stage, database)?;
        }
        let sql = format!(
            "set role {APPLICATION}; create table bulk (id int, note text); \
             insert into bulk select g, repeat(md5(g::text), 31) from generate_series(1, {}) g; \
             create table large (value text); alter table large alter value set storage external; \
             insert into large select repeat('x', {}); vacuum analyze bulk",
            plan.copied_rows, plan.value_bytes
        );
        for statement in sql.split("; ").skip(1) {
            let owned = format!("set role {APPLICATION}; {statement}");
            let statement = if statement.starts_with("vacuum") { statement } else { &owned };
            stage.cluster.run_sql(READ, statement).await?;
        }
        stage.cluster.run_sql(READ, "checkpoint").await?;
        for database in [READ, WRITTEN] {
            fence(&stage, database)?;
        }
        allow(&stage, READ, READING, "read")?;
        allow(&stage, WRITTEN, r#"{"mode":"standing","scope":"write"}"#, "write")?;
        let relay = Relay::start(&stage)?;
        let bouncer = Bouncer::start(&stage.cluster, PathBuf::from(format!("/tmp/pgbouncer-{}", std::process::id())))?;
        let staff = stage.secret(&format!("{STAFF}.password"))?;
        let lines = format!("*:*:*:{APPLICATION}:{}\n*:*:*:{STAFF}:{staff}", stage.cluster.application_password());
        let passwords = stage.write_secret("bench.pgpass", &lines)?;
        Ok(Ground { bouncer, relay, stage, passwords })
    }

    /// The ways to the database, the nearest first.
    pub fn contenders(&self) -> [Contender; 4] {
        let cluster = &self.stage.cluster;
        let certificates = cluster.certificates();
        let as_application = |name: &str, port, pid: Option<u32>| Contender {
            name: name.to_owned(),
            port,
            user: APPLICATION.to_owned(),
            password: cluster.application_password().to_owned(),
            ca: if pid.is_none() { certificates.cluster_ca.clone() } else { certificates.gate_ca.clone() },
            pid,
            passwords: self.passwords.clone(),
        };
        [
            as_application("direct", cluster.port(), None),
            as_application("relay", self.relay.port, Some(self.relay.child.id())),
            as_application("pgbouncer", self.bouncer.port, Some(self.bouncer.pid())),
            self.portreeve(),
        ]
    }

    /// The way through the gate.
    pub fn portreeve(&self) -> Contender {
        Contender {
            name: "portreeve".to_owned(),
            port: self.stage.gate_port(),
            user: STAFF.to_owned(),
            password: self.stage.secret(&format!("{STAFF}.password")).unwrap_or_default(),
            ca: self.stage.cluster.certificates().gate_ca.clone(),
            pid: self.stage.proxy.as_ref().map(|proxy| proxy.pid()),
            passwords: self.passwords.clone(),
        }
    }
}

/// The owner switches on, and the member of staff opens a grant.
pub fn allow(stage: &Stage, database: &str, consent: &str, scope: &str) -> Result<(), Failed> {
    let (status, said) = stage.set_consent(database, consent)?;
    if !(200..300).contains(&status) {
        return Err(format!("the owner of {database} could not switch on: {status} {said}").into());
    }
    stage.grant(database, scope)?;
    Ok(())
}

/// The stage keeps small segments for tests; the gate is measured with its defaults.
fn use_usual_segments(stage: &mut Stage) -> Result<(), Failed> {
    let path = stage.configuration();
    let usual = fs::read_to_string(&path)?
        .lines()
        .filter(|line| !["segment_bytes", "reserve_bytes"].iter().any(|key| line.starts_with(key)))
        .fold(String::new(), |text, line| text + line + "\n");
    fs::write(&path, usual)?;
    stage.start_proxy()?;
    Ok(())
}

/// pgbench's own tables, owned by the application.
fn fill(stage: &Stage, database: &str) -> Result<(), Failed> {
    let output = Command::new("pgbench")
        .args(["-i", "-q", "-s", SCALE])
        .arg(stage.cluster.superuser_dsn(database))
        .env("PGOPTIONS", format!("-c role={APPLICATION}"))
        .output()?;
    if output.status.success() { Ok(()) } else { Err(format!("pgbench -i: {}", said(&output)).into()) }
}

/// The fence again, which knows the tables now.
fn fence(stage: &Stage, database: &str) -> Result<(), Failed> {
    let dsn = stage.path(&format!("{database}.dsn"));
    let dsn = dsn.to_string_lossy();
    let apply = ["fence", "apply", "--database", database, "--superuser-dsn-file", &dsn, "--keep", APPLICATION];
    stage.run(&[apply.as_slice(), &["--close", "postgres", "--close", "template1"]].concat())?;
    Ok(())
}

/// The bare relay's process; its standard input is kept open for as long as it is to live.
struct Relay {
    child: Child,
    port: u16,
}

impl Relay {
    fn start(stage: &Stage) -> Result<Relay, Failed> {
        let certificates = stage.cluster.certificates();
        let mut child = Command::new(std::env::current_exe()?)
            .arg(relay::ARGUMENT)
            .arg(stage.cluster.port().to_string())
            .args([&certificates.cluster_ca, &certificates.gate.certificate, &certificates.gate.key])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("the relay has no standard output")?).read_line(&mut line)?;
        let port = line.trim().parse().map_err(|_| "the relay did not start")?;
        Ok(Relay { child, port })
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        if let Err(error) = self.child.wait() {
            eprintln!("the relay did not end: {error}");
        }
    }
}

/// What this was measured on.
pub async fn machine(ground: &Ground) -> Result<String, Failed> {
    let processors = fs::read_to_string("/proc/cpuinfo")?;
    let model = processors.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or_default();
    let count = std::thread::available_parallelism()?;
    let system = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let rows = ground.stage.cluster.run_sql(READ, "show server_version").await?;
    let server = rows.into_iter().flatten().flatten().next().unwrap_or_default();
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split_whitespace().next().unwrap_or_default();
    let model = model.trim_start_matches([' ', '\t', ':']);
    Ok(format!("{count} x {model}, Linux {}, PostgreSQL {server}, load {load} at the start", system.trim()))
}
