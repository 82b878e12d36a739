//! The part of the story in which an owner is asked: request, approval for less, grant, expiry; and a code for the phone.
//! Not here: the other steps (`story.rs`).

use std::time::Instant;

use serde_json::Value;

use super::stage::{STAFF, said};
use super::story::{Broken, Story, Told, say, show};

/// For how long the owner lets Jane in: as short as the story is.
const VISIT: &str = "4s";
/// How long Jane's query would run.
const QUERY: &str = "select pg_sleep(30)";
/// How long a connection may take, from the approval on.
const SECONDS_MAX: u64 = 20;

impl Story<'_> {
    pub(super) fn asked_approved_over(&mut self) -> Told {
        self.begin("The owner of globex wants to be asked each time. Jane asks for an hour, and says why.");
        self.consent("globex", r#"{"mode":"per-request","scope":"read","terms":{"longest":"1h"}}"#)?;
        self.ask(&["--for", "1h", "--necessity", "the totals are in the rows themselves"])?;
        let listed = self.globex("GET", "requests", None)?;
        let asked = listed.get("requests").and_then(|all| all.get(0)).cloned().unwrap_or_default();
        let text = |name: &str| asked.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        show(&format!("{} asks: {} ({}), status {}", STAFF, text("reason"), text("ticket"), text("status")));
        self.is(text("status") == "open", "the owner does not see the request", &listed)?;

        self.begin("The owner lets her in, for four seconds. The visit ends in the middle of a query, by itself.");
        let approved = self.globex(
            "POST",
            &format!("requests/{}/approve", text("request")),
            Some(&format!(r#"{{"for":"{VISIT}"}}"#)),
        )?;
        self.is(approved.get("status").and_then(Value::as_str) == Some("approved"), "it is not approved", &approved)?;
        let since = Instant::now();
        let output = self.psql("globex", QUERY)?;
        say(&format!("   over after {} s.", since.elapsed().as_secs()));
        let is_over = !output.status.success() && said(&output).contains("Grant") && said(&output).contains("ended at");
        self.promise(is_over && since.elapsed().as_secs() < SECONDS_MAX, "the visit did not end by itself", &output)?;

        self.begin("On the phone: the owner makes a code and reads it out. It lets Jane in once.");
        let made = self.globex("POST", "code", Some(r#"{"for":"1h","scope":"read"}"#))?;
        let code = made.get("code").and_then(Value::as_str).unwrap_or_default().to_owned();
        let file = self.stage.write_secret("code", &code).map_err(|error| self.broken(error))?;
        let output = self.ask(&["--code-file", &file.to_string_lossy()])?;
        show(&output);
        let output = self.psql("globex", "select count(*) from contacts")?;
        self.promise(output.status.success(), "the code did not let her in", &output)?;
        self.consent("globex", r#"{"mode":"off"}"#)
    }

    /// Jane asks for globex, with these arguments besides.
    fn ask(&self, more: &[&str]) -> Result<String, Broken> {
        let password = self.stage.path(&format!("{STAFF}.password"));
        let password = password.to_string_lossy();
        let mut arguments = vec!["request", "open", "--staff", STAFF, "--customer", "globex"];
        arguments.extend(["--purpose", "question", "--channel", "phone"]);
        arguments.extend(["--reason", "invoices show wrong totals", "--ticket", "SUP-2", "--password-file", &password]);
        arguments.extend(more);
        let output = self.portreeve(&arguments)?;
        self.promise(output.status.success(), "it cannot be asked for", &output)?;
        Ok(said(&output))
    }

    /// The owner of globex asks the API.
    fn globex(&self, verb: &str, path: &str, body: Option<&str>) -> Result<Value, Broken> {
        let path = format!("/v1/customers/globex/{path}");
        say(&format!("   $ curl -X {verb} https://localhost{path} {}", body.unwrap_or_default()));
        let (status, answer) = self.stage.api("globex", verb, &path, body).map_err(|error| self.broken(error))?;
        if status != 200 {
            return Err(self.broken(format!("the portal answered {status}: {answer}")));
        }
        serde_json::from_str(&answer).map_err(|error| self.broken(error))
    }

    fn is(&self, kept: bool, otherwise: &str, answer: &Value) -> Told {
        if kept { Ok(()) } else { Err(self.broken(format!("{otherwise}: {answer}"))) }
    }
}
