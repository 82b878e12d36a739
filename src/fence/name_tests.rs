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
    for proxy in ["gate-1", "Gate\"", "é", "", &"eu-central-1-gate".repeat(9)] {
        let role = grant_role(&family(proxy), u32::MAX, 9_999_999_999_999, u32::MAX);
        assert!(role.len() <= NAME_BYTES_MAX, "{role}");
        assert!(role.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_')), "{role}");
    }
    assert_eq!(family("gate-1"), "pr_g_96472121_gate_1_");
}

#[test]
fn no_proxy_takes_another_proxys_roles_for_its_own() {
    let long = "eu-central-1-gate";
    let ids = ["gate", "gate-1", "gate_1", "Gate-1", "gate-1-2", "gate-00c0ffee-1", "", &format!("{long}a"), long];
    for one in ids {
        for other in ids {
            let role = grant_role(&family(other), 0x00c0_ffee, 12, 0xdead_beef);
            assert_eq!(is_of_family(&role, &family(one)), one == other, "{one:?} and {role}");
        }
    }
    let family = family("gate");
    for rest in ["", "1", "00c0ffee_12", "00c0ffee_12_deadbeef_", "00c0ffee__deadbeef", "1_00c0ffee_12_deadbeef"] {
        assert!(!is_of_family(&format!("{family}{rest}"), &family), "{rest}");
    }
}

#[test]
fn quoting_survives_quotes_and_backslashes() {
    assert_eq!(identifier("a\"b"), "\"a\"\"b\"");
    assert_eq!(literal("o'b"), "'o''b'");
    assert_eq!(literal("a\\'b"), "E'a\\\\''b'");
}
