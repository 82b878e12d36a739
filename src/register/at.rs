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
            At::File(path) => Place::File(path.clone()),
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

/// What messages call a register.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Its file's path.
    File(PathBuf),
    /// Its server and database.
    Server(String),
}

/// Which proxies of a register can be told directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// All of them: they are on this machine, as the register is.
    All,
    /// Those on this machine. Others may share the register; they hear of a change from it, and from nobody else.
    Here,
}

impl Place {
    pub(super) fn of(server: &RegisterServer) -> Place {
        let RegisterServer { host, port, database, .. } = server;
        Place::Server(format!("postgresql://{host}:{port}/{database}"))
    }

    /// Which of its proxies can be told directly.
    pub fn reach(&self) -> Reach {
        match self {
            Place::File(_) => Reach::All,
            Place::Server(_) => Reach::Here,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File(path) => path.display().fmt(f),
            Place::Server(server) => f.write_str(server),
        }
    }
}
