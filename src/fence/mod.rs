//! The fence: what the database itself enforces for a grant. A login role per grant, made and ended by functions that a
//! superuser installed once (`install.sql`), and a self-test that refuses an unsound fence.
//! Not here: who may (`grant/`) and what travels (`proxy/`). Layouts: a database per customer, a schema per
//! customer, shared tables.

mod announced;
mod apply;
mod checks;
mod connection;
mod end;
mod external;
mod hba;
mod layout;
mod left;
mod metadata;
mod name;
mod open;
mod plan;
mod planner;
mod replica;
mod road;
mod schema_checks;
mod schemas;
mod self_test;
mod shared;
mod shared_checks;

use std::collections::HashMap;
use std::sync::Arc;

use rustls::ClientConfig;
use tokio::sync::Mutex;

pub use apply::{Applied, Removed, Superuser};
pub use end::{Ended, EndedBackend, Fate, Started};
pub use external::Login;
pub use left::{LeftBehind, ShutOut};
pub use name::{family, grant_role, schema_role, scope_role};
pub use open::Place;
pub use plan::{Impersonal, Keep, Layout, Loss, Plan, Revocable, Schemas, Shared, Step, Wanted};
pub use replica::{Astray, Replica};
pub use road::{Connected, Expected, Road, Traveller};
pub use self_test::{Accepted, Finding, Report};

use crate::net::tls_connect::{self, VerifiedTls};
use crate::secret::Secret;

/// Why the fence could not do what was asked. Each variant names whose fault it is.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Upstream: the server could not be reached, or the connection broke.
    #[error("cannot reach database \"{database}\" at {place}: {reason}")]
    Unreachable {
        /// Which database.
        database: String,
        /// Host and port.
        place: String,
        /// What happened.
        reason: String,
    },
    /// Upstream: no answer in time.
    #[error("database \"{database}\" at {place} did not answer within {seconds} s")]
    Slow {
        /// Which database.
        database: String,
        /// Host and port.
        place: String,
        /// How long we waited.
        seconds: u64,
    },
    /// Upstream: the server refused, with its own words.
    #[error("database \"{database}\" refused: {message} ({sqlstate})")]
    Refused {
        /// Which database.
        database: String,
        /// Its code.
        sqlstate: String,
        /// Its message and hint.
        message: String,
    },
    /// Configuration: the fence is not installed there, or not for this provisioner.
    #[error("the fence is not set up in database \"{database}\": {message}; run portreeve fence apply for it")]
    NotInstalled {
        /// Which database.
        database: String,
        /// The server's message.
        message: String,
    },
    /// Configuration: the fence cannot be applied as asked.
    #[error("{0}")]
    Blocked(String),
    /// Configuration: nobody named a login role for this.
    #[error("the roles of database \"{database}\" are managed by somebody else, and {reason}")]
    NoLogin {
        /// Which database.
        database: String,
        /// What is missing.
        reason: String,
    },
    /// Configuration: TLS towards the server.
    #[error(transparent)]
    Tls(#[from] tls_connect::Error),
    /// Upstream: a replica is none to read from.
    #[error("replica \"{replica}\": {why}")]
    Astray {
        /// Its name in the configuration.
        replica: String,
        /// Why.
        why: Astray,
    },
    /// Upstream: a session is at another server than the one that is asked.
    #[error(
        "{place} leads to several servers, or to another one by now: the session's connection and the proxy's own are not at \
         the same one, and what is ended there could not be seen"
    )]
    Elsewhere {
        /// Host and port.
        place: String,
    },
    /// The same as without, at a replica.
    #[error("replica \"{replica}\": {source}")]
    AtReplica {
        /// Its name in the configuration.
        replica: String,
        /// What happened there.
        source: Box<Error>,
    },
    /// Bug: an answer that the installed functions do not give.
    #[error("database \"{database}\" gave an answer that does not fit: {reason}")]
    Answer {
        /// Which database.
        database: String,
        /// What was wrong.
        reason: String,
    },
}

