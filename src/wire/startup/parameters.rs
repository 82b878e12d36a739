//! Which start-up parameters a client may set. What a session could SET anyway passes; whatever would make it another
//! user, or a replication stream, is refused; so is, by its name, whatever is not known.
//! Not here: whether the user and the customer exist.

use bytes::Bytes;

use crate::wire::response::{Report, Severity};
use crate::wire::startup::{Startup, options};
use crate::wire::{Fault, sqlstate};

/// Settings that drivers send as parameters of their own, in lower case as PostgreSQL compares them.
const USUAL: [&str; 27] = [
    "application_name",
    "bytea_output",
    "client_encoding",
    "client_min_messages",
    "datestyle",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "extra_float_digits",
    "geqo",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "intervalstyle",
    "jit",
    "lc_messages",
    "lc_monetary",
    "lc_numeric",
    "lc_time",
    "lock_timeout",
    "plan_cache_mode",
    "search_path",
    "standard_conforming_strings",
    "statement_timeout",
    "timezone",
    "transaction_timeout",
    "work_mem",
    "xmloption",
];

/// Settings that no `options` may hold: those of another user, and those that a session cannot SET.
const NEVER: [&str; 5] =
    ["role", "session_authorization", "ignore_system_indexes", "local_preload_libraries", "post_auth_delay"];

/// What a client asked for, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StartupParameters {
    /// The staff member's sign-in name.
    pub user: String,
    /// The customer, as `dbname` names it.
    pub database: String,
    /// What the client calls itself; empty if it does not say.
    pub application_name: String,
    /// Settings for the upstream, `application_name` and those from `options` included; each name once.
    pub forwarded: Vec<(String, String)>,
    /// Protocol options (`_pq_.*`) that the client must be told we do not know.
    pub unrecognised: Vec<String>,
}

/// Checks the parameters of a start-up.
///
/// # Errors
/// A refusal that names the parameter, or the client's fault when a name comes twice.
pub fn check_parameters(startup: &Startup) -> Result<StartupParameters, Fault> {
    let mut checked = Checked::default();
    for (name, value) in &startup.parameters {
        checked.take(text(name, name)?, text(name, value)?)?;
    }
    let Checked { user, database, options, direct, unrecognised } = checked;
    let user = user.filter(|user| !user.is_empty()).ok_or_else(no_user)?;
    let database = database.filter(|database| !database.is_empty()).ok_or_else(no_database)?;
    let mut forwarded = Vec::new();
    // PostgreSQL sets what is in `options` first; what has a parameter of its own prevails.
    for (name, value) in options::settings(&options.unwrap_or_default())? {
        if NEVER.contains(&name.to_ascii_lowercase().as_str()) {
            return Err(not_accepted(&name));
        }
        set(&mut forwarded, name, value);
    }
    for (name, value) in direct {
        set(&mut forwarded, name, value);
    }
    let application_name = forwarded
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case("application_name"))
        .map(|(_, value)| value.clone());
    let application_name = application_name.unwrap_or_default();
    Ok(StartupParameters { user, database, application_name, forwarded, unrecognised })
}

#[derive(Default)]
struct Checked {
    user: Option<String>,
    database: Option<String>,
    options: Option<String>,
    direct: Vec<(String, String)>,
    unrecognised: Vec<String>,
}

impl Checked {
    fn take(&mut self, name: String, value: String) -> Result<(), Fault> {
        match name.as_str() {
            "user" => once(&mut self.user, &name, value),
            "database" => once(&mut self.database, &name, value),
            "options" => once(&mut self.options, &name, value),
            "replication" => Err(no_replication()),
            protocol if protocol.starts_with("_pq_.") => {
                self.unrecognised.push(name);
                Ok(())
            }
            setting if USUAL.contains(&setting.to_ascii_lowercase().as_str()) => {
                if self.direct.iter().any(|(known, _)| known.eq_ignore_ascii_case(setting)) {
                    return Err(twice(setting));
                }
                self.direct.push((name, value));
                Ok(())
            }
            unknown => Err(not_accepted(unknown)),
        }
    }
}

fn once(place: &mut Option<String>, name: &str, value: String) -> Result<(), Fault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(twice(name)),
    }
}

/// Sets a name to a value, whatever it was before. PostgreSQL's names know no case.
fn set(settings: &mut Vec<(String, String)>, name: String, value: String) {
    match settings.iter_mut().find(|(known, _)| known.eq_ignore_ascii_case(&name)) {
        Some(setting) => setting.1 = value,
        None => settings.push((name, value)),
    }
}

fn text(name: &Bytes, bytes: &Bytes) -> Result<String, Fault> {
    String::from_utf8(bytes.to_vec()).map_err(|_| {
        let name = String::from_utf8_lossy(name);
        refused(sqlstate::CHARACTER_NOT_IN_REPERTOIRE, format!("start-up parameter \"{name}\" is not UTF-8"), None)
    })
}

fn refused(sqlstate: &'static str, message: String, hint: Option<&str>) -> Fault {
    let report = Report { hint: hint.map(str::to_owned), ..Report::new(Severity::Fatal, sqlstate, message) };
    Fault::Refused(Box::new(report))
}

fn twice(name: &str) -> Fault {
    Fault::client(format!("start-up parameter \"{name}\" is given twice"))
}

fn not_accepted(name: &str) -> Fault {
    let hint = "Leave it out of the connection settings; once connected, use SET if you need it.";
    refused(sqlstate::FEATURE_NOT_SUPPORTED, format!("start-up parameter \"{name}\" is not accepted"), Some(hint))
}

fn no_user() -> Fault {
    let message = "no user name specified in startup packet".to_owned();
    refused(sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, message, None)
}

fn no_database() -> Fault {
    let hint = "Name the customer as the database, such as dbname=acme.";
    refused(sqlstate::INVALID_CATALOG_NAME, "no database name specified".to_owned(), Some(hint))
}

fn no_replication() -> Fault {
    let message = "replication connections are not accepted".to_owned();
    refused(sqlstate::FEATURE_NOT_SUPPORTED, message, Some("Leave \"replication\" out of the connection settings."))
}
