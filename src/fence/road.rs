//! The road watch: who is connected to a server now, and whether that is the application, the gate, maintenance, or
//! somebody nobody can explain.
//! Not here: what is done about it. HOLE: whoever comes and goes between two looks is not seen.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use tokio_postgres::Row;

use super::connection::Lane;
use super::end::field;
use super::{Error, Fence, external};
use crate::clock::Timestamp;
use crate::grant::{Network, NetworkFault};

/// What the login roles of grants begin with.
const GRANT_ROLE: &str = "pr_g_";

/// One connection to the server, as the server tells of it; what it does there is not asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connected {
    /// The server's process.
    pub pid: i32,
    /// When it began.
    pub since: Timestamp,
    /// The role it signed in as.
    pub role: String,
    /// The database it is in; none: it replicates.
    pub database: Option<String>,
    /// Where it came from; none: by the server's own socket.
    pub address: Option<IpAddr>,
    /// What it calls itself.
    pub application: String,
}

/// What a connection is taken for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Road {
    /// The vendor's own application.
    Application,
    /// The gate: a session of staff that it knows, or its own errands.
    Gate,
    /// Backups, retention, a database administrator.
    Maintenance,
    /// None of these.
    Unexplained,
}

impl Road {
    /// The word people read.
    pub fn word(self) -> &'static str {
        match self {
            Road::Application => "application",
            Road::Gate => "gate",
            Road::Maintenance => "maintenance",
            Road::Unexplained => "unexplained",
        }
    }
}

/// A role, and from where: `app`, `app@10.0.0.0/8`, `postgres@local`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Traveller {
    role: String,
    from: From,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Anywhere,
    OwnSocket,
    Network(Network),
}

impl Traveller {
    /// That role from anywhere.
    pub fn anywhere(role: &str) -> Traveller {
        Traveller { role: role.to_owned(), from: From::Anywhere }
    }

    fn is(&self, connected: &Connected) -> bool {
        let from = match (self.from, connected.address) {
            (From::Anywhere, _) | (From::OwnSocket, None) => true,
            (From::Network(network), Some(address)) => network.contains(address),
            (From::OwnSocket, Some(_)) | (From::Network(_), None) => false,
        };
        from && self.role == connected.role
    }
}

impl FromStr for Traveller {
    type Err = NetworkFault;

    fn from_str(text: &str) -> Result<Traveller, NetworkFault> {
        let (role, from) = match text.rsplit_once('@') {
            None => (text, From::Anywhere),
            Some((role, "local")) => (role, From::OwnSocket),
            Some((role, network)) => (role, From::Network(network.parse()?)),
        };
        Ok(Traveller { role: role.to_owned(), from })
    }
}

impl fmt::Display for Traveller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.from {
            From::Anywhere => f.write_str(&self.role),
            From::OwnSocket => write!(f, "{}@local", self.role),
            From::Network(network) => write!(f, "{}@{network}", self.role),
        }
    }
}

/// Whom one expects at a server.
#[derive(Clone, Debug, Default)]
pub struct Expected {
    /// The vendor's application.
    pub application: Vec<Traveller>,
    /// Backups, retention, administrators.
    pub maintenance: Vec<Traveller>,
    /// The gate's own role.
    pub provisioner: String,
    /// The gate's sessions: the server's process and the role.
    pub sessions: BTreeSet<(i32, String)>,
}

impl Expected {
    /// What that connection is taken for. The role of a grant is the gate's only with a session that it knows: its
    /// password might have become known.
    pub fn road(&self, connected: &Connected) -> Road {
        let is_listed = |all: &[Traveller]| all.iter().any(|traveller| traveller.is(connected));
        let is_session = self.sessions.contains(&(connected.pid, connected.role.clone()));
        if is_session || connected.role == self.provisioner {
            Road::Gate
        } else if connected.role.starts_with(GRANT_ROLE) {
            Road::Unexplained
        } else if is_listed(&self.application) {
            Road::Application
        } else if is_listed(&self.maintenance) {
            Road::Maintenance
        } else {
            Road::Unexplained
        }
    }
}

impl Fence {
    /// Everybody who is connected to the server of `database` now, but for whoever asks.
    ///
    /// # Errors
    /// If the fence of that database is not installed, or older than this.
    pub async fn connected(&self, database: &str) -> Result<Vec<Connected>, Error> {
        const SQL: &str = "select pid, (extract(epoch from since) * 1000000)::bigint, role::text, database::text, \
                           host(address), application from portreeve.connected() order by since, pid";
        let direct = SQL.replace("portreeve.connected()", external::CONNECTED);
        let sql = if self.is_external() { &direct } else { SQL };
        let rows = self.again(Lane::Control, database, sql, &[]).await?;
        rows.iter().map(|row| connected(database, row)).collect()
    }
}

fn connected(database: &str, row: &Row) -> Result<Connected, Error> {
    let address: Option<String> = field(database, row, 4)?;
    Ok(Connected {
        pid: field(database, row, 0)?,
        since: Timestamp(field(database, row, 1)?),
        role: field(database, row, 2)?,
        database: field(database, row, 3)?,
        address: address.and_then(|address| address.parse().ok()),
        application: field(database, row, 5)?,
    })
}

#[cfg(test)]
#[path = "road_tests.rs"]
mod tests;
