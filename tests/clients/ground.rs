//! What these tests stand on: a whole Portreeve whose server writes down every statement by itself, and ways in.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use portreeve::cli::demo::cluster::APPLICATION;
use portreeve::cli::demo::stage::{STAFF, Settings, Stage, said};
use portreeve::net::tls_connect::{VerifiedTls, client_config};
use tokio::sync::mpsc;
use tokio_postgres::config::SslMode;
use tokio_postgres::{AsyncMessage, Client, Config, NoTls};

/// The customer all clients go to.
pub(crate) const CUSTOMER: &str = "acme";
/// Nothing here may take longer.
pub(crate) const WITHIN: Duration = Duration::from_secs(60);

/// What a session calls itself that only waits until it is let in; nothing else is held against it.
pub(crate) const WAITS: &str = "waits";

/// The server's own log, as JSON lines with the texts of Parse and Bind too.
const LOGGED: [(&str, &str); 9] = [
    ("logging_collector", "on"),
    ("log_destination", "jsonlog"),
    ("log_filename", "server.log"),
    ("log_rotation_size", "0"),
    ("log_statement", "all"),
    ("log_min_duration_statement", "0"),
    ("log_disconnections", "on"),
    ("log_error_verbosity", "default"),
    ("log_timezone", "UTC"),
];

/// A stage on which Jane has access to acme.
pub(crate) async fn stage(scope: &str, lines: &[(&str, &str)]) -> Stage {
    let owned = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
    let settings = Settings {
        cache: Some(env!("CARGO_TARGET_TMPDIR").into()),
        lines: owned(lines),
        parameters: owned(&LOGGED),
        ..Settings::new(env!("CARGO_BIN_EXE_portreeve"))
    };
    let stage = Stage::set_up(settings).await.expect("a stage");
    allow(&stage, scope).await;
    stage
}

/// The owner allows `scope`, Jane opens a grant for it, and the gate knows.
pub(crate) async fn allow(stage: &Stage, scope: &str) {
    let consent = format!(r#"{{"mode":"standing","scope":"{scope}"}}"#);
    let (status, answer) = stage.set_consent(CUSTOMER, &consent).expect("an answer");
    assert_eq!(status, 200, "{answer}");
    stage.grant(CUSTOMER, scope).expect("a grant");
    // A change reaches the gate soon, not at once; its greeting tells the scope.
    let greeting = format!("access to customer \"{CUSTOMER}\" ({scope})");
    until("the gate knows the grant", async || {
        let (client, connection) = config(stage, WAITS).connect(tls(stage)).await.ok()?;
        let mut person = Person::driven(client, connection);
        match within(person.heard.recv()).await {
            Some(AsyncMessage::Notice(notice)) => notice.message().starts_with(&greeting).then_some(()),
            Some(_) | None => None,
        }
    })
    .await;
}

/// A connection of tokio-postgres and what the server said unasked.
pub(crate) struct Person {
    pub(crate) client: Client,
    pub(crate) heard: mpsc::UnboundedReceiver<AsyncMessage>,
    pub(crate) driver: tokio::task::JoinHandle<()>,
}

impl Person {
    /// Through the gate.
    pub(crate) async fn at_the_gate(stage: &Stage, application: &str) -> Person {
        let config = config(stage, application);
        let (client, connection) = config.connect(tls(stage)).await.expect("in");
        Person::driven(client, connection)
    }

    /// Past the gate, as superuser.
    pub(crate) async fn direct(stage: &Stage) -> Person {
        let dsn = stage.cluster.superuser_dsn(CUSTOMER);
        let (client, connection) = tokio_postgres::connect(&dsn, NoTls).await.expect("in");
        Person::driven(client, connection)
    }

    fn driven<S, T>(client: Client, mut connection: tokio_postgres::Connection<S, T>) -> Person
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
        T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let (say, heard) = mpsc::unbounded_channel();
        let driver = tokio::spawn(async move {
            while let Some(Ok(message)) = std::future::poll_fn(|cx| connection.poll_message(cx)).await {
                // A person who left hears nothing.
                say.send(message).unwrap_or_default();
            }
        });
        Person { client, heard, driver }
    }

    /// Leaves with a Terminate and waits until the connection is closed.
    pub(crate) async fn leave(self) {
        drop(self.client);
        within(self.driver).await.expect("no panic");
    }
}

