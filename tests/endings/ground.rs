//! The whole Portreeve the endings are tried on, and what owners, operators and staff do there.
//! Not here: sessions (`cast.rs`), and what is measured (`measured.rs`).

use std::path::PathBuf;
use std::time::{Duration, Instant};

use portreeve::audit::record::Skeleton;
use portreeve::cli::demo::stage::{self, Stage, said};
use portreeve::config::{self, Config};
use portreeve::grant::Trust;
use portreeve::keyring::init;
use portreeve::register::Register;
use serde_json::Value;

use crate::auditor::Auditor;
use crate::client::{Session, sign_in, words};

/// The second member of staff.
pub(crate) const OTHER: &str = "kim";

/// A change reaches the gate within 100 ms, 99 times in a hundred.
const HEARD_WITHIN: Duration = Duration::from_secs(1);

/// What somebody did, or what came about by itself at a certain time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Act {
    /// Before this it can have had no effect.
    pub(crate) began: Instant,
    /// By this whoever did it was answered; delays are counted from here.
    pub(crate) done: Instant,
}

impl Act {
    /// What comes about at that moment.
    pub(crate) fn at(moment: Instant) -> Act {
        Act { began: moment, done: moment }
    }

    /// How long after the answer an effect came: nothing, if while it was on its way. What came before the act was no
    /// effect of it.
    pub(crate) fn until(self, effect: Instant, what: &str) -> Duration {
        assert!(effect >= self.began, "{what} {:?} before the act", self.began.duration_since(effect));
        effect.saturating_duration_since(self.done)
    }
}

pub(crate) struct Ground {
    pub(crate) stage: Stage,
    pub(crate) auditor: Auditor,
    /// The skeletons of the session ends that were read so far.
    pub(crate) ends: Vec<Skeleton>,
}

impl Ground {
    /// Acme is open for writing, globex for reading; nobody has a grant. Lines go into sections of the configuration.
    pub(crate) async fn new(lines: &[(&str, &str)]) -> Ground {
        Ground::on(lines, None).await
    }

    /// The same, with the PostgreSQL whose programs are there.
    pub(crate) async fn on(lines: &[(&str, &str)], bin: Option<PathBuf>) -> Ground {
        let lines = lines.iter().map(|(section, line)| ((*section).to_owned(), (*line).to_owned())).collect();
        let cache = Some(env!("CARGO_TARGET_TMPDIR").into());
        let binary = env!("CARGO_BIN_EXE_portreeve");
        let settings = stage::Settings { cache, lines, bin, ..stage::Settings::new(binary) };
        let stage = Stage::set_up(settings).await.expect("a stage");
        let file = stage.write_secret(&format!("{OTHER}.password"), "correct horse battery").expect("a file");
        stage.run(&["staff", "create", OTHER, "--password-file", &file.to_string_lossy()]).expect("a staff member");
        let auditor = Auditor::new(&stage, &stage.audit()).await;
        let ground = Ground { stage, auditor, ends: Vec::new() };
        ground.open("acme", "write");
        ground.open("globex", "read");
        ground
    }

    /// The owner switches on; done when the portal answered.
    pub(crate) fn open(&self, customer: &str, scope: &str) -> Act {
        self.switch(customer, &format!(r#"{{"mode":"standing","scope":"{scope}"}}"#))
    }

    /// The owner switches off; done when the portal answered.
    pub(crate) fn close(&self, customer: &str) -> Act {
        self.switch(customer, r#"{"mode":"off"}"#)
    }

    fn switch(&self, customer: &str, body: &str) -> Act {
        let began = Instant::now();
        let (status, answer) = self.stage.set_consent(customer, body).expect("the portal");
        let act = Act { began, done: Instant::now() };
        assert_eq!(status, 200, "{answer}");
        act
    }

    /// A grant's id, such as `g17`.
    pub(crate) fn grant(&self, staff: &str, customer: &str, scope: &str, lasting: &str) -> String {
        let password = self.stage.path(&format!("{staff}.password"));
        #[rustfmt::skip]
        let arguments = [
            "--format", "json", "grant", "create", "--staff", staff, "--customer", customer, "--scope", scope,
            "--for", lasting, "--purpose", "fault", "--reason", "invoices show wrong totals", "--ticket", "SUP-1",
            "--password-file", &password.to_string_lossy(),
        ];
        let output = self.stage.run(&arguments).expect("a grant");
        let row: Value = serde_json::from_slice(&output.stdout).expect("one row of JSON");
        let row = if row.is_array() { row.get(0).cloned().unwrap_or_default() } else { row };
        row.get("id").and_then(Value::as_str).expect("its id").to_owned()
    }

    /// The sessions open on acme, by application name.
    pub(crate) fn sessions(&self) -> Vec<(String, String)> {
        let (status, answer) = self.stage.api("acme", "GET", "/v1/customers/acme/sessions", None).expect("the portal");
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        let rows = answer.get("sessions").or(Some(&answer)).and_then(Value::as_array).expect("an array").clone();
        let text = |row: &Value, key| row.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        rows.iter().map(|row| (text(row, "application"), text(row, "session"))).collect()
    }

    /// The owner of acme ends one session; done when the portal answered.
    pub(crate) fn end(&self, session: &str) -> Act {
        let path = format!("/v1/customers/acme/sessions/{session}/end");
        let began = Instant::now();
        let (status, answer) = self.stage.api("acme", "POST", &path, None).expect("the portal");
        let act = Act { began, done: Instant::now() };
        assert_eq!(status, 200, "{answer}");
        act
    }

    /// An operator's command; done when it exited.
    pub(crate) fn operator(&self, arguments: &[&str]) -> Act {
        let began = Instant::now();
        let output = self.stage.run(arguments).expect("an operator's command");
        let act = Act { began, done: Instant::now() };
        assert!(!said(&output).contains("warning"), "{}", said(&output));
        act
    }

    /// Everything an UPDATE of the cast could have changed.
    pub(crate) async fn rows(&self) -> Vec<Vec<Option<String>>> {
        let sql = "select (select md5(string_agg(full_name, ',' order by id)) from contacts), \
                   (select md5(string_agg(subject, ',' order by id)) from tickets)";
        self.stage.cluster.run_sql("acme", sql).await.expect("acme's rows")
    }

    /// The login roles of grants that exist now.
    pub(crate) async fn roles(&self) -> Vec<String> {
        let sql = "select rolname from pg_roles where rolname like 'pr\\_g\\_%' order by 1";
        let rows = self.stage.cluster.run_sql("postgres", sql).await.expect("roles");
        rows.into_iter().flatten().flatten().collect()
    }
}

/// The stage's register.
pub(crate) fn register(stage: &Stage) -> Register {
    let config = config::load(&stage.configuration()).expect("the stage's configuration");
    Register::open(&config.register.path, trust(&config)).expect("a register")
}

/// Whose signature the register's readers trust.
pub(crate) fn trust(config: &Config) -> Trust {
    Trust { portal_key: init::read_public_key(&config.portal.signing_public_key).expect("the portal's public key") }
}

/// Signs in as soon as the gate has heard that it may: a grant reaches it a moment after it was given.
pub(crate) async fn sign_in_soon(stage: &Stage, staff: &str, customer: &str, application: &str) -> Session {
    let until = Instant::now() + HEARD_WITHIN;
    loop {
        match sign_in(stage, staff, customer, application).await {
            Ok(session) => return session,
            Err(error) => assert!(Instant::now() < until, "{staff} cannot sign in: {}", words(&error)),
        }
    }
}
