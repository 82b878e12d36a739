//! Why a sign-in was refused, what the client is told, and what the record says.
//! Not here: the decision's own conditions (`grant/refusal.rs`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::fence::{self, Astray};
use crate::grant::{DeskRefusal, Refusal, State};
use crate::net::upstream;
use crate::proxy::reason::minutes;
use crate::proxy::roles;
use crate::wire::Fault;
use crate::wire::response::{Report, Severity};
use crate::wire::sqlstate;

/// Why a client did not get in.
#[derive(Debug)]
pub enum Refused {
    /// The client's connection broke: there is nobody to tell.
    Broken(io::Error),
    /// Signing in took too long.
    Late(Duration),
    /// No TLS.
    Plaintext,
    /// The protocol was broken, a parameter is not taken, or the password is wrong.
    Protocol(Fault),
    /// No proof of a short-lived password, whether there is one or not, and whether there is such a name or not.
    NoToken {
        /// The name.
        user: String,
        /// The portal's address; empty: none is named.
        portal: String,
    },
    /// A short-lived password, proved, and over. Said to whoever has it only.
    TokenOver {
        /// Whose: number and name.
        staff: (u64, String),
        /// Until when it was good.
        until: Timestamp,
        /// The portal's address; empty: none is named.
        portal: String,
    },
    /// Too many attempts failed.
    TooManyAttempts(Duration),
    /// No such customer. Said to staff who proved who they are only.
    UnknownCustomer(String),
    /// The customer's cluster has no such replica.
    UnknownReplica {
        /// The customer's name.
        customer: String,
        /// The replica's.
        replica: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// A replica takes no changes.
    WriterAtReplica {
        /// The customer's name.
        customer: String,
        /// The replica's.
        replica: String,
    },
    /// The customer of that name is called otherwise now. The new name is there for staff who look after it; the others
    /// are told no more than of a name that nobody ever had.
    Renamed(String, Option<String>),
    /// The decision, and the state it was made from.
    Decision(Box<Refusal>, Arc<State>),
    /// They may not be at the desk, by this state.
    Desk(Box<DeskRefusal>, Arc<State>),
    /// The customer's cluster is not in the configuration.
    NotConfigured(String),
    /// The customer has no keys its records could be sealed to.
    NoKeys(String),
    /// The disk is nearly full.
    NoRoom,
    /// The login role could not be had.
    Role(roles::Error),
    /// The database could not be reached, or trusted.
    Upstream(upstream::Error),
    /// The audit log cannot be written.
    Log(crate::log::Error),
}

impl Refused {
    /// Who proved who they are, where it is refused nevertheless.
    pub fn staff(&self) -> Option<(u64, String)> {
        match self {
            Refused::TokenOver { staff, .. } => Some(staff.clone()),
            _ => None,
        }
    }

    /// The word in the record's skeleton.
    pub fn code(&self) -> String {
        let word = match self {
            Refused::Decision(refusal, _) => return refusal.code(),
            Refused::Desk(refusal, _) => return refusal.code(),
            Refused::Broken(_) => "broken",
            Refused::Late(_) => "late",
            Refused::Plaintext => "plaintext",
            Refused::Protocol(fault) if fault.sqlstate() == sqlstate::INVALID_PASSWORD => "wrong-password",
            Refused::Protocol(_) => "protocol",
            Refused::NoToken { .. } => "wrong-password",
            Refused::TokenOver { .. } => "token-over",
            Refused::TooManyAttempts(_) => "too-many-attempts",
            Refused::UnknownCustomer(_) => "unknown-customer",
            Refused::UnknownReplica { .. } => "unknown-replica",
            Refused::WriterAtReplica { .. } => "writer-at-replica",
            Refused::Renamed(..) => "renamed",
            Refused::NotConfigured(_) => "not-configured",
            Refused::NoKeys(_) => "no-keys",
            Refused::NoRoom => "no-room",
            Refused::Role(_) => "fence",
            Refused::Upstream(_) => "upstream",
            Refused::Log(_) => "log-failed",
        };
        word.to_owned()
    }

