//! What a register is not kept in, and what is said of it.

use super::*;
use crate::grant::world::trust;
use crate::register::kept::Shelf;
use crate::register::{At, Register};

/// What is done to the database, what is said of it, and how it is undone; with nothing there, preparing it again mends it.
type Case = [&'static str; 3];

const EXCESSIVE: &[Case] = &[
    [
        "grant update on portreeve_register.event to portreeve_register",
        "register that only grows allows (update on event)",
        "",
    ],
    // With the ownership goes what had been granted.
    [
        "alter database {database} owner to portreeve_register",
        "ownership of the database",
        "alter database {database} owner to postgres; grant connect on database {database} to portreeve_register",
    ],
    ["grant temporary on database {database} to portreeve_register", "temporary on the database", ""],
    ["grant create on database {database} to portreeve_register", "create on the database", ""],
    ["grant create on schema portreeve_register to portreeve_register", "(create on the schema)", ""],
    [
        "alter schema portreeve_register owner to outsider",
        "ownership of the schema",
        "alter schema portreeve_register owner to postgres",
    ],
    [
        // It becomes its owner with "set role" only.
        "alter role portreeve_register noinherit; alter table portreeve_register.side owner to outsider",
        "ownership of side",
        "alter table portreeve_register.side owner to postgres",
    ],
    [
        "grant pg_write_all_data to portreeve_register",
        "update on event",
        "revoke pg_write_all_data from portreeve_register",
    ],
    [
        "grant pg_execute_server_program to portreeve_register",
        "(membership in pg_execute_server_program)",
        "revoke pg_execute_server_program from portreeve_register",
    ],
    [
        "grant set on parameter session_replication_role to outsider",
        "(set on session_replication_role)",
        "revoke set on parameter session_replication_role from outsider",
    ],
    ["alter role portreeve_register createrole", "(createrole)", "alter role portreeve_register nocreaterole"],
    [
        "alter role portreeve_register createdb replication bypassrls",
        "(bypassrls, createdb, replication)",
        "alter role portreeve_register nocreatedb noreplication nobypassrls",
    ],
    ["grant update (hash) on portreeve_register.event to portreeve_register", "(update on event)", ""],
    [
        "grant truncate on portreeve_register.side to public",
        "(truncate on side)",
        "revoke truncate on portreeve_register.side from public",
    ],
    [
        "alter role portreeve_register superuser",
        "allows (superuser), by itself or by a role it is a member of; it must be neither a superuser nor the tables' owner",
        "alter role portreeve_register nosuperuser",
    ],
];

const UNFIT: &[Case] = &[
    ["revoke insert on portreeve_register.event from portreeve_register", "lacks insert on event; run", ""],
    ["revoke delete on portreeve_register.side from portreeve_register", "lacks delete on side; run", ""],
    [
        "revoke execute on function portreeve_register.settle(bytea) from portreeve_register",
        "lacks execute on settle(bytea); run",
        "",
    ],
    ["drop function portreeve_register.rewrite(xid8)", "lacks execute on rewrite(xid8); run", ""],
    ["revoke usage on schema portreeve_register from portreeve_register", "may not use the schema", ""],
    [
        "alter table portreeve_register.event disable trigger event_stays",
        "triggers that keep events from being changed",
        "",
    ],
    ["drop trigger event_under_way on portreeve_register.event", "are not all there; run", ""],
    [
        "create trigger swallow before insert on portreeve_register.side execute function tsvector_update_trigger()",
        "is not all its own (trigger swallow on side)",
        "drop trigger swallow on portreeve_register.side",
    ],
    [
        "create rule swallow as on insert to portreeve_register.checkpoint do instead nothing",
        "is not all its own (rule swallow on checkpoint)",
        "drop rule swallow on portreeve_register.checkpoint",
    ],
    [
        "alter table portreeve_register.event enable row level security",
        "is not all its own (row security on event)",
        "alter table portreeve_register.event disable row level security",
    ],
    // Replaying replication would switch it off.
    ["alter table portreeve_register.event enable trigger event_told", "are not all there; run", ""],
    [
        "alter database {database} set session_replication_role = replica",
        "session_replication_role is replica",
        "alter database {database} reset session_replication_role",
    ],
    ["alter role portreeve_register nologin", "is not permitted to log in", "alter role portreeve_register login"],
];

pub(super) fn refused(server: &RegisterServer) -> String {
    Register::open(At::Server(server.clone()), trust()).map(drop).expect_err("it is refused").to_string()
}

/// Each thing that is not as it must be, what is said of it, and how it is mended.
pub(super) fn what_cannot_be_used_is_refused_with_what_to_do(shelf: &Shelf) {
    let server = shelf.database();
    let is_open = || drop(Register::open(At::Server(server.clone()), trust()).expect("it opens"));
    let nothing = refused(&server);
    assert!(nothing.contains("holds no tables of a register; run \"portreeve register prepare\""), "{nothing}");
    shelf.prepare(&server).expect("prepared");
    is_open();
    shelf.sql("postgres", "create role outsider; grant outsider to portreeve_register").expect("harmless by itself");
    is_open();
    for case in [EXCESSIVE, UNFIT].concat() {
        let [sql, says, undo] = case.map(|text| text.replace("{database}", &server.database));
        shelf.sql(&server.database, &sql).expect("it is done");
        let told = refused(&server);
        assert!(told.contains(&says) && told.contains(&server.database), "{sql}: {told}");
        match undo.as_str() {
            "" => shelf.prepare(&server).expect("prepared"),
            undo => drop(shelf.sql(&server.database, undo).expect("undone")),
        }
        is_open();
    }
    let newer = "update portreeve_register.register set version = 2";
    shelf.sql(&server.database, newer).expect("a newer version");
    let told = shelf.prepare(&server).expect_err("it is not made older").to_string();
    assert!(told.contains("the register is of version 2, which a newer portreeve made"), "{told}");
}
