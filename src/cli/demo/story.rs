//! The story of the demonstration, step by step, each told with the real clients and checked.
//! Not here: what it plays on (`stage.rs`), asking (`asked.rs`), the end of an account (`account_ends.rs`).

use std::io::{self, Write as _};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use super::stage::{STAFF, Stage, said};
use crate::cli::Exit;

/// How long something that should happen at once may take before the story says that it did not.
const WITHIN: Duration = Duration::from_secs(10);
/// How long a running statement may live after the owner switched off: a backend is gone within 1 s by design.
const STOPPED_WITHIN: Duration = Duration::from_secs(3);

/// A step that was not as promised.
#[derive(Debug, thiserror::Error)]
#[error("step \"{step}\" is not as promised: {found}")]
pub struct Broken {
    step: &'static str,
    found: String,
}

/// Tells the story on a stage.
pub struct Story<'a> {
    pub(super) stage: &'a Stage,
    number: usize,
    step: &'static str,
}

pub(super) type Told = Result<(), Broken>;

impl<'a> Story<'a> {
    /// A story that has not begun.
    pub fn on(stage: &'a Stage) -> Story<'a> {
        Story { stage, number: 0, step: "" }
    }

    /// Tells it from beginning to end.
    ///
    /// # Errors
    /// The first step that is not as promised.
    pub async fn tell(&mut self) -> Told {
        self.refused()?;
        self.switched_on()?;
        self.query_works()?;
        self.other_customer_stays_closed()?;
        self.asked_approved_over()?;
        self.shared_tables_show_one_customer()?;
        self.record_is_there()?;
        self.stopped_in_the_middle().await?;
        self.verified()?;
        self.flipped_byte_is_found()?;
        self.account_ends().await
    }

    fn refused(&mut self) -> Told {
        self.begin("Jane tries acme's database. Its owner has not allowed anything yet.");
        let output = self.psql("acme", "select count(*) from contacts")?;
        self.promise(!output.status.success(), "psql got in", &output)?;
        let text = said(&output);
        self.promise(text.contains("switched off") && text.contains("HINT"), "the refusal does not help", &output)
    }

    fn switched_on(&mut self) -> Told {
        self.begin("The owner of acme switches support access on (reading only); Jane opens a grant with a reason.");
        self.consent("acme", r#"{"mode":"standing","scope":"read"}"#)?;
        let output = self.stage.grant("acme", "read").map_err(|error| self.broken(error))?;
        show(&said(&output));
        Ok(())
    }

    fn query_works(&mut self) -> Told {
        self.begin("Now the same psql works. Every statement is durable in the audit log before a row is shown.");
        let output = self.psql("acme", "select id, full_name, email from contacts order by id limit 3")?;
        self.promise(output.status.success() && said(&output).contains("(3 rows)"), "the query failed", &output)?;
        let write = self.psql("acme", "update contacts set full_name = 'x' where id = 1")?;
        self.promise(said(&write).contains("permission denied"), "a reading grant could write", &write)
    }

    fn other_customer_stays_closed(&mut self) -> Told {
        self.begin("globex allowed nothing: it stays closed for Jane.");
        let output = self.psql("globex", "select count(*) from contacts")?;
        self.promise(!output.status.success() && said(&output).contains("globex"), "psql got into globex", &output)
    }

    fn shared_tables_show_one_customer(&mut self) -> Told {
        self.begin(
            "initech and umbrella have their rows in the same tables. initech's grant shows initech's rows only.",
        );
        self.consent("initech", r#"{"mode":"standing","scope":"read"}"#)?;
        let output = self.stage.grant("initech", "read").map_err(|error| self.broken(error))?;
        show(&said(&output));
        let each = "select tenant_id, count(*) from contacts group by tenant_id";
        let output = self.psql("initech", each)?;
        let is_one = said(&output).contains("(1 row)") && said(&output).contains("7 |   400");
        self.promise(output.status.success() && is_one, "not initech's 400 contacts", &output)?;
        for escape in ["set role portreeve_shared_read", "set app.tenant = '8'", "reset all"] {
            let output = self.psql("initech", &format!("{escape}; select count(*) from orders where tenant_id = 8"))?;
            self.promise(said(&output).contains("    0"), "umbrella's orders showed", &output)?;
        }
        let output = self.psql("initech", "set row_security = off; select * from orders")?;
        let is_refused = said(&output).contains("query would be affected by row-level security");
        self.promise(!output.status.success() && is_refused, "row security could be switched off", &output)?;
        let output = self.psql("umbrella", each)?;
        self.promise(!output.status.success() && said(&output).contains("umbrella"), "psql got into umbrella", &output)
    }

    fn record_is_there(&mut self) -> Told {
        self.begin("An auditor opens the record: who, when, why, the statement, how many rows.");
        let until = Instant::now() + WITHIN;
        loop {
            let output = self.portreeve(&["audit", "search", "--customer", "acme", "--kind", "statement"])?;
            let text = said(&output);
            let is_there = ["order by id limit 3", "permission denied", STAFF].iter().all(|part| text.contains(part));
            if is_there || Instant::now() >= until {
                show(&text);
                return self.promise(is_there, "the statement is not in the log", &output);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    async fn stopped_in_the_middle(&mut self) -> Told {
        self.begin("The owner allows changes. Jane starts a long UPDATE. While it runs, the owner switches off.");
        self.consent("acme", r#"{"mode":"standing","scope":"write"}"#)?;
        self.stage.grant("acme", "write").map_err(|error| self.broken(error))?;
        let before = self.names().await?;
        let update = "update contacts set full_name = 'changed' || pg_sleep(0.02)::text";
        let psql = self.start_psql("acme", update)?;
        self.wait_until_it_has_changed_rows().await?;
        let off = Instant::now();
        self.consent("acme", r#"{"mode":"off"}"#)?;
        let output = self.wait(psql)?;
        let took = off.elapsed();
        show(&said(&output));
        say(&format!("   psql was told {} ms after the owner's click.", took.as_millis()));
        self.promise(!output.status.success(), "the UPDATE was not stopped", &output)?;
        self.promise(took < STOPPED_WITHIN, "it took too long", &output)?;
        let is_told = said(&output).contains("access to customer \"acme\" has ended");
        self.promise(is_told, "psql was not told why", &output)?;
        let after = self.names().await?;
        self.promise(before == after, "rows were changed", &output)?;
        say("   Not one row was changed. The record says so:");
        let output =
            self.portreeve(&["--format", "json", "audit", "search", "--customer", "acme", "--kind", "session-ended"])?;
        let text = said(&output);
        let last = text.lines().last().unwrap_or_default().to_owned();
        show(&last);
        let is_told = last.contains("consent-off") && last.contains("aborted");
        self.promise(is_told, "the end is not recorded with its reason and the transaction's fate", &output)
    }

    fn verified(&mut self) -> Told {
        self.begin(
            "`portreeve audit verify` checks every log from its first byte: nothing was changed, nothing is missing.",
        );
        let output = self.portreeve(&["audit", "verify"])?;
        show(&said(&output));
        self.promise(output.status.success(), "the log does not verify", &output)
    }

    fn flipped_byte_is_found(&mut self) -> Told {
        self.begin("In a copy of the logs one bit of one byte is flipped. The same check finds it and says where.");
        let copy = self.stage.path("audit-copy");
        let flipped = copy_with_a_flipped_byte(&self.stage.audit(), &copy).map_err(|error| self.broken(error))?;
        say(&format!("   flipped: {flipped}"));
        let output = self.portreeve(&["audit", "verify", "--directory", &copy.to_string_lossy()])?;
        show(&said(&output));
        let text = said(&output);
        let is_placed = text.lines().any(|line| line.contains("proxy-gate-1") && line.contains(".segment"));
        let is_found = output.status.code() == Some(i32::from(Exit::Findings as u8)) && is_placed;
        self.promise(is_found, "the flipped byte was not found, or not where it is", &output)
    }

    /// Says how to go on by hand, with access switched on for that.
    pub fn invite(&mut self) -> Told {
        self.begin("Your turn. acme is open for reading for an hour; this stays up until Ctrl-C.");
        self.consent("acme", r#"{"mode":"standing","scope":"read"}"#)?;
        self.stage.grant("acme", "read").map_err(|error| self.broken(error))?;
        let passfile = self.stage.passfile().map_err(|error| self.broken(error))?;
        let secret = self.stage.secret("owner-acme.password").map_err(|error| self.broken(error))?;
        say(&format!("\n   PGPASSFILE={} psql \"{}\"\n", passfile.display(), self.stage.conninfo("acme")));
        say(&format!("   The owner's page: https://localhost:{}/", self.stage.portal_port()));
        say(&format!("   Sign in as {} with password {secret}", super::stage::owner("acme")));
        say(&format!("   (its certificate authority: {})", self.stage.cluster.certificates().gate_ca.display()));
        say(&format!("   Configuration and logs: {}", self.stage.configuration().display()));
        Ok(())
    }

    pub(super) fn begin(&mut self, step: &'static str) {
        self.number += 1;
        self.step = step;
        say(&format!("\n{}. {step}", self.number));
    }

    pub(super) fn broken(&self, found: impl ToString) -> Broken {
        Broken { step: self.step, found: found.to_string() }
    }

    pub(super) fn promise(&self, kept: bool, otherwise: &str, output: &Output) -> Told {
        if kept { Ok(()) } else { Err(self.broken(format!("{otherwise}:\n{}", said(output)))) }
    }

    pub(super) fn psql(&self, customer: &str, statement: &str) -> Result<Output, Broken> {
        let psql = self.start_psql(customer, statement)?;
        let output = self.wait(psql)?;
        show(&said(&output));
        Ok(output)
    }

    fn start_psql(&self, customer: &str, statement: &str) -> Result<Child, Broken> {
        say(&format!("   $ psql \"host=localhost … dbname={customer} user={STAFF}\" -c \"{statement}\""));
        let mut psql = self.stage.psql(customer).map_err(|error| self.broken(error))?;
        psql.args(["-c", statement]).stdout(Stdio::piped()).stderr(Stdio::piped());
        psql.spawn().map_err(|error| self.broken(error))
    }

    fn wait(&self, child: Child) -> Result<Output, Broken> {
        child.wait_with_output().map_err(|error| self.broken(error))
    }

    pub(super) fn portreeve(&self, arguments: &[&str]) -> Result<Output, Broken> {
        say(&format!("   $ portreeve {}", arguments.join(" ")));
        let mut command: Command = self.stage.command(arguments);
        command.output().map_err(|error| self.broken(error))
    }

    pub(super) fn consent(&self, customer: &str, body: &str) -> Told {
        say(&format!("   $ curl -X PUT https://localhost/v1/customers/{customer}/consent -d '{body}'"));
        let (status, answer) = self.stage.set_consent(customer, body).map_err(|error| self.broken(error))?;
        if status == 200 { Ok(()) } else { Err(self.broken(format!("the portal answered {status}: {answer}"))) }
    }

    async fn names(&self) -> Result<Vec<Vec<Option<String>>>, Broken> {
        let sql = "select count(*), md5(string_agg(full_name, ',' order by id)) from contacts";
        self.stage.cluster.run_sql("acme", sql).await.map_err(|error| self.broken(error))
    }

    /// Waits until the UPDATE runs in a transaction that has written something.
    async fn wait_until_it_has_changed_rows(&self) -> Told {
        let until = Instant::now() + WITHIN;
        let sql = "select pid from pg_stat_activity where usename like 'pr_g_%' and state = 'active' \
                   and backend_xid is not null";
        while Instant::now() < until {
            let rows = self.stage.cluster.run_sql("acme", sql).await.map_err(|error| self.broken(error))?;
            if !rows.is_empty() {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Err(self.broken("the UPDATE did not begin"))
    }
}

/// Copies the logs and flips the lowest bit of the first byte of ciphertext-sized distance into the gate's log.
fn copy_with_a_flipped_byte(from: &Path, to: &Path) -> io::Result<String> {
    copy(from, to)?;
    let log = to.join("proxy-gate-1");
    let mut segments: Vec<_> = std::fs::read_dir(&log)?.collect::<Result<Vec<_>, _>>()?;
    segments.sort_by_key(std::fs::DirEntry::file_name);
    let is_segment = |entry: &&std::fs::DirEntry| entry.metadata().is_ok_and(|about| about.len() > 64 * 1024);
    let segment = segments.iter().find(is_segment).ok_or(io::ErrorKind::NotFound)?.path();
    let mut bytes = std::fs::read(&segment)?;
    // The first block is the segment's header; the second holds the first batch.
    let offset = 4096 + 700;
    let byte = bytes.get_mut(offset).ok_or(io::ErrorKind::UnexpectedEof)?;
    *byte ^= 1;
    std::fs::write(&segment, &bytes)?;
    Ok(format!("byte {offset} of {}", segment.display()))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    std::fs::create_dir_all(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            std::fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

pub(super) fn show(text: &str) {
    for line in text.lines() {
        say(&format!("   | {line}"));
    }
}

/// A reader that went away does not stop the story.
pub(super) fn say(line: &str) {
    writeln!(io::stdout(), "{line}").unwrap_or_default();
}