    /// The particulars, for the record and for operators.
    pub fn for_the_record(&self) -> String {
        match self {
            Refused::Broken(error) => error.to_string(),
            Refused::Late(within) => format!("not signed in within {within:?}"),
            Refused::Plaintext => "no TLS".to_owned(),
            Refused::Protocol(fault) => fault.to_string(),
            Refused::NoToken { user, .. } => format!("no proof of a short-lived password for user \"{user}\""),
            Refused::TokenOver { until, .. } => format!("the short-lived password was good until {until}"),
            Refused::TooManyAttempts(wait) => format!("blocked for another {wait:?}"),
            Refused::UnknownCustomer(name) => format!("no customer \"{name}\""),
            Refused::UnknownReplica { customer, replica, .. } => {
                format!("no replica \"{replica}\" of customer \"{customer}\"")
            }
            Refused::WriterAtReplica { replica, .. } => format!("the scope write at replica \"{replica}\""),
            Refused::Renamed(name, Some(now)) => format!("\"{name}\" is called \"{now}\" now"),
            Refused::Renamed(name, None) => format!("\"{name}\" is called otherwise now; they were not told how"),
            Refused::Decision(refusal, state) => refusal.detail(state),
            Refused::Desk(refusal, state) => refusal.detail(state),
            Refused::NotConfigured(cluster) => format!("no section [clusters.{cluster}]"),
            Refused::NoKeys(why) => why.clone(),
            Refused::NoRoom => "below the reserve".to_owned(),
            Refused::Role(error) => error.to_string(),
            Refused::Upstream(error) => error.to_string(),
            Refused::Log(error) => error.to_string(),
        }
    }

    /// What is told of a short-lived password that does not count.
    fn no_token(&self) -> Option<Report> {
        let (message, detail, portal) = match self {
            Refused::NoToken { user, portal } => (
                format!("password authentication failed for user \"{user}\""),
                "The gate takes short-lived passwords only; a stored password is not enough.".to_owned(),
                portal,
            ),
            Refused::TokenOver { staff: (_, name), until, portal } => (
                format!("the short-lived password of user \"{name}\" is over"),
                format!("It was good for signing in until {until}."),
                portal,
            ),
            _ => return None,
        };
        let report = Report::new(Severity::Fatal, sqlstate::INVALID_PASSWORD, message);
        Some(report.detail(detail).hint(where_from(portal)))
    }

