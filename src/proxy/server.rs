//! Which server of a customer's cluster a session is for: the primary, or the replica that `dbname=acme@reader` names; and
//! the session's own connection to it.
//! Not here: whether a replica follows its primary (`fence/replica.rs`), and the login role (`roles.rs`).

use crate::fence::{Astray, Fence, Started};
use crate::grant::{Customer, Scope};
use crate::net::upstream::{Connection, Target};
use crate::proxy::Gate;
use crate::proxy::refused::Refused;
use crate::proxy::roles::{self, Need, Role};
use crate::wire::backend::{Backend, Walker};
use crate::wire::startup::StartupParameters;

/// What a backend at a replica is started with: it looks each second whether the proxy is still there. Nobody looks for it if
/// the replica is taken out of the configuration.
const LOOKS: (&str, &str) = ("client_connection_check_interval", "1s");

/// By which a server says whether it is a replica.
pub const IN_HOT_STANDBY: &str = "in_hot_standby";

/// The customer's name in a `dbname`, and the replica's. No customer's name has an `@` in it.
pub fn named(database: &str) -> (&str, Option<&str>) {
    match database.split_once('@') {
        Some((customer, replica)) => (customer, Some(replica)),
        None => (database, None),
    }
}

/// A database as records name it: what follows the last `@` is the replica's name, which has none in it itself. The name of a
/// database may: at the primary it has one more at its end, and nothing follows.
pub fn recorded(database: &str, replica: Option<&str>) -> String {
    match replica {
        Some(replica) => format!("{database}@{replica}"),
        None if database.contains('@') => format!("{database}@"),
        None => database.to_owned(),
    }
}

/// Whether there is that replica of the customer's cluster, and the grant is one for reading.
///
/// # Errors
/// If not, with what there is.
pub fn may_read_at(gate: &Gate, customer: &Customer, replica: &str, scope: Scope) -> Result<(), Refused> {
    let known = gate.replicas(&customer.cluster);
    let customer = customer.name.clone();
    if !known.contains(&replica) {
        let known = known.into_iter().map(str::to_owned).collect();
        return Err(Refused::UnknownReplica { customer, replica: replica.to_owned(), known });
    }
    match scope {
        Scope::Metadata | Scope::Read => Ok(()),
        Scope::Write => Err(Refused::WriterAtReplica { customer, replica: replica.to_owned() }),
    }
}

/// Opens the session's own connection, and tells at which server that is.
///
/// # Errors
/// If there is none, or it leads to something else than was asked for.
pub async fn dial(
    target: &Target,
    parameters: &StartupParameters,
    role: &Role,
    (fence, need): (&Fence, &Need),
) -> Result<(Connection, Started), Refused> {
    let mut sent = vec![("user", role.name.as_str()), ("database", need.database.as_str())];
    sent.extend(need.replica.is_some().then_some(LOOKS));
    sent.extend(parameters.forwarded.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let upstream = target.connect(&sent, &role.password).await.map_err(Refused::Upstream)?;
    let astray = |error| Refused::Role(roles::Error::Fence(error));
    // A name may lead to several servers: by what the session is ended has to lead to this one, and a replica says itself that
    // it is one.
    let server = match need.replica(fence).map_err(astray)? {
        Some(replica) if !is_replica(&upstream.greeting) => Err(replica.astray(Astray::Promoted)),
        Some(replica) => replica.server_of(&need.database, &role.name, upstream.backend).await,
        None => fence.server_of(&need.database, &role.name, upstream.backend).await,
    };
    Ok((upstream, server.map_err(astray)?))
}

fn is_replica(greeting: &[u8]) -> bool {
    let mut said = false;
    let walked = Walker::new().walk(greeting, |message| {
        if let Backend::ParameterStatus { name, value } = message {
            said |= name == IN_HOT_STANDBY.as_bytes() && value == b"on";
        }
    });
    walked.is_ok() && said
}

#[cfg(test)]
#[path = "server_tests.rs"]
mod tests;
