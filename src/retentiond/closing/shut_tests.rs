//! Whom `[road]` names, what is left open at replicas, and of which database a note is.

use super::{Note, Place, read_on, role_of};

#[test]
fn a_role_ends_at_the_last_at_sign() {
    for (who, role) in [
        ("app", "app"),
        ("app@10.0.0.0/8", "app"),
        ("postgres@local", "postgres"),
        ("backup@example.org@local", "backup@example.org"),
    ] {
        assert_eq!(role_of(who), role);
    }
}

#[test]
fn who_reads_at_a_replica_of_a_closed_database_reads_on_and_that_is_told() {
    let (none, two) = ([], ["reader".to_owned(), "spare".to_owned()]);
    let told = "; not ended: sessions that are open at reader, spare, which read on until they end";
    for (place, replicas, said) in [
        (Place::Database, none.as_slice(), ""),
        (Place::Database, two.as_slice(), told),
        // Of a schema no session is ended at the primary either: the next statement is refused.
        (Place::Schema("acme".to_owned()), two.as_slice(), ""),
    ] {
        assert_eq!(read_on(&place, replicas.iter()), said, "{place:?}");
    }
}

#[test]
fn a_note_is_of_its_server_and_its_database_where_it_names_them() {
    let here = ("7".to_owned(), Some(16_384));
    for (server, oid, is_of_another) in [
        (None, None, false),
        (Some("7"), Some(16_384), false),
        (Some("8"), Some(16_384), true),
        (Some("7"), Some(16_385), true),
        (Some("7"), None, false),
    ] {
        let note = Note { server: server.map(str::to_owned), oid, ..Note::default() };
        assert_eq!(note.is_of_another(&here), is_of_another, "{note:?}");
    }
}
