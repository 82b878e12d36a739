//! Preparing a database for retention: a maintenance role with no more than it needs, and the tables it keeps count in.
//! Not here: a password for the role, which the operator sets or replaces by a certificate.

use super::{Connection, Error};
use crate::datamap::name::identifier;

/// The role retention signs in with.
pub const MAINTENANCE: &str = "portreeve_maintenance";

/// The statements, for people who want to read or run them themselves.
pub const PREPARE_SQL: &str = include_str!("prepare.sql");

/// Owners of what is purged: tables, large objects and the database.
const OWNERS: &str = "
with owners as (
    select c.relowner as oid, format('%I.%I', n.nspname, c.relname) as what
    from pg_class c join pg_namespace n on n.oid = c.relnamespace
    where c.relkind in ('r', 'p', 'm') and n.nspname not in ('information_schema', 'portreeve') and n.nspname !~ '^pg_'
    union all select datdba, format('database %I', datname) from pg_database where datname = current_database()
    union all select nspowner, format('schema %I', nspname) from pg_namespace
    where nspname not in ('information_schema', 'portreeve', 'public') and nspname !~ '^pg_'
    union all select lomowner, 'large objects' from pg_largeobject_metadata)
select r.rolname::text, r.rolsuper, min(o.what), pg_has_role('portreeve_maintenance', r.oid, 'usage')
from owners o join pg_roles r on r.oid = o.oid group by r.oid, r.rolname, r.rolsuper order by r.rolname";

/// What was done and what is in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prepared {
    /// Roles the maintenance role has become a member of.
    pub member_of: Vec<String>,
    /// What it cannot purge, and what to do.
    pub notes: Vec<String>,
}

/// Prepares the database of `superuser`'s connection.
///
/// # Errors
/// [`Error::Database`], if it is no superuser above all.
pub async fn prepare(superuser: &Connection) -> Result<Prepared, Error> {
    superuser.run(PREPARE_SQL).await?;
    let mut prepared = Prepared::default();
    for row in superuser.rows(OWNERS).await? {
        let failed = |error| superuser.failed(error);
        let owner: String = row.try_get(0).map_err(failed)?;
        let (is_superuser, is_member): (bool, bool) =
            (row.try_get(1).map_err(failed)?, row.try_get(3).map_err(failed)?);
        let what: String = row.try_get(2).map_err(failed)?;
        if is_superuser {
            prepared.notes.push(format!(
                "{what} belongs to superuser {owner}, whom the maintenance role must not become: give it another owner"
            ));
        } else if !is_member && owner != MAINTENANCE {
            superuser.run(&format!("grant {} to {MAINTENANCE}", identifier(&owner))).await?;
            prepared.member_of.push(owner);
        }
    }
    Ok(prepared)
}
