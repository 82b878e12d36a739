//! Shuts everybody but a few out of what a closed account has for itself, a database or a schema, and lets the same in
//! again if the account is reopened. What will be taken is told before, so that whoever calls can write it down first.
//! Not here: shared tables, which have the write fence (`tombstone.rs`). HOLE: superusers are never shut out.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Connection, Error};
use crate::datamap::name::{identifier, literal};

/// How often it is looked whether sessions and transactions have ended, and how often at the most.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
const LOOKS: u32 = 20;

/// What an account has for itself, in the database of the connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The whole database.
    Database,
    /// The schema of that name.
    Schema(String),
}

/// A privilege on it, as it stands in the catalog.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Privilege {
    /// Such as `CONNECT`.
    pub name: String,
    /// Whose; none is PUBLIC.
    pub role: Option<String>,
    /// Whether with the right to grant it to others.
    pub is_grantable: bool,
}

/// What shutting out changes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shut {
    /// What is taken.
    pub taken: Vec<Privilege>,
    /// What is given to those who keep access and had it through others.
    pub given: Vec<Privilege>,
}

impl Shut {
    /// This and what was found later.
    pub fn and(mut self, later: &Shut) -> Shut {
        let is_new = |known: &[Privilege], one: &Privilege| {
            !known.iter().any(|known| (&known.name, &known.role) == (&one.name, &one.role))
        };
        let taken = later.taken.iter().filter(|one| is_new(&self.taken, one));
        let taken: Vec<Privilege> = taken.cloned().collect();
        let given = later.given.iter().filter(|one| is_new(&self.given, one));
        let given: Vec<Privilege> = given.cloned().collect();
        self.taken.extend(taken);
        self.given.extend(given);
        self
    }
}

impl Place {
    /// As GRANT and REVOKE name it.
    fn sql(&self, connection: &Connection) -> String {
        match self {
            Place::Database => format!("database {}", identifier(connection.database())),
            Place::Schema(schema) => format!("schema {}", identifier(schema)),
        }
    }

    /// Its privileges as rows of `acl`: `name`, `grantee`, `role`, `is_grantable`.
    fn acl(&self) -> String {
        let (from, names) = match self {
            Place::Database => (
                "pg_database o, aclexplode(coalesce(o.datacl, acldefault('d', o.datdba))) a where o.datname = \
                 current_database()"
                    .to_owned(),
                "'CONNECT'",
            ),
            Place::Schema(schema) => (
                format!(
                    "pg_namespace o, aclexplode(coalesce(o.nspacl, acldefault('n', o.nspowner))) a where o.nspname = {}",
                    literal(schema)
                ),
                "'USAGE', 'CREATE'",
            ),
        };
        format!(
            "acl as (select a.privilege_type as name, a.grantee, (select rolname from pg_roles r where r.oid = a.grantee) \
             as role, a.is_grantable from {from} and a.privilege_type in ({names}))"
        )
    }

    /// Whether role `r` can get in, by whatever way.
    fn enters(&self) -> String {
        match self {
            Place::Database => "has_database_privilege(r.oid, current_database(), 'CONNECT')".to_owned(),
            Place::Schema(schema) => format!("has_schema_privilege(r.oid, {}, 'USAGE')", literal(schema)),
        }
    }

    /// A condition more: whom it lets see every schema, and write nowhere, no REVOKE on one shuts out. It lets nobody
    /// connect to a database.
    fn reads_anyway(&self) -> &'static str {
        match self {
            Place::Database => "",
            Place::Schema(_) => {
                "and not (pg_has_role(r.oid, 'pg_read_all_data', 'usage')
                     and not pg_has_role(r.oid, 'pg_write_all_data', 'usage'))"
            }
        }
    }

    fn enter(&self) -> &'static str {
        match self {
            Place::Database => "CONNECT",
            Place::Schema(_) => "USAGE",
        }
    }
}

/// A condition: the role of that name keeps access. Superusers do whatever is done.
fn keeps(role: &str, keep: &[String]) -> String {
    let keep: Vec<String> = keep.iter().map(|role| literal(role)).collect();
    let named = if keep.is_empty() { String::new() } else { format!(" or {role} in ({})", keep.join(", ")) };
    format!("({role} = current_user{named} or {role} in (select rolname from pg_roles where rolsuper))")
}

/// What shutting out would change now. `keep`: roles that keep access, besides the connection's own.
///
/// # Errors
/// [`Error::Database`].
pub async fn would_take(connection: &Connection, place: &Place, keep: &[String]) -> Result<Shut, Error> {
    let acl = place.acl();
    let taken = format!(
        "with {acl} select name, role, is_grantable::text from acl where role is null and grantee = 0
             or role is not null and not {} order by 1, 2",
        keeps("role", keep)
    );
    let given = format!(
        "with {acl} select {enter}, r.rolname, 'false' from pg_roles r where not r.rolsuper and {keeps} and {enters}
             and not exists (select from acl where acl.grantee = r.oid and acl.name = {enter}) order by 2",
        enter = literal(place.enter()),
        keeps = keeps("r.rolname", keep),
        enters = place.enters(),
    );
    let privilege = |row: Vec<Option<String>>| {
        let mut row = row.into_iter();
        let (name, role, grantable) = (row.next().flatten()?, row.next().flatten(), row.next().flatten());
        Some(Privilege { name, role, is_grantable: grantable.as_deref() == Some("true") })
    };
    let taken = connection.texts(&taken).await?.into_iter().filter_map(privilege).collect();
    let given = connection.texts(&given).await?.into_iter().filter_map(privilege).collect();
    Ok(Shut { taken, given })
}