    /// What the client is told; of the vendor's own machinery no particulars.
    pub fn report(&self) -> Option<Report> {
        let fatal = |state: &'static str, message: &str| Report::new(Severity::Fatal, state, message);
        Some(match self {
            Refused::Broken(_) => return None,
            Refused::Late(within) => fatal(sqlstate::CONNECTION_REJECTED, "sign-in took too long")
                .detail(format!("The gate waits {} for a sign-in.", minutes(*within)))
                .hint("Connect again."),
            Refused::Plaintext => {
                fatal(sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, "the gate accepts encrypted connections only")
                    .detail("The client asked for a session without TLS.")
                    .hint("Connect with sslmode=verify-full and sslrootcert set to the gate's certificate authority.")
            }
            Refused::Protocol(fault) => fault.report(),
            Refused::NoToken { .. } | Refused::TokenOver { .. } => return self.no_token(),
            Refused::TooManyAttempts(wait) => {
                fatal(sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, "too many failed sign-ins")
                    .detail("Further attempts from this address are not looked at for a while.")
                    .hint(format!("Try again in {}.", minutes(*wait)))
            }
            Refused::UnknownCustomer(name) | Refused::Renamed(name, None) => unknown(name),
            Refused::UnknownReplica { customer, replica, known } => {
                fatal(sqlstate::INVALID_CATALOG_NAME, "there is no such replica")
                    .detail(match known.as_slice() {
                        [] => format!("The database of customer \"{customer}\" has no replica here."),
                        known => format!("No replica is called \"{replica}\"; there are: {}.", known.join(", ")),
                    })
                    .hint(format!("Connect to the primary with dbname={customer}."))
            }
            Refused::WriterAtReplica { customer, .. } => {
                fatal(sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, "a replica is for reading only")
                    .detail(format!("Your grant on customer \"{customer}\" has the scope write."))
                    .hint(format!(
                        "Connect to the primary with dbname={customer}, or ask for a grant with the scope read."
                    ))
            }
            Refused::Renamed(name, Some(now)) => renamed(name, now),
            Refused::Decision(refusal, state) => {
                fatal(sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, &refusal.message(state))
                    .detail(refusal.detail(state))
                    .hint(refusal.hint(state))
            }
            Refused::Desk(refusal, state) => fatal(sqlstate::INVALID_AUTHORIZATION_SPECIFICATION, &refusal.message())
                .detail(refusal.detail(state))
                .hint(refusal.hint(state)),
            Refused::NotConfigured(_) | Refused::NoKeys(_) => {
                fatal(sqlstate::CANNOT_CONNECT_NOW, "the gate is not ready for this customer")
                    .detail("Its database or its audit keys are not set up yet.")
                    .hint("Tell an operator; the proxy's own log says what is missing.")
            }
            Refused::NoRoom => fatal(sqlstate::DISK_FULL, "no new sessions: the disk of the audit log is nearly full")
                .detail("What cannot be recorded is not let through.")
                .hint("Tell an operator to make room."),
            Refused::Role(roles::Error::Unsound { .. }) => {
                fatal(sqlstate::CANNOT_CONNECT_NOW, "the fence around this customer is not sound")
                    .detail("The self-test of the database's own access control found a way around it.")
                    .hint("Tell an operator to run \"portreeve fence check\".")
            }
            Refused::Role(roles::Error::Fence(fence::Error::Astray { replica, why })) => {
                let message = match why {
                    Astray::Behind { .. } => format!("replica \"{replica}\" is too far behind"),
                    Astray::Elsewhere => format!("replica \"{replica}\" is not one server"),
                    Astray::Promoted | Astray::Stranger { .. } | Astray::OtherTimeline { .. } | Astray::Unconnected => {
                        format!("replica \"{replica}\" does not follow the primary")
                    }
                };
                let mut detail = why.to_string();
                if let Some(first) = detail.get_mut(..1) {
                    first.make_ascii_uppercase();
                }
                fatal(sqlstate::CANNOT_CONNECT_NOW, &message)
                    .detail(format!("{detail}."))
                    .hint("Connect to the primary, without the @ and what is after it, or try again later.")
            }
            Refused::Role(roles::Error::Fence(error)) if error.is_not_set_up() => {
                fatal(sqlstate::CANNOT_CONNECT_NOW, "the customer's database is not set up for this access")
                    .detail("What the grant needs there is missing: a role, or a data map for the scope metadata.")
                    .hint("Tell an operator to run \"portreeve fence apply\", for the scope metadata with --datamap.")
            }
            // The gate made that password, and nobody else knows it; who changed it since, it cannot tell.
            Refused::Upstream(upstream::Error::Refused { sqlstate, .. }) if sqlstate == sqlstate::INVALID_PASSWORD => {
                fatal(
                    sqlstate::CONNECTION_FAILURE,
                    "the customer's database no longer takes the password of your role there",
                )
                .detail("Most likely it was changed from one of the sessions that you have with this customer.")
                .hint("End all of them, and the role is made anew; if there are none, tell an operator.")
            }
            Refused::Role(roles::Error::Fence(_)) | Refused::Upstream(_) => {
                fatal(sqlstate::CONNECTION_FAILURE, "the customer's database cannot be reached")
                    .detail("The gate could not open a session there.")
                    .hint("Try again later; an operator finds the reason in the proxy's own log.")
            }
            Refused::Log(_) => fatal(sqlstate::IO_ERROR, "the audit log cannot be written")
                .detail("Nothing is let through that cannot be recorded.")
                .hint("Tell an operator; the proxy's own log says which file failed."),
        })
    }
}

fn unknown(name: &str) -> Report {
    Report::new(Severity::Fatal, sqlstate::INVALID_CATALOG_NAME, "there is no such customer")
        .detail(format!("No customer is called \"{name}\"; the database name of a connection names the customer."))
        .hint("Connect with dbname set to the customer's name; SHOW CUSTOMERS; at dbname=portreeve lists yours.")
}

fn renamed(name: &str, now: &str) -> Report {
    let message = format!("customer \"{name}\" is called \"{now}\" now");
    Report::new(Severity::Fatal, sqlstate::INVALID_CATALOG_NAME, message)
        .detail("It is the same customer, with the same grants; its old name is given to nobody else.")
        .hint(format!("Connect with dbname={now}."))
}

/// Where a short-lived password comes from.
fn where_from(portal: &str) -> String {
    if portal.is_empty() {
        "Get one on the portal's page for staff (/staff), and connect with it.".to_owned()
    } else {
        format!("Get one at {portal}/staff, and connect with it.")
    }
}
