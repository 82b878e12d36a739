//! `fence = "external"`: login roles that somebody else manages, one for a scope, and where customers share a database one for
//! each of them. The proxy signs in as them, examines them as far as everybody may, and ends sessions one by one.
//! HOLE: nothing in the database ends with a grant, whoever knows the password or changes it; those who share a role see and
//! may end each other's statements; pg_hba.conf is not seen; which column tells customers apart is their keeper's word. The
//! finding `shared-role` must be accepted in writing.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::checks::{CHECKS as OF_ALL, Check, For, OF_PRIMARY, UNGRANTED, Weight};
use super::connection::Lane;
use super::end::{POLL_FIRST, POLL_MAX};
use super::name::NAME_BYTES_MAX;
use super::schema_checks::SCHEMA_CHECKS;
use super::self_test::{Accepted, Report, answers, asked, pooler, question};
use super::shared_checks::SHARED_CHECKS;
use super::{Error, Fence, Place};
use crate::grant::{Layout, Scope};
use crate::secret::Secret;

/// What stands in a role's name for the customer's schema, or its tenant key.
const TENANT: &str = "{tenant}";

/// A login role that somebody else manages, or one for each customer.
#[derive(Debug)]
pub struct Login {
    /// For which scope.
    pub scope: Scope,
    /// Its name; with `{tenant}` in it there is one for each customer of a database that has several.
    pub role: String,
    /// Its password.
    pub password: Secret<String>,
}

/// At which server this is, and whether the backend `$2` of role `$1` is there.
pub(super) const SERVER_OF: &str = "select extract(epoch from pg_postmaster_start_time())::text,
    exists (select from pg_stat_activity a where a.usename = $1 and a.pid = $2)";

/// Ends the backend `$2` of role `$1`: at which server, whether it was there, and what transaction it was in, as far as the
/// provisioner may see that.
pub(super) const END: &str = "
with found as materialized (
    select a.pid, a.backend_xid from pg_stat_activity a where a.usename = $1 and a.pid = $2 and a.pid <> pg_backend_pid())
select extract(epoch from pg_postmaster_start_time())::text, f.pid is not null,
    (select (next - case when back >= 2147483648 then back - 4294967296 else back end)::text
        from (select next, (next - f.backend_xid::text::bigint) & 4294967295 as back
              from (select pg_snapshot_xmax(pg_current_snapshot())::text::bigint as next) s) d), pg_terminate_backend(f.pid)
from (select) s left join found f on true";

/// Everybody who is connected, as `portreeve.connected()` tells it, but for whoever asks.
pub(super) const CONNECTED: &str = "(
    select a.pid, a.backend_start as since, coalesce(a.usename, format('dropped role %s', a.usesysid)::name) as role,
        a.datname as database, a.client_addr as address, coalesce(left(a.application_name, 64), '') as application
    from pg_stat_activity a
    where a.backend_type in ('client backend', 'walsender') and a.usesysid is not null and a.pid <> pg_backend_pid()) c";

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
        // The server answers what a role may do by what it inherits: what it could take on with SET ROLE would go unseen.
        query: "select 'set-role:' || r.rolname, format('role %I is a member of %I and does not inherit what that may do, so
                    that nobody looks at it', s.rolname, r.rolname)
                from subject s, reach join pg_roles r using (oid) where not pg_has_role(s.oid, r.oid, 'usage')",
        hint: "REVOKE the membership, or let the role inherit: ALTER ROLE … INHERIT, and from 16 on GRANT … WITH INHERIT TRUE.",
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

/// What is asked besides where customers share tables: a parent whose rows nothing keeps apart shows its children's.
const SHARED: &[Check] = &[Check {
    weight: Weight::Refuse,
    scopes: For::Every,
    query: "select 'child:' || d.name, format('table %s is read through its parent %s, which has no such policy', d.name, h.name)
                from declared d join heirs h on h.oid = d.relation and h.oid <> h.parent where h.class is null",
    hint: "Give the parent the same policy, or REVOKE it.",
}];

/// What may be accepted of these: only their keeper knows better.
const ACCEPTABLE: [&str; 4] = ["membership:", "personal:", "schema:", "undeclared:"];

