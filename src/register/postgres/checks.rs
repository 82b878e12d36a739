//! What a server must be like before a register is read from it or written to it, and what to do if it is not.
//! Not here: making it so (`prepare.sql`).

use tokio_postgres::{Client, Row};

use super::link::said;
use super::prepare::VERSION_MIN;
use crate::register::at::Place;
use crate::register::error::Error;

/// The version of the tables.
const VERSION: i32 = 1;

const SERVER: &str = "
    select current_setting('server_version_num')::int4, pg_is_in_recovery(), current_setting('synchronous_commit'),
        current_setting('fsync'), current_setting('full_page_writes'),
        exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where nspname = 'portreeve_register' and relname = 'register'),
        coalesce(has_schema_privilege(to_regnamespace('portreeve_register'), 'usage'), false)";

/// What is missing, what is too much, and which triggers hold: of a superuser and an owner everything is too much.
const RIGHTS: &str = "
    with wanted (held, relation, privilege) as (values
        (true, 'register', 'select'), (true, 'event', 'select'), (true, 'event', 'insert'), (true, 'side', 'select'),
        (true, 'side', 'insert'), (true, 'side', 'delete'), (true, 'checkpoint', 'select'),
        (true, 'checkpoint', 'insert'), (true, 'checkpoint', 'update'),
        (false, 'register', 'insert'), (false, 'register', 'update'), (false, 'register', 'delete'),
        (false, 'event', 'update'), (false, 'event', 'delete'), (false, 'event', 'truncate'),
        (false, 'event', 'trigger'), (false, 'side', 'update'), (false, 'side', 'truncate'), (false, 'side', 'trigger'),
        (false, 'checkpoint', 'delete'), (false, 'checkpoint', 'truncate'), (false, 'checkpoint', 'trigger')),
    found as (
        select held, privilege || ' on ' || relation as named,
            case when privilege in ('insert', 'update')
                then has_any_column_privilege('portreeve_register.' || relation, privilege)
                else has_table_privilege('portreeve_register.' || relation, privilege) end as has
        from wanted)
    select string_agg(named, ', ') filter (where held and not has),
        string_agg(named, ', ') filter (where not held and has),
        (select count(*) from pg_trigger where tgrelid = 'portreeve_register.event'::regclass
         and (tgname, tgenabled) in (('event_stays', 'A'), ('event_stays_whole', 'A'), ('event_under_way', 'O'),
                                     ('event_told', 'O')))
    from found";

/// Whether a register can be kept there by that role.
///
/// # Errors
/// [`Error::NotARegister`] for tables of another version, [`Error::Unfit`] for what else is not as it must be.
pub(super) async fn check(client: &Client, place: &Place, role: &str) -> Result<(), Error> {
    let unfit = |why: String| Err(Error::Unfit { place: place.clone(), why });
    let server = one(client, place, SERVER).await?;
    if let Some(why) = fault_of_server(&server) {
        return unfit(why);
    }
    const PREPARE: &str = "run \"portreeve register prepare\" as a superuser";
    if !server.get::<_, bool>(5) {
        return unfit(format!("the database holds no tables of a register; {PREPARE}"));
    }
    if !server.get::<_, bool>(6) {
        return unfit(format!("role {role} may not use the schema portreeve_register; {PREPARE}"));
    }
    let found: i32 = one(client, place, "select version from portreeve_register.register").await?.get(0);
    if found != VERSION {
        return Err(Error::NotARegister(place.clone()));
    }
    let rights = one(client, place, RIGHTS).await?;
    let (missing, excess): (Option<String>, Option<String>) = (rights.get(0), rights.get(1));
    if let Some(missing) = missing {
        return unfit(format!("role {role} lacks {missing}; {PREPARE}"));
    }
    if let Some(excess) = excess {
        return unfit(format!(
            "role {role} has more rights than a register that only grows allows ({excess}); it must be neither a \
             superuser nor the tables' owner; revoke them, or name another role in [register] and {PREPARE}"
        ));
    }
    if rights.get::<_, i64>(2) != 4 {
        return unfit(format!("the triggers that keep events from being changed are not all there; {PREPARE}"));
    }
    Ok(())
}

fn fault_of_server(row: &Row) -> Option<String> {
    let version: i32 = row.get(0);
    let (commit, fsync, whole): (&str, &str, &str) = (row.get(2), row.get(3), row.get(4));
    if version < VERSION_MIN {
        return Some(format!("it is PostgreSQL {}; 15 or newer is needed", version / 10_000));
    }
    if row.get(1) {
        return Some("the server is a standby, which takes no change; let the address lead to the primary".to_owned());
    }
    if !matches!(commit, "on" | "remote_apply") {
        return Some(format!(
            "synchronous_commit is {commit}: what was decided could be lost; something between here and the server \
             overrules what was asked for: let the address lead to the server itself"
        ));
    }
    let off = [("fsync", fsync), ("full_page_writes", whole)].into_iter().find(|(_, value)| *value != "on")?;
    Some(format!("{} is {} on the server: what was decided could be lost; turn it on", off.0, off.1))
}

async fn one(client: &Client, place: &Place, sql: &str) -> Result<Row, Error> {
    let rows = client.query_typed(sql, &[]).await.map_err(|fault| Error::Server {
        doing: "check",
        place: place.clone(),
        said: said(&fault),
    })?;
    rows.into_iter().next().ok_or_else(|| Error::Unfit { place: place.clone(), why: "it is empty".to_owned() })
}
