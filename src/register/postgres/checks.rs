//! What a server must be like before a register is read from it or written to it, and what to do if it is not.
//! Not here: making it so (`prepare.sql`).

use tokio_postgres::{Client, Row};

use super::link::said;
use super::prepare::VERSION_MIN;
use crate::register::at::Place;
use crate::register::error::Error;

/// The version of the tables.
const VERSION: i32 = 1;

/// What is said of a server that is one.
pub(super) const STANDBY: &str = "the server is a standby, which takes no change; let the address lead to the primary";

const SERVER: &str = "
    select current_setting('server_version_num')::int4, pg_is_in_recovery(), current_setting('synchronous_commit'),
        current_setting('fsync'), current_setting('full_page_writes'),
        exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace
                where nspname = 'portreeve_register' and relname = 'register'),
        coalesce(has_schema_privilege(to_regnamespace('portreeve_register'), 'usage'), false),
        current_setting('session_replication_role'),
        (current_setting('search_path'), current_setting('statement_timeout'), current_setting('lock_timeout'),
         current_setting('default_transaction_isolation'), current_setting('default_transaction_read_only'))
        = ('pg_catalog', '2500ms', '2s', 'read committed', 'off')";

/// What is missing, and what is too much: for the role, and for every role that it could become (of a superuser and of an
/// owner everything is too much); what else acts on the tables, and whether what must act on them does.
const RIGHTS: &str = "
    with self as (select * from pg_roles where rolname = session_user),
    may as (select * from pg_roles where pg_has_role(session_user, oid, 'member')),
    tables as (select * from pg_class where relnamespace = to_regnamespace('portreeve_register')),
    triggers as (
        select tgname, proname, relname, tgenabled from pg_trigger join tables on tables.oid = tgrelid
        join pg_proc on pg_proc.oid = tgfoid where not tgisinternal),
    own_triggers (tgname, proname, relname) as (values
        ('event_stays', 'stays', 'event'), ('event_stays_whole', 'stays', 'event'),
        ('event_under_way', 'under_way', 'event'), ('event_told', 'told', 'event'),
        ('event_is_not_abandoned', 'not_abandoned', 'event')),
    strange (named) as (
        select 'trigger ' || tgname || ' on ' || relname from triggers
            where (tgname, proname, relname) not in (select * from own_triggers)
        union all select 'rule ' || rulename || ' on ' || relname
            from pg_rewrite join tables on tables.oid = ev_class
        union all select 'row security on ' || relname from tables where relrowsecurity),
    wanted (held, relation, privilege) as (values
        (true, 'register', 'select'), (true, 'event', 'select'), (true, 'event', 'insert'), (true, 'side', 'select'),
        (true, 'side', 'insert'), (true, 'side', 'delete'), (true, 'checkpoint', 'select'),
        (true, 'checkpoint', 'insert'), (true, 'checkpoint', 'update'),
        (true, 'abandoned', 'select'), (true, 'abandoned', 'insert'), (false, 'abandoned', 'update'),
        (false, 'abandoned', 'delete'), (false, 'abandoned', 'truncate'), (false, 'abandoned', 'trigger'),
        (false, 'register', 'insert'), (false, 'register', 'update'), (false, 'register', 'delete'),
        (false, 'register', 'truncate'), (false, 'register', 'trigger'),
        (false, 'event', 'update'), (false, 'event', 'delete'), (false, 'event', 'truncate'),
        (false, 'event', 'trigger'), (false, 'side', 'update'), (false, 'side', 'truncate'), (false, 'side', 'trigger'),
        (false, 'checkpoint', 'delete'), (false, 'checkpoint', 'truncate'), (false, 'checkpoint', 'trigger')),
    found as (
        select held, privilege || ' on ' || relation as named, may.oid = self.oid as own,
            coalesce(case when privilege in ('insert', 'update')
                then has_any_column_privilege(may.oid, to_regclass('portreeve_register.' || relation)::oid, privilege)
                else has_table_privilege(may.oid, to_regclass('portreeve_register.' || relation)::oid, privilege)
            end, false) as has
        from wanted, may, self
        union all select true, 'execute on ' || signature, true, coalesce(has_function_privilege(
            session_user, to_regprocedure('portreeve_register.' || signature)::oid, 'execute'), false)
        from (values ('settle(bytea)'), ('rewrite(xid8)')) as functions (signature)),
    owned (named, owner) as (
        select 'the database', datdba from pg_database where datname = current_database()
        union all select 'the schema', nspowner from pg_namespace where nspname = 'portreeve_register'
        union all select relname, relowner from tables where relkind <> 'i'
        union all select proname || '()', proowner from pg_proc
            where pronamespace = to_regnamespace('portreeve_register')),
    excess (named) as (
        select named from found where not held and has
        union all select attribute from self, lateral (values
            (rolcreaterole, 'createrole'), (rolcreatedb, 'createdb'), (rolreplication, 'replication'),
            (rolbypassrls, 'bypassrls')) as given (has, attribute) where has
        union all select privilege || ' on the database' from may, (values ('create'), ('temporary')) as given (privilege)
            where has_database_privilege(may.oid, current_database()::text, privilege)
        union all select 'create on the schema' from may where has_schema_privilege(oid, 'portreeve_register', 'create')
        union all select 'set on session_replication_role' from may
            where has_parameter_privilege(oid, 'session_replication_role', 'set')
        union all select 'ownership of ' || named from owned join may on may.oid = owner
        union all select 'membership in ' || may.rolname from may, self
            where may.oid <> self.oid
            and (may.rolsuper or may.rolcreaterole or may.rolcreatedb or may.rolreplication or may.rolbypassrls
                or may.rolname in ('pg_execute_server_program', 'pg_read_server_files', 'pg_write_server_files')))
    select (select string_agg(named, ', ') from found where held and own and not has),
        (select case when rolsuper then 'superuser' else (select string_agg(distinct named, ', ') from excess) end
         from self),
        (select string_agg(named, ', ') from strange),
        not exists (select tgname, proname, relname from own_triggers
                    except select tgname, proname, relname from triggers where tgenabled = 'A')";

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
    let [missing, excess, strange] = [0, 1, 2].map(|column| rights.get::<_, Option<String>>(column));
    if let Some(missing) = missing {
        return unfit(format!("role {role} lacks {missing}; {PREPARE}"));
    }
    if let Some(excess) = excess {
        return unfit(format!(
            "role {role} has more rights than a register that only grows allows ({excess}), by itself or by a role it is \
             a member of; it must be neither a superuser nor the tables' owner; revoke them, or name another role in \
             [register] and {PREPARE}"
        ));
    }
    if let Some(strange) = strange {
        return unfit(format!(
            "what acts on its tables is not all its own ({strange}) and could keep back or change what is appended: look at \
             who made it, then drop it or switch it off"
        ));
    }
    if !rights.get::<_, bool>(3) {
        return unfit(format!("the triggers that keep events from being changed are not all there; {PREPARE}"));
    }
    Ok(())
}

fn fault_of_server(row: &Row) -> Option<String> {
    let version: i32 = row.get(0);
    let (commit, fsync, whole, replication): (&str, &str, &str, &str) =
        (row.get(2), row.get(3), row.get(4), row.get(7));
    if version < VERSION_MIN {
        return Some(format!("it is PostgreSQL {}; 15 or newer is needed", version / 10_000));
    }
    if row.get(1) {
        return Some(STANDBY.to_owned());
    }
    if !row.get::<_, bool>(8) {
        return Some(
            "the settings that were asked for did not arrive: something between here and the server, such as a pooler, \
             drops them; let the address lead to the server itself"
                .to_owned(),
        );
    }
    if !matches!(commit, "on" | "remote_apply") {
        return Some(format!(
            "synchronous_commit is {commit}: what was decided could be lost; something between here and the server \
             overrules what was asked for: let the address lead to the server itself"
        ));
    }
    if replication != "origin" {
        return Some(format!(
            "session_replication_role is {replication}, which switches off what holds the tables together; reset it for \
             the role, the database and the server"
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