/// Where nothing is declared.
const NOTHING_DECLARED: &str = "(select null::oid as relation, null::text as class, null::name as tenant_column,
    null::text as row_security, null::text as fence where false)";

/// The tables whose policy lets the role reach nothing but rows in which a column equals the customer's key, `$4`. The key
/// stands in the policy itself: what a setting or a function says could be changed by whoever is in, or is nobody's to judge.
/// It is for all commands, restrictive, and for each role whose rights the session can have, by SET ROLE too. Where the
/// column's own type compares, it is one whose equal values are the same: of citext, or of boxes, several keys are equal.
const DECLARED_BY_POLICY: &str = "(
    select distinct on (p.polrelid) p.polrelid as relation, 'own'::text as class, a.attname as tenant_column,
        'theirs'::text as row_security, pg_get_expr(p.polqual, p.polrelid) as fence
    from pg_policy p join pg_class t on t.oid = p.polrelid
    join pg_attribute a on a.attrelid = p.polrelid and a.attnum > 0 and not a.attisdropped
    join lateral (select y.typtype = 'e' or y.oid in ('smallint'::regtype, 'integer'::regtype, 'bigint'::regtype,
        'text'::regtype, 'varchar'::regtype, 'name'::regtype, 'uuid'::regtype) as is_exact
        from pg_type y where y.oid = a.atttypid) e on true
    where t.relrowsecurity and not p.polpermissive and p.polcmd = '*'
      and (p.polwithcheck is null or pg_get_expr(p.polwithcheck, p.polrelid) = pg_get_expr(p.polqual, p.polrelid))
      and not exists (select from reach r where not exists (select from unnest(p.polroles) o(oid)
          where case o.oid when 0 then true else pg_has_role(r.oid, o.oid, 'usage') end))
      and (a.attcollation = 0 or (select c.collisdeterministic from pg_collation c where c.oid = a.attcollation))
      and pg_get_expr(p.polqual, p.polrelid) in (
          case when $4 ~ '^[0-9]+$' and e.is_exact then format('(%I = %s)', a.attname, $4) end,
          case when e.is_exact then format('(%I = %L::%s)', a.attname, $4, format_type(a.atttypid, null)) end,
          format('((%I)::text = %L::text)', a.attname, $4))
    order by p.polrelid)";

/// The question, where none of our functions is installed.
fn direct(question: &str, layout: Layout) -> String {
    let declared = match layout {
        Layout::Database | Layout::Schema => NOTHING_DECLARED,
        Layout::Shared => DECLARED_BY_POLICY,
    };
    let all_schemas =
        "select nspname from pg_namespace where nspname !~ '^pg_' and nspname not in ('information_schema', 'public')";
    question
        .replace("portreeve.shared_report()", declared)
        .replace("'portreeve.customer()'::regprocedure", "0")
        .replace("select portreeve.fenced_schemas()", all_schemas)
}

