//! A local user in the configuration: a name or a number.
//! Not here: groups, and names that only a directory service knows; those are given by number.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::error::Error;

/// A local user, by name or by number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(untagged, expecting = "expected a user's name such as \"portreeve-proxy\" or number such as 991")]
pub enum User {
    /// The user's number (uid).
    Uid(u32),
    /// The user's name in `/etc/passwd`.
    Name(String),
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            User::Uid(uid) => write!(f, "{uid}"),
            User::Name(name) => f.write_str(name),
        }
    }
}

impl User {
    /// The user's number; a name is looked up in `/etc/passwd` at each call.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] if no line there has that name.
    pub fn uid(&self) -> Result<u32, Error> {
        match self {
            User::Uid(uid) => Ok(*uid),
            User::Name(name) => {
                let file = Path::new("/etc/passwd");
                let passwd = std::fs::read_to_string(file)
                    .map_err(|source| Error::Unreadable { file: file.to_owned(), source })?;
                uid_in(&passwd, name).ok_or_else(|| Error::UnknownUser { name: name.clone() })
            }
        }
    }
}

/// The number of `name` in the text of a passwd file.
fn uid_in(passwd: &str, name: &str) -> Option<u32> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    line.split(':').nth(2)?.parse().ok()
}

#[cfg(test)]
#[path = "user_tests.rs"]
mod tests;
