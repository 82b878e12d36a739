//! Opening a grant in the database: a login role with a verifier made beforehand, a time limit and a connection limit.
//! Not here: the password, which only the caller ever has.

use std::collections::{HashMap, VecDeque};

use tokio_postgres::types::Type;

use super::connection::Lane;
use super::name::scope_word;
use super::{Error, Fence};
use crate::clock::Timestamp;
use crate::grant::Scope;

/// Where a customer's rows are: in a whole database, in one of its schemas, or a tenant's in its shared tables.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The database.
    pub database: &'a str,
    /// What stands in the tenant columns of its rows, or the name of its schema; none: the whole database is its own.
    pub tenant: Option<&'a str>,
}

impl<'a> From<&'a str> for Place<'a> {
    fn from(database: &'a str) -> Place<'a> {
        Place { database, tenant: None }
    }
}

/// How many databases without an open grant keep their control connections.
const IDLE_MAX: usize = 32;

/// How many grants are open in each database, so that thousands of databases do not each keep connections for good.
#[derive(Debug, Default)]
pub(super) struct Open {
    grants: HashMap<String, usize>,
    /// Without a grant, the longest first.
    idle: VecDeque<String>,
}

impl Open {
    /// Whether control connections to it are kept for what is done there, or was lately.
    pub(super) fn keeps(&self, database: &str) -> bool {
        self.grants.contains_key(database) || self.idle.iter().any(|idle| idle == database)
    }

    pub(super) fn opened(&mut self, database: &str) {
        *self.grants.entry(database.to_owned()).or_default() += 1;
        self.idle.retain(|idle| idle != database);
    }

    /// One grant less; answers the database that has been idle the longest, if there are too many.
    pub(super) fn closed(&mut self, database: &str) -> Option<String> {
        let left = self.grants.get_mut(database)?;
        *left -= 1;
        if *left > 0 {
            return None;
        }
        self.grants.remove(database);
        self.idle.push_back(database.to_owned());
        if self.idle.len() > IDLE_MAX { self.idle.pop_front() } else { None }
    }
}

impl Fence {
    /// Makes `role` (`^pr_g_[a-z0-9_]+$`, at most 63 bytes), which may sign in to the place's database with the password
    /// behind the SCRAM `verifier` until `until`, at most `connections` at a time, and may do what `scope` holds.
    /// An error, and no role, if there is one of this name, or if the database is not fenced for that layout.
    pub async fn open_grant<'a>(
        &self,
        place: impl Into<Place<'a>>,
        role: &str,
        scope: Scope,
        verifier: &str,
        until: Timestamp,
        connections: u32,
    ) -> Result<(), Error> {
        const SQL: &str =
            "select portreeve.open_grant($1, $2, $3, timestamptz 'epoch' + $4 * interval '1 microsecond', $5, $6)";
        let Place { database, tenant } = place.into();
        let connections = i32::try_from(connections).unwrap_or(i32::MAX);
        let parameters = [
            (&role as _, Type::TEXT),
            (&scope_word(scope) as _, Type::TEXT),
            (&verifier as _, Type::TEXT),
            (&until.0 as _, Type::INT8),
            (&connections as _, Type::INT4),
            (&tenant as _, Type::TEXT),
        ];
        self.once(Lane::Control, database, SQL, &parameters).await?;
        self.0.open.lock().await.opened(database);
        Ok(())
    }
}