/// Examines a role that somebody else manages, by what everybody may read of the catalogs. What is no fault there, or only
/// its keeper knows, may be accepted: what it is a member of, and which columns, schemas and tables are nobody's.
async fn examine(
    client: &Client,
    (place, layout): (Place<'_>, Layout),
    (role, scope): (&str, Scope),
    accepted: &[Accepted],
) -> Result<Report, Error> {
    let mut report = Report::default();
    if let Some(finding) = pooler(client, place.database).await? {
        report.sort_in(finding, Weight::Refuse, accepted);
    }
    let further = match layout {
        Layout::Database => [UNGRANTED, &[]],
        Layout::Schema => [SCHEMA_CHECKS, &[]],
        Layout::Shared => [SHARED_CHECKS, SHARED],
    };
    let asked = asked([OF_PRIMARY, OF_ALL, CHECKS].into_iter().chain(further), scope);
    let question = direct(&question(&asked), layout);
    let parameters = [role, "", "", place.tenant.unwrap_or_default(), ""];
    for (mut finding, weight) in answers(client, place.database, &question, &asked, parameters).await? {
        let may_be_accepted = ACCEPTABLE.iter().any(|kind| finding.word.starts_with(kind));
        if finding.word.starts_with("undeclared:") {
            finding.hint =
                "CREATE POLICY … AS RESTRICTIVE TO the role USING (its tenant column = the customer's key), or \
                            accept it if its rows are no customer's."
                    .to_owned();
        }
        report.sort_in(finding, if may_be_accepted { Weight::RefuseUnlessAccepted } else { weight }, accepted);
    }
    Ok(report)
}

impl Fence {
    /// Whether somebody else manages the login roles.
    pub fn is_external(&self) -> bool {
        self.0.external.is_some()
    }

    /// The login role that somebody else manages for that, and its password; `None`: the fence makes its own.
    ///
    /// # Errors
    /// If none is named for the scope, or several customers are in that database and it is not one for each.
    pub fn login<'a>(
        &self,
        place: impl Into<Place<'a>>,
        scope: Scope,
    ) -> Result<Option<(String, &Secret<String>)>, Error> {
        let Some(logins) = &self.0.external else { return Ok(None) };
        let place = place.into();
        let none = |reason: String| Error::NoLogin { database: place.database.to_owned(), reason };
        let found = logins.iter().find(|login| login.scope == scope);
        let login = found.ok_or_else(|| none(format!("none is named for the scope {}", scope.word())))?;
        let role = login.role_for(place.tenant).ok_or_else(|| {
            let role = &login.role;
            none(match place.tenant {
                Some(_) => format!(
                    "several customers are in it: the one role \"{role}\" would reach them all; write {TENANT} into its name \
                     where there is one for each"
                ),
                None => format!("it is one customer's alone: \"{role}\" is named after a schema or a tenant key"),
            })
        })?;
        if role.len() > NAME_BYTES_MAX {
            return Err(none(format!("the name \"{role}\" is longer than {NAME_BYTES_MAX} bytes")));
        }
        Ok(Some((role, &login.password)))
    }

    /// Examines what that role could do there, which somebody else manages. An error if that could not be found out, which is
    /// a refusal too.
    ///
    /// # Errors
    /// If the server cannot be asked.
    pub async fn external_test(
        &self,
        place: Place<'_>,
        layout: Layout,
        role: &str,
        scope: Scope,
    ) -> Result<Report, Error> {
        let (client, _) = self.client(Lane::Test, place.database).await?;
        let examined = examine(&client, (place, layout), (role, scope), &self.0.accepted);
        self.bounded(place.database, examined).await
    }

    /// Ends all backends of the login roles that somebody else manages for these customers, by their schemas and tenant keys, on
    /// the whole server: those a dead proxy left. Again and again until none is left; how many there were at first.
    ///
    /// # Errors
    /// After `within`, if the server cannot be asked, or the provisioner may not: then nothing is known to be gone.
    pub async fn end_left(
        &self,
        database: &str,
        tenants: &BTreeSet<Option<String>>,
        within: Duration,
    ) -> Result<usize, Error> {
        const SQL: &str = "select pg_terminate_backend(pid) from pg_stat_activity where usename = any($1)";
        let logins = self.0.external.iter().flatten();
        let roles: BTreeSet<String> =
            logins.flat_map(|login| tenants.iter().filter_map(|tenant| login.role_for(tenant.as_deref()))).collect();
        let roles: Vec<String> = roles.into_iter().collect();
        let (begun, mut pause, mut first) = (Instant::now(), POLL_FIRST, None);
        loop {
            let found = self.again(Lane::Control, database, SQL, &[(&roles, Type::TEXT_ARRAY)]).await?.len();
            let first = *first.get_or_insert(found);
            if found == 0 {
                return Ok(first);
            }
            if begun.elapsed() >= within {
                return Err(self.slow(database, within));
            }
            sleep(pause).await;
            pause = (pause * 2).min(POLL_MAX);
        }
    }
}

impl Login {
    /// The role for a customer with that schema or tenant key, or with the whole database; `None`: it is not for such.
    fn role_for(&self, tenant: Option<&str>) -> Option<String> {
        match (tenant, self.role.contains(TENANT)) {
            (None, false) => Some(self.role.clone()),
            (Some(tenant), true) => Some(self.role.replace(TENANT, tenant)),
            (None, true) | (Some(_), false) => None,
        }
    }
}
