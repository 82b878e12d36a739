//! The stage: acme open for reading, jane who works there, lena who leads.
//! Not here: what is tried on it.

use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use portreeve::cli::demo::stage::{self, STAFF, Stage, said};
use serde_json::Value;

/// Whatever should happen soon happens within this.
pub(crate) const SOON: Duration = Duration::from_secs(15);

/// The member of staff who leads.
pub(crate) const LEAD: &str = "lena";

pub(crate) struct Ground {
    pub(crate) stage: Stage,
}

impl Ground {
    /// Lines go into sections of the configuration.
    pub(crate) async fn new(lines: &[(&str, &str)]) -> Ground {
        let lines = lines.iter().map(|(section, line)| ((*section).to_owned(), (*line).to_owned())).collect();
        let cache = Some(env!("CARGO_TARGET_TMPDIR").into());
        let binary = env!("CARGO_BIN_EXE_portreeve");
        let settings = stage::Settings { cache, lines, seed: false, ..stage::Settings::new(binary) };
        let stage = Stage::set_up(settings).await.expect("a stage");
        let ground = Ground { stage };
        let file = ground.stage.write_secret(&format!("{LEAD}.password"), "correct horse battery").expect("a file");
        ground.must(&["staff", "create", LEAD, "--password-file", &file.to_string_lossy()]);
        ground.must(&["team", "add", "support", LEAD, "--role", "lead"]);
        let (status, answer) = ground.stage.set_consent("acme", r#"{"mode":"standing","scope":"read"}"#).expect("on");
        assert_eq!(status, 200, "{answer}");
        ground
    }

    /// What a command of ours says; it must succeed.
    pub(crate) fn must(&self, arguments: &[&str]) -> String {
        said(&self.stage.run(arguments).expect("the command succeeds"))
    }

    /// How a command of ours ends.
    pub(crate) fn portreeve(&self, arguments: &[&str]) -> Output {
        self.stage.command(arguments).output().expect("it runs")
    }

    /// The same, with somebody's own password.
    pub(crate) fn as_staff(&self, who: &str, arguments: &[&str]) -> Output {
        let file = self.stage.path(&format!("{who}.password"));
        let file = file.to_string_lossy();
        self.portreeve(&[arguments, &["--as", who, "--password-file", &file]].concat())
    }

    /// One row of what a listing says, as JSON.
    pub(crate) fn shown(&self, arguments: &[&str]) -> Value {
        let said = self.must(&[&["--format", "json"], arguments].concat());
        let rows: Value = serde_json::from_str(&said).expect("JSON");
        if rows.is_array() { rows.get(0).cloned().unwrap_or_default() } else { rows }
    }

    /// psql with one statement, tried until the gate has heard of what was allowed a moment ago.
    pub(crate) fn psql_soon(&self, statement: &str) -> Output {
        let until = Instant::now() + SOON;
        loop {
            let mut psql = self.stage.psql("acme").expect("psql");
            let output = psql.args(["-c", statement]).output().expect("psql runs");
            if output.status.success() || Instant::now() > until {
                return output;
            }
        }
    }

    /// psql as anybody, at a customer or at the desk, with one line.
    pub(crate) fn psql_as(&self, who: &str, database: &str, line: &str) -> Output {
        let mut psql = Command::new("psql");
        psql.arg(self.stage.conninfo(database).replace(&format!("user={STAFF}"), &format!("user={who}")));
        let password = self.stage.secret(&format!("{who}.password")).expect("a password");
        psql.args(["-X", "-w", "-A", "-F", "|", "-c", line]).env("PGPASSWORD", password).env("PGCONNECT_TIMEOUT", "20");
        psql.stdin(Stdio::null()).output().expect("psql runs")
    }

    /// psql with one statement, as it is.
    pub(crate) fn psql(&self, statement: &str) -> Output {
        self.stage.psql("acme").expect("psql").args(["-c", statement]).output().expect("psql runs")
    }

    /// A session of jane's that is in the midst of a statement.
    pub(crate) async fn busy_session(&self) -> Child {
        let first = self.psql_soon("select 1");
        assert!(first.status.success(), "{}", said(&first));
        let mut psql = self.stage.psql("acme").expect("psql");
        psql.args(["-c", "select pg_sleep(120)"]).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = psql.spawn().expect("psql starts");
        let until = Instant::now() + SOON;
        let sql = "select 1 from pg_stat_activity where usename like 'pr\\_g\\_%' and query like '%pg_sleep(120)%'";
        while self.stage.cluster.run_sql("postgres", sql).await.expect("activity").is_empty() {
            assert!(Instant::now() < until, "the session does not begin");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        child
    }

    /// The sessions' roles that have a backend now.
    pub(crate) async fn backends(&self) -> usize {
        let sql = "select 1 from pg_stat_activity where usename like 'pr\\_g\\_%'";
        self.stage.cluster.run_sql("postgres", sql).await.expect("activity").len()
    }

    /// Opens a grant for jane.
    pub(crate) fn grant(&self) {
        self.stage.grant("acme", "read").expect("a grant");
    }
}

/// How a session ended: within a moment, told why.
pub(crate) fn ended(child: Child, since: Instant, says: &str) {
    let output = child.wait_with_output().expect("psql ends");
    let took = since.elapsed();
    assert!(!output.status.success() && said(&output).contains(says), "{}", said(&output));
    assert!(took < Duration::from_secs(5), "it took {took:?}");
}
