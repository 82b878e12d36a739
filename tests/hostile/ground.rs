//! What these tests stand on: a stage, what is recorded on it, and the oracle that holds after each group.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use portreeve::cli::demo::stage::{Settings, Stage, said};
use portreeve::net::tls_connect::client_config;
use rustls::ClientConfig;
use serde_json::Value;
use tokio::time::{Instant, sleep};

/// How long anything that should happen may take on a busy machine; a hang is a failure after it.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What the audit log must hold of one act.
#[derive(Debug)]
struct Expected {
    /// Found by this text: usually the client's address, which no other client of the test shares.
    text: String,
    kind: &'static str,
    verb: &'static str,
    /// What the record's result begins with: an SQLSTATE, mostly.
    result: &'static str,
    /// So many records like it there must be.
    count: usize,
}

impl Expected {
    fn is(&self, row: &Value) -> bool {
        let field = |name: &str| row[name].as_str().unwrap_or_default();
        let is_so = field("verb") == self.verb && field("result").starts_with(self.result);
        is_so && row.to_string().contains(&self.text)
    }
}

pub(crate) struct Ground {
    pub(crate) stage: Stage,
    expected: Vec<Expected>,
}

impl Ground {
    /// A stage with these lines in its configuration and these parameters of the server.
    pub(crate) async fn with(lines: &[(&str, &str)], parameters: &[(&str, &str)]) -> Ground {
        let owned = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect::<Vec<_>>()
        };
        let mut settings = Settings::new(env!("CARGO_BIN_EXE_portreeve"));
        settings.cache = Some(env!("CARGO_TARGET_TMPDIR").into());
        settings.lines = owned(lines);
        settings.parameters = owned(parameters);
        Ground { stage: Stage::set_up(settings).await.expect("a stage"), expected: Vec::new() }
    }

    /// The owner allows `scope`, and the member of staff has a grant.
    pub(crate) fn open(&self, customer: &str, scope: &str) {
        let body = format!(r#"{{"mode":"standing","scope":"{scope}"}}"#);
        let (status, answer) = self.stage.set_consent(customer, &body).expect("the portal answers");
        assert_eq!(status, 200, "{answer}");
        self.stage.grant(customer, scope).expect("a grant");
    }

    /// TLS that trusts the gate, as a client of PostgreSQL 17 or newer has it: with ALPN.
    pub(crate) fn tls(&self) -> Arc<ClientConfig> {
        client_config(&self.stage.cluster.certificates().gate_ca, None).expect("the gate's CA")
    }

    /// The same with other protocols in ALPN, or none.
    pub(crate) fn tls_with_alpn(&self, protocols: &[&[u8]]) -> Arc<ClientConfig> {
        let mut config = ClientConfig::clone(&self.tls());
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        Arc::new(config)
    }

    /// A password that works.
    pub(crate) fn password(&self) -> String {
        self.stage.secret("jane.password").expect("the password file")
    }

    /// What the server logged.
    pub(crate) fn server_log(&self) -> String {
        let path = self.stage.cluster.directory().join("server.log");
        String::from_utf8_lossy(&std::fs::read(path).expect("the server's log")).into_owned()
    }

    /// What the proxy logged.
    pub(crate) fn proxy_log(&self) -> String {
        std::fs::read_to_string(self.stage.path("proxy.log")).expect("the proxy's log")
    }

    /// Waits until the proxy's log has, after its first `from` bytes, a line with all of these words.
    pub(crate) async fn proxy_says(&self, from: usize, words: &[&str]) {
        let until = Instant::now() + PATIENCE;
        loop {
            let log = self.proxy_log();
            let new = log.get(from..).unwrap_or_default();
            if new.lines().any(|line| words.iter().all(|word| line.contains(word))) {
                return;
            }
            assert!(Instant::now() < until, "no line with {words:?} in:\n{new}");
            sleep(Duration::from_millis(10)).await;
        }
    }

    /// A refusal must be recorded, of the client at that address.
    pub(crate) fn expect_refused(&mut self, address: SocketAddr, verb: &'static str, result: &'static str) {
        self.expect(address.to_string(), "refused", verb, result);
    }

    /// The end of a session must be recorded, of the client at that address.
    pub(crate) fn expect_ended(&mut self, address: SocketAddr, verb: &'static str, result: &'static str) {
        self.expect(address.to_string(), "session-ended", verb, result);
    }

    /// A record of that kind, with that text somewhere in it, must be there when the group is over.
    pub(crate) fn expect(
        &mut self,
        text: impl Into<String>,
        kind: &'static str,
        verb: &'static str,
        result: &'static str,
    ) {
        self.expected.push(Expected { text: text.into(), kind, verb, result, count: 1 });
    }

    /// The same of acts that are still to come, where older records have the text as well: so many more than there are now.
    /// Those of acts before must be there: `holds` waits for them.
    pub(crate) fn expect_more(
        &mut self,
        more: usize,
        text: impl Into<String>,
        kind: &'static str,
        verb: &'static str,
        result: &'static str,
    ) {
        let mut expected = Expected { text: text.into(), kind, verb, result, count: more };
        expected.count += self.search(&["--kind", kind]).iter().filter(|row| expected.is(row)).count();
        self.expected.push(expected);
    }

    /// The oracle: whatever was expected is recorded, the logs verify, the proxy is alive and never panicked.
    pub(crate) async fn holds(&mut self) {
        self.recorded().await;
        let verified = self.stage.command(&["audit", "verify"]).output().expect("portreeve runs");
        assert!(verified.status.success(), "{}", said(&verified));
        let log = self.proxy_log();
        assert!(!log.contains("panicked"), "{log}");
        let proxy = self.stage.proxy.as_mut().expect("the proxy runs");
        assert_eq!(proxy.wait(Duration::ZERO).expect("its state"), None, "the proxy ended:\n{log}");
    }

    /// Outcomes and ends are written within a second of happening, so they are waited for.
    async fn recorded(&mut self) {
        let until = Instant::now() + PATIENCE;
        let mut missing = std::mem::take(&mut self.expected);
        while !missing.is_empty() {
            let kinds: BTreeSet<&str> = missing.iter().map(|expected| expected.kind).collect();
            for kind in kinds {
                let found = self.search(&["--kind", kind]);
                let count = |expected: &Expected| found.iter().filter(|row| expected.is(row)).count();
                missing.retain(|expected| expected.kind != kind || count(expected) < expected.count);
            }
            assert!(missing.is_empty() || Instant::now() < until, "not recorded: {missing:#?}");
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// The records of that kind with that text in them, oldest first.
    pub(crate) fn records(&self, kind: &str, text: &str) -> Vec<Value> {
        self.search(&["--kind", kind, "--text", text])
    }

    fn search(&self, arguments: &[&str]) -> Vec<Value> {
        let search = ["--format", "json", "audit", "search", "--limit", "0"];
        let output = self.stage.run(&[&search, arguments].concat()).expect("the logs are readable");
        let rows = String::from_utf8(output.stdout).expect("JSON is UTF-8");
        rows.lines().map(|row| serde_json::from_str(row).expect("a row is JSON")).collect()
    }

    /// psql with these connection settings instead of the usual ones, run to its end.
    pub(crate) fn psql(&self, conninfo: &str, statement: &str) -> Output {
        let passfile = self.stage.passfile().expect("a password file");
        self.psql_command(&format!("{conninfo} passfile={}", passfile.display()), statement)
            .output()
            .expect("psql runs")
    }

    /// psql with exactly these connection settings, ready to run.
    pub(crate) fn psql_command(&self, conninfo: &str, statement: &str) -> Command {
        let mut psql = Command::new("psql");
        psql.arg(conninfo).args(["-X", "-w", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", statement]);
        psql.env("PGCONNECT_TIMEOUT", "20").stdin(Stdio::null());
        psql
    }

    /// Waits until so many backends run a statement with that text.
    pub(crate) async fn running(&self, customer: &str, text: &str, count: usize) {
        let sql = format!(
            "select pid from pg_stat_activity where usename like 'pr_g_%' and state = 'active' and query like '%{text}%'"
        );
        let until = Instant::now() + PATIENCE;
        loop {
            let rows = self.stage.cluster.run_sql(customer, &sql).await.expect("the server answers");
            if rows.len() == count {
                return;
            }
            assert!(Instant::now() < until, "{} run {text}, not {count}", rows.len());
            sleep(Duration::from_millis(10)).await;
        }
    }
}
