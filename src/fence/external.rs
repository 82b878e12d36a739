//! `fence = "external"`: login roles that somebody else manages, one for a scope. The proxy signs in as them, examines them as
//! far as everybody may, and ends sessions one by one.
//! HOLE: nothing in the database ends with a grant, whoever knows the password or changes it; those who share a role see and
//! may end each other's statements; pg_hba.conf is not seen. The finding `shared-role` must be accepted in writing.

use tokio_postgres::types::Type;

use super::checks::{Check, For, Weight};
use super::connection::Lane;
use super::{Error, Fence, Place};
use crate::grant::Scope;
use crate::secret::Secret;

/// A login role that somebody else manages.
#[derive(Debug)]
pub struct Login {
    /// For which scope.
    pub scope: Scope,
    /// Its name.
    pub role: String,
    /// Its password.
    pub password: Secret<String>,
}

/// Ends the backend `$2` of role `$1`: what transaction it was in, as far as the provisioner may see that.
pub(super) const END: &str = "
with found as materialized (
    select a.pid, a.backend_xid from pg_stat_activity a where a.usename = $1 and a.pid = $2 and a.pid <> pg_backend_pid())
select (select (next - case when back >= 2147483648 then back - 4294967296 else back end)::text
        from (select next, (next - f.backend_xid::text::bigint) & 4294967295 as back
              from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next) s) d), pg_terminate_backend(f.pid)
from found f";

/// Everybody who is connected, as `portreeve.connected()` tells it, but for whoever asks.
pub(super) const CONNECTED: &str = "(
    select a.pid, a.backend_start as since, a.usename as role, a.datname as database, a.client_addr as address,
        coalesce(left(a.application_name, 64), '') as application
    from pg_stat_activity a
    where a.backend_type in ('client backend', 'walsender') and a.usename is not null and a.pid <> pg_backend_pid()) c";

/// What is asked of these besides; `current_user` is the provisioner.
pub(super) const CHECKS: &[Check] = &[
    Check {
        weight: Weight::RefuseUnlessAccepted,
        scopes: For::Every,
        query: "select 'shared-role', format('role %I is not the proxy''s: it outlives each grant, and whoever shares it sees
                    and may end the others'' statements', rolname) from subject",
        hint: "Accept it once you have read what an external fence cannot do, or let the proxy make its own roles.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        query: "select 'cannot-end', format('the provisioner %I may not end sessions', current_user)
                where not pg_has_role(current_user, 'pg_signal_backend', 'usage')",
        hint: "GRANT pg_signal_backend TO the provisioner.",
    },
    Check {
        weight: Weight::Refuse,
        scopes: For::Every,
        // Without it the server hides what kind of backend others are, and with that from the road watch that they are there.
        query: "select 'cannot-see', format('the provisioner %I sees neither who else is connected nor what became of a
                    transaction that is ended', current_user)
                where not pg_has_role(current_user, 'pg_read_all_stats', 'usage')",
        hint: "GRANT pg_read_all_stats TO the provisioner.",
    },
    Check {
        weight: Weight::Remark,
        scopes: For::Every,
        query: "values ('unprotected', 'pg_hba.conf is not seen: whether the role may come by another road is not known')",
        hint: "Admit the role from the proxies only, with clientcert=verify-ca, and reject it from everywhere else.",
    },
];

/// The same, where none of our functions is installed.
pub(super) fn preamble(own: &str) -> String {
    const NOTHING_DECLARED: &str = "(select null::oid as relation, null::text as class, null::name as tenant_column,
        null::text as row_security, null::text as fence where false)";
    own.replace("portreeve.shared_report()", NOTHING_DECLARED).replace("'portreeve.customer()'::regprocedure", "0")
}

impl Fence {
    /// Whether somebody else manages the login roles.
    pub fn is_external(&self) -> bool {
        self.0.external.is_some()
    }

    /// The login role that somebody else manages for that; `None`: the fence makes its own.
    ///
    /// # Errors
    /// If none is named for the scope, or several customers are in that database: one role reaches them all.
    pub fn login<'a>(&self, place: impl Into<Place<'a>>, scope: Scope) -> Result<Option<&Login>, Error> {
        let Some(logins) = &self.0.external else { return Ok(None) };
        let place = place.into();
        let none = |reason: String| Error::NoLogin { database: place.database.to_owned(), reason };
        if place.tenant.is_some() {
            return Err(none("several customers are in it: one role would reach them all".to_owned()));
        }
        let found = logins.iter().find(|login| login.scope == scope);
        found.map(Some).ok_or_else(|| none(format!("none is named for the scope {}", scope.word())))
    }

    /// Ends all backends of the login roles that somebody else manages, on the whole server: those a dead proxy left.
    ///
    /// # Errors
    /// If the server cannot be asked, or the provisioner may not.
    pub async fn end_left(&self, database: &str) -> Result<usize, Error> {
        const SQL: &str = "select pg_terminate_backend(pid) from pg_stat_activity where usename = any($1)";
        let logins = self.0.external.iter().flatten();
        let roles: Vec<&str> = logins.map(|login| login.role.as_str()).collect();
        Ok(self.again(Lane::Control, database, SQL, &[(&roles, Type::TEXT_ARRAY)]).await?.len())
    }
}