/// Trusts the gate's certificate authority and nothing else.
pub(crate) fn tls(stage: &Stage) -> VerifiedTls {
    let tls = client_config(&stage.cluster.certificates().gate_ca, None).expect("files");
    VerifiedTls::new(tls, "localhost").expect("a name")
}

fn config(stage: &Stage, application: &str) -> Config {
    let mut config = Config::new();
    config.host("localhost").port(stage.gate_port()).dbname(CUSTOMER).user(STAFF).application_name(application);
    config.password(stage.secret(&format!("{STAFF}.password")).expect("a password"));
    config.ssl_mode(SslMode::Require);
    config
}

/// psql past the gate, as superuser.
pub(crate) fn direct_psql(stage: &Stage) -> Command {
    let mut psql = Command::new("psql");
    psql.arg(stage.cluster.superuser_dsn(CUSTOMER)).args(["-X", "-w", "-v", "ON_ERROR_STOP=1"]).stdin(Stdio::null());
    psql
}

/// An empty table that a writing grant may import into.
pub(crate) async fn table_to_import_into(stage: &Stage) {
    let table = "set role app; create table imported (id int primary key, name text)";
    stage.cluster.run_sql(CUSTOMER, table).await.expect("a table");
    let dsn = stage.path(&format!("{CUSTOMER}.dsn"));
    let fence = ["fence", "apply", "--database", CUSTOMER, "--superuser-dsn-file", dsn.to_str().expect("UTF-8")];
    let rest = ["--keep", APPLICATION, "--close", "postgres", "--close", "template1"];
    stage.run(&[fence.as_slice(), &rest].concat()).expect("a fence that takes it in");
}

/// The sources' own folder.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Runs a script through the gate and past it. Both must print the same, which is answered.
pub(crate) async fn same(gated: Command, direct: Command) -> String {
    let (gated, direct) = (run(gated).await, run(direct).await);
    assert!(gated.status.success(), "through the gate: {}", said(&gated));
    assert!(direct.status.success(), "past it: {}", said(&direct));
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let (gated, direct) = (text(gated.stdout), text(direct.stdout));
    for (number, (one, other)) in gated.lines().zip(direct.lines()).enumerate() {
        assert_eq!(one, other, "line {number}");
    }
    assert_eq!(gated, direct);
    gated
}

/// Runs a client to its end, within bounds.
pub(crate) async fn run(command: Command) -> Output {
    let mut command = tokio::process::Command::from(command);
    within(command.kill_on_drop(true).output()).await.expect("it runs")
}

/// Waits, but not forever.
pub(crate) async fn within<F: Future>(what: F) -> F::Output {
    tokio::time::timeout(WITHIN, what).await.expect("in time")
}

/// Looks again and again until there is something.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(since.elapsed() < WITHIN, "in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Waits until somebody's statement with that text runs on the server; answers its backend.
pub(crate) async fn is_running(stage: &Stage, text: &str) -> i32 {
    let sql = format!(
        "select pid from pg_stat_activity \
         where usename like 'pr\\_g\\_%' and state = 'active' and query like '%{text}%'"
    );
    until(text, async || {
        let rows = stage.cluster.run_sql("postgres", &sql).await.expect("an answer");
        rows.into_iter().flatten().flatten().next().and_then(|pid| pid.parse().ok())
    })
    .await
}

/// The lines of the server's own log.
pub(crate) fn server_log(stage: &Stage) -> Vec<serde_json::Value> {
    let path = stage.cluster.directory().join("data").join(Path::new("log/server.json"));
    let text = std::fs::read_to_string(&path).expect("the server's log");
    // The last line may be under way.
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}
