//! Login roles that a process left behind: where they are, and their end. First all are shut out and ended at the primary; what
//! has to be asked of replicas comes after, so that one that does not answer keeps nobody in.
//! Not here: when it is looked for them (`proxy/sweeping.rs`).

use std::collections::HashSet;
use std::time::Duration;

use tokio_postgres::types::Type;

use super::connection::Lane;
use super::end::field;
use super::name::is_of_family;
use super::{Error, Fence};

/// Where a dead process left roles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeftBehind {
    /// In these databases; none: nowhere.
    In(HashSet<String>),
    /// There are some, and nothing tells of which database.
    Somewhere,
}

/// Roles of a database that were left: nobody may sign in as these any more, and nobody works as them at the primary.
#[derive(Debug, Default)]
pub struct ShutOut {
    roles: Vec<String>,
    /// Why there is one that still has backends.
    fault: Option<Error>,
}

impl Fence {
    /// Where on the server roles are whose names begin with `family`, asked of any one database: nowhere, in some
    /// databases, or nobody knows in which.
    pub async fn left_behind(&self, database: &str, family: &str) -> Result<LeftBehind, Error> {
        const SQL: &str = "select d::text from portreeve.left_behind($1) as d";
        let rows = self.again(Lane::Control, database, SQL, &[(&family, Type::TEXT)]).await?;
        let found: Vec<Option<String>> = rows.iter().map(|row| field(database, row, 0)).collect::<Result<_, _>>()?;
        Ok(found.into_iter().collect::<Option<_>>().map_or(LeftBehind::Somewhere, LeftBehind::In))
    }

    /// Ends, at its replicas too, and drops every role of `database` that [`super::grant_role`] named after `family` and that
    /// is not `spared`: those of a process that is gone, or that nobody knows. What merely begins like them is somebody
    /// else's. Returns their names.
    pub async fn sweep(
        &self,
        database: &str,
        family: &str,
        spared: impl Fn(&str) -> bool,
        within: Duration,
    ) -> Result<Vec<String>, Error> {
        let swept = match self.shut_out_left(database, family, spared, within).await {
            Ok(shut_out) => self.drop_left(database, shut_out, within).await,
            Err(fault) => Err(fault),
        };
        // Of thousands of databases each would hold a connection to a server that takes a hundred.
        if !self.0.open.lock().await.keeps(database) {
            self.let_go(database).await;
        }
        swept
    }

    /// Shuts these roles out and ends their backends at the primary: all are told before any is waited for.
    ///
    /// # Errors
    /// If the primary cannot be asked, or does not answer.
    pub async fn shut_out_left(
        &self,
        database: &str,
        family: &str,
        spared: impl Fn(&str) -> bool,
        within: Duration,
    ) -> Result<ShutOut, Error> {
        const SQL: &str = "select r::text from portreeve.open_grants($1) as r";
        let rows = self.again(Lane::Control, database, SQL, &[(&family, Type::TEXT)]).await?;
        let mut left: Vec<String> = rows.iter().map(|row| field(database, row, 0)).collect::<Result<_, _>>()?;
        left.retain(|role| is_of_family(role, family) && !spared(role));
        let mut shut_out = ShutOut::default();
        // One that cannot be ended, or that something hangs on, shields no other. For a server that does not answer each would
        // be waited for.
        for role in &left {
            match self.end_backends(database, role).await {
                Ok(_) => {}
                Err(away @ (Error::Unreachable { .. } | Error::Slow { .. })) => return Err(away),
                Err(fault) => drop(shut_out.fault.get_or_insert(fault)),
            }
        }
        for role in left {
            match self.end(database, &role, within).await {
                Ok(_) => shut_out.roles.push(role),
                Err(away @ Error::Unreachable { .. }) => return Err(away),
                // Its backends did not go in time, or nothing was heard: one more question tells.
                Err(slow @ Error::Slow { .. }) => {
                    self.backends(database, &role).await?;
                    shut_out.fault.get_or_insert(slow);
                }
                Err(fault) => drop(shut_out.fault.get_or_insert(fault)),
            }
        }
        Ok(shut_out)
    }

    /// Ends these roles at the replicas, and drops those that are nobody's any more. Returns their names.
    ///
    /// # Errors
    /// The first fault, if one of them is still there.
    pub async fn drop_left(&self, database: &str, left: ShutOut, within: Duration) -> Result<Vec<String>, Error> {
        let ShutOut { roles, mut fault } = left;
        let mut dropped = Vec::with_capacity(roles.len());
        for role in roles {
            let ended = self.end_at_replicas(database, &role, within).await;
            let closed = match ended {
                Ok(()) => self.close_grant(database, &role).await.map(drop),
                Err(fault) => Err(fault),
            };
            match closed {
                Ok(()) => dropped.push(role),
                Err(away @ Error::Unreachable { .. }) => return Err(away),
                Err(other) => fault = fault.or(Some(other)),
            }
        }
        fault.map_or(Ok(dropped), Err)
    }
}
