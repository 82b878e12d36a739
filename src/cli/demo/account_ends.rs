//! The last part of the story: an owner closes an account, its rows go, and a certificate says so that anybody can check.
//! Not here: the other steps (`story.rs`). One turn of the daemon at a time, so that each can be shown.

use super::story::{Broken, Story, Told, say, show};
use crate::cli::Exit;
use crate::cli::demo::stage::{SHARED_DATABASE, said};

/// In so many turns of the daemon the rows must be gone.
const TURNS: usize = 4;
/// Where the public key of retention's log is.
const KEY: &str = "log-keys/retention-keeper-1.vkey";
/// Rows of initech, tenant 7, in every table.
const ROWS: &str = "select (select count(*) from contacts where tenant_id = 7), \
                    (select count(*) from orders where tenant_id = 7)";
/// Everything in the same tables that is not initech's.
const OTHERS: &str = "select count(*), md5(string_agg(c::text, ',' order by tenant_id, id)), \
                      (select md5(string_agg(o::text, ',' order by tenant_id, id)) from orders o where tenant_id <> 7) \
                      from contacts c where tenant_id <> 7";

impl Story<'_> {
    pub(super) async fn account_ends(&mut self) -> Told {
        self.closed().await?;
        self.removed().await?;
        self.certificate_is_right()
    }

    async fn closed(&mut self) -> Told {
        self.begin(
            "The owner of initech closes the account. The retention daemon keeps an archive and shows its dates.",
        );
        self.stage.prepare_retention().await.map_err(|error| self.broken(error))?;
        self.step("close")?;
        let turn = self.portreeve(&["retention", "run", "--once"])?;
        self.promise(turn.status.success(), "the turn did not go well", &turn)?;
        let plan = self.portreeve(&["retention", "plan"])?;
        show(&said(&plan));
        self.promise(said(&plan).contains("customer"), "the plan does not show the account", &plan)?;
        let status = self.portreeve(&["retention", "status"])?;
        show(&said(&status));
        self.promise(said(&status).contains("account-waits"), "it is not told what is waited for", &status)?;
        let (_, account) = self.account("GET", "account", None)?;
        self.checked(account.contains("archive-"), "the owner is offered no archive", &account)
    }

    async fn removed(&mut self) -> Told {
        self.begin(
            "The owner asks for immediate removal. The rows go; umbrella's, in the same tables, stay as they are.",
        );
        let before = self.rows(OTHERS).await?;
        let rows = self.rows(ROWS).await?;
        say(&format!("   initech's contacts and orders: {rows}"));
        self.checked(rows == "400, 800", "not initech's rows", &rows)?;
        self.step("immediate")?;
        for _ in 0..TURNS {
            let turn = self.portreeve(&["retention", "run", "--once"])?;
            self.promise(turn.status.success(), "the turn did not go well", &turn)?;
            if self.rows(ROWS).await? == "0, 0" {
                break;
            }
        }
        let rows = self.rows(ROWS).await?;
        say(&format!("   initech's contacts and orders, as the superuser sees them: {rows}"));
        self.checked(rows == "0, 0", "rows are left", &rows)?;
        let after = self.rows(OTHERS).await?;
        say(&format!("   umbrella's contacts and digests: {after}"));
        self.checked(before == after, "umbrella's rows were changed", &after)
    }

    fn certificate_is_right(&mut self) -> Told {
        self.begin("The owner takes the certificate home and checks it. One flipped byte is found.");
        let (_, certificate) = self.account("GET", "files/certificate.json", None)?;
        let output = self.verify("certificate.json", certificate.as_bytes())?;
        show(&said(&output));
        self.promise(output.status.success(), "the certificate does not verify", &output)?;
        let mut flipped = certificate.into_bytes();
        let middle = flipped.len() / 2;
        if let Some(byte) = flipped.get_mut(middle) {
            *byte ^= 1;
        }
        say(&format!("   flipped: the lowest bit of byte {middle}"));
        let output = self.verify("certificate-flipped.json", &flipped)?;
        show(&said(&output));
        let is_found = output.status.code() == Some(i32::from(Exit::Findings as u8));
        self.promise(is_found, "the flipped byte was not found", &output)
    }

    fn verify(&self, name: &str, certificate: &[u8]) -> Result<std::process::Output, Broken> {
        let (file, key) = (self.stage.path(name), self.stage.path(KEY));
        std::fs::write(&file, certificate).map_err(|error| self.broken(error))?;
        self.portreeve(&["verify-proof", &file.to_string_lossy(), "--key", &key.to_string_lossy()])
    }

    /// A step of the owner of initech, who confirms it by the account's name.
    fn step(&self, step: &str) -> Told {
        let body = r#"{"confirm":"initech"}"#;
        say(&format!("   $ curl -X POST https://localhost/v1/customers/initech/account/{step} -d '{body}'"));
        self.account("POST", &format!("account/{step}"), Some(body)).map(drop)
    }

    fn account(&self, verb: &str, path: &str, body: Option<&str>) -> Result<(u16, String), Broken> {
        let path = format!("/v1/customers/initech/{path}");
        let answer = self.stage.api("initech", verb, &path, body).map_err(|error| self.broken(error))?;
        self.checked(answer.0 == 200, "the portal refused", &answer.1)?;
        Ok(answer)
    }

    fn checked(&self, kept: bool, otherwise: &str, found: &str) -> Told {
        if kept { Ok(()) } else { Err(self.broken(format!("{otherwise}: {found}"))) }
    }

    /// The first row, as the superuser sees it.
    async fn rows(&self, sql: &str) -> Result<String, Broken> {
        let rows = self.stage.cluster.run_sql(SHARED_DATABASE, sql).await.map_err(|error| self.broken(error))?;
        let row: Vec<String> = rows.into_iter().next().into_iter().flatten().flatten().collect();
        Ok(row.join(", "))
    }
}