impl Error {
    /// Whether the database lacks what `fence apply` puts there: the functions, a role that carries a scope, a schema.
    pub fn is_not_set_up(&self) -> bool {
        match self {
            Error::NotInstalled { .. } | Error::NoLogin { .. } => true,
            // object not in prerequisite state, undefined object
            Error::Refused { sqlstate, .. } => ["55000", "42704"].contains(&sqlstate.as_str()),
            Error::AtReplica { source, .. } => source.is_not_set_up(),
            Error::Astray { .. }
            | Error::Elsewhere { .. }
            | Error::Unreachable { .. }
            | Error::Slow { .. }
            | Error::Blocked(_)
            | Error::Tls(_)
            | Error::Answer { .. } => false,
        }
    }
}

impl Error {
    /// Whether a replica is none of its primary's any more, which no waiting mends.
    pub fn is_astray_for_good(&self) -> bool {
        match self {
            Error::Astray { why, .. } => {
                !matches!(why, Astray::Behind { .. } | Astray::Unconnected | Astray::Elsewhere)
            }
            Error::AtReplica { source, .. } => source.is_astray_for_good(),
            Error::Elsewhere { .. }
            | Error::Unreachable { .. }
            | Error::Slow { .. }
            | Error::Refused { .. }
            | Error::NotInstalled { .. }
            | Error::NoLogin { .. }
            | Error::Blocked(_)
            | Error::Tls(_)
            | Error::Answer { .. } => false,
        }
    }

    /// Whether what was asked may have been done, or may yet be, though nobody heard of it.
    pub fn is_uncertain(&self) -> bool {
        match self {
            Error::Unreachable { .. } | Error::Slow { .. } | Error::Answer { .. } => true,
            Error::AtReplica { source, .. } => source.is_uncertain(),
            Error::Astray { .. }
            | Error::Elsewhere { .. }
            | Error::Refused { .. }
            | Error::NotInstalled { .. }
            | Error::NoLogin { .. }
            | Error::Blocked(_)
            | Error::Tls(_) => false,
        }
    }
}

/// A PostgreSQL server, and how the provisioner signs in to it.
#[derive(Debug)]
pub struct Upstream {
    /// Where to dial: a DNS name or an address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The name its certificate must have.
    pub server_name: String,
    /// Whom to trust, and the proxy's own certificate.
    pub tls: Arc<ClientConfig>,
    /// The provisioner's role.
    pub provisioner: String,
    /// Its password.
    pub password: Secret<String>,
}

/// The fence of one server: a few control connections, opened when first needed and again when they broke.
#[derive(Clone)]
pub struct Fence(Arc<Inner>);

struct Inner {
    upstream: Upstream,
    tls: VerifiedTls,
    accepted: Vec<Accepted>,
    /// Login roles that somebody else manages; none: the fence's own.
    external: Option<Vec<Login>>,
    replicas: Vec<Replica>,
    slots: Mutex<HashMap<(String, connection::Lane), connection::Slot>>,
    open: Mutex<open::Open>,
}

impl Fence {
    /// The fence of `upstream`. Nothing is connected yet.
    pub fn new(upstream: Upstream) -> Result<Fence, Error> {
        Fence::accepting(upstream, Vec::new())
    }

    /// The fence of `upstream`, whose self-test puts up with what the operator accepted in writing.
    pub fn accepting(upstream: Upstream, accepted: Vec<Accepted>) -> Result<Fence, Error> {
        Fence::of(upstream, accepted, None, Vec::new())
    }

    /// The fence of `upstream` with login roles that somebody else manages, one for a scope.
    pub fn external(upstream: Upstream, accepted: Vec<Accepted>, logins: Vec<Login>) -> Result<Fence, Error> {
        Fence::of(upstream, accepted, Some(logins), Vec::new())
    }

    fn of(
        upstream: Upstream,
        accepted: Vec<Accepted>,
        external: Option<Vec<Login>>,
        replicas: Vec<Replica>,
    ) -> Result<Fence, Error> {
        let tls = VerifiedTls::new(Arc::clone(&upstream.tls), &upstream.server_name)?;
        let (slots, open) = (Mutex::default(), Mutex::default());
        Ok(Fence(Arc::new(Inner { upstream, tls, accepted, external, replicas, slots, open })))
    }
}
