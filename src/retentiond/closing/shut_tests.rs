//! Whom `[road]` names, and of which database a note is.

use super::{Note, role_of};

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