/// Shuts out: takes and gives in one transaction, then waits until nobody is left who was in. May be called again.
///
/// # Errors
/// [`Error::Refused`] if somebody still gets in, or does not leave; [`Error::Database`].
pub async fn shut_out(connection: &Connection, place: &Place, shut: &Shut, keep: &[String]) -> Result<(), Error> {
    let on = place.sql(connection);
    let given = shut.given.iter().map(|one| grant(&on, one));
    let taken = shut.taken.iter().map(|one| format!("revoke {} on {on} from {}", one.name, whom(one)));
    together(connection, given.chain(taken)).await?;
    let who = format!(
        "select r.rolname from pg_roles r where r.rolcanlogin and not {} and {} {} order by 1",
        keeps("r.rolname", keep),
        place.enters(),
        place.reads_anyway()
    );
    let still: Vec<String> = connection.texts(&who).await?.into_iter().flatten().flatten().collect();
    if !still.is_empty() {
        return Err(Error::Refused(format!(
            "{on} of a closed account is still open to {}: another than its owner granted {}, or they are members of a \
             role that keeps it; revoke that",
            still.join(", "),
            place.enter()
        )));
    }
    left(connection, place, keep).await
}

/// Gives back what was taken and takes what was given. What belongs to roles that are gone is left out, and told.
///
/// # Errors
/// [`Error::Database`].
pub async fn let_in(connection: &Connection, place: &Place, shut: &Shut) -> Result<Vec<String>, Error> {
    let on = place.sql(connection);
    let roles = connection.texts("select rolname from pg_roles").await?;
    let roles: Vec<String> = roles.into_iter().flatten().flatten().collect();
    let is_there = |one: &&Privilege| one.role.as_ref().is_none_or(|role| roles.contains(role));
    let taken = shut.taken.iter().filter(is_there).map(|one| grant(&on, one));
    let given = shut.given.iter().filter(is_there).map(|one| format!("revoke {} on {on} from {}", one.name, whom(one)));
    together(connection, taken.chain(given)).await?;
    Ok(shut.taken.iter().filter(|one| !is_there(one)).filter_map(|one| one.role.clone()).collect())
}

fn whom(privilege: &Privilege) -> String {
    privilege.role.as_deref().map_or("public".to_owned(), identifier)
}

fn grant(on: &str, privilege: &Privilege) -> String {
    let grantable = if privilege.is_grantable { " with grant option" } else { "" };
    format!("grant {} on {on} to {}{grantable}", privilege.name, whom(privilege))
}

/// All of it or nothing.
async fn together(connection: &Connection, statements: impl Iterator<Item = String>) -> Result<(), Error> {
    let statements: Vec<String> = statements.collect();
    if statements.is_empty() {
        return Ok(());
    }
    // one message of several statements is one transaction
    connection.run(&statements.join("; ")).await
}

/// Waits for those who were in: of a database, sessions are ended; of a schema, what writes there comes to its end.
async fn left(connection: &Connection, place: &Place, keep: &[String]) -> Result<(), Error> {
    match place {
        Place::Database => {
            let others = format!(
                "from pg_stat_activity s where s.datname = current_database() and s.pid <> pg_backend_pid()
                     and s.backend_type = 'client backend' and not {}",
                keeps("s.usename", keep)
            );
            let end = format!("select count(*) from (select pg_terminate_backend(s.pid) {others}) e");
            for _ in 0..LOOKS {
                if connection.number(&end).await? == 0 {
                    return Ok(());
                }
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            let database = connection.database();
            Err(Error::Refused(format!("sessions in database \"{database}\" do not end though they were told to")))
        }
        Place::Schema(schema) => {
            let tables = format!(
                "select c.oid from pg_class c join pg_namespace n on n.oid = c.relnamespace where n.nspname = {}",
                literal(schema)
            );
            written(connection, &tables, "clock_timestamp()").await
        }
    }
}

/// Waits for the end of every transaction that writes to one of those `relations` and began before the moment `before`.
pub(super) async fn written(connection: &Connection, relations: &str, before: &str) -> Result<(), Error> {
    let writers = format!(
        "select distinct l.virtualtransaction from pg_locks l left join pg_stat_activity s on s.pid = l.pid
         where l.locktype = 'relation' and l.pid is distinct from pg_backend_pid()
             and l.database = (select oid from pg_database where datname = current_database())
             and l.mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
             and l.relation in ({relations}) and coalesce(s.xact_start <= ({before}), true)"
    );
    ended(connection, &writers, "have written to a closed account's rows").await
}

/// Waits for the end of every transaction in the database that holds a snapshot and began before the moment `before`: in a
/// repeatable one, what it writes later is judged by what it saw first. Retention's own are judged by nothing.
pub(super) async fn looked(connection: &Connection, before: &str) -> Result<(), Error> {
    let holders = format!(
        "select s.pid || ' ' || s.xact_start from pg_stat_activity s
         where s.datname = current_database() and s.pid <> pg_backend_pid() and s.backend_type = 'client backend'
             and s.usename is distinct from session_user and s.backend_xmin is not null and s.xact_start <= ({before})"
    );
    ended(connection, &holders, "look at a closed account's rows as they were before").await
}

/// Waits until none of the transactions that the query names now is open any more.
async fn ended(connection: &Connection, query: &str, what: &str) -> Result<(), Error> {
    let texts = async || -> Result<Vec<String>, Error> {
        Ok(connection.texts(query).await?.into_iter().flatten().flatten().collect())
    };
    let mut open = texts().await?;
    for _ in 0..LOOKS {
        if open.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(LOOK_AGAIN).await;
        let now = texts().await?;
        open.retain(|one| now.contains(one));
    }
    Err(Error::Refused(format!("{} transactions that {what} do not come to an end", open.len())))
}
