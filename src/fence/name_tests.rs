use super::*;

#[test]
fn a_scope_role_is_named_after_its_database_and_fits() {
    assert_eq!(scope_role("acme", Scope::Read), "portreeve_acme_read");
    assert_eq!(scope_role("acme", Scope::Write), "portreeve_acme_write");
    let (long, other) = ("a".repeat(62) + "b", "a".repeat(62) + "c");
    for scope in [Scope::Metadata, Scope::Read, Scope::Write] {
        let role = scope_role(&long, scope);
        assert!(role.len() <= NAME_BYTES_MAX, "{role}");
        assert_ne!(role, scope_role(&other, scope), "two long names stay apart");
        assert!(scope_role(&"é".repeat(31), scope).len() <= NAME_BYTES_MAX, "cut between letters");
    }
}

#[test]
fn a_grants_role_passes_the_databases_check() {
    assert_eq!(role_name("gate-1", "g12"), "pr_g_gate_1_g12");
    assert_eq!(role_name("Gate\"", "é"), "pr_g_gate__e".replace("_e", "__"));
}

#[test]
fn quoting_survives_quotes_and_backslashes() {
    assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    assert_eq!(literal("o'b"), "'o''b'");
    assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
}
