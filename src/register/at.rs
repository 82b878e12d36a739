//! Where a register is: what the configuration says of it, and what messages call it.
//! Not here: opening it (each engine's own file).

use std::fmt;
use std::path::{Path, PathBuf};

use crate::config::{self, RegisterServer};

/// Where a register is.
#[derive(Clone, Debug)]
pub enum At {
    /// In a file of this machine: SQLite.
    File(PathBuf),
    /// In a database that several machines reach: PostgreSQL.
    Server(RegisterServer),
}

impl At {
    /// What messages call it.
    pub fn place(&self) -> Place {
        match self {
            At::File(path) => Place(path.display().to_string()),
            At::Server(server) => Place::of(server),
        }
    }
}

impl From<&config::Register> for At {
    fn from(register: &config::Register) -> At {
        match &register.server {
            None => At::File(register.path.clone()),
            Some(server) => At::Server(server.clone()),
        }
    }
}

impl From<&Path> for At {
    fn from(path: &Path) -> At {
        At::File(path.to_owned())
    }
}

impl From<&PathBuf> for At {
    fn from(path: &PathBuf) -> At {
        At::File(path.clone())
    }
}

/// What messages call a register: its file's path, or its server and database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    pub(super) fn of(server: &RegisterServer) -> Place {
        let RegisterServer { host, port, database, .. } = server;
        Place(format!("postgresql://{host}:{port}/{database}"))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
