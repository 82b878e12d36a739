use super::*;

#[test]
fn only_a_plain_deallocate_names_what_goes() {
    let cases: [(&str, Option<&str>); 14] = [
        ("DEALLOCATE s1", Some("s1")),
        ("  deallocate\tprepare S_1 ; ", Some("s_1")),
        ("deallocate \"Odd Name\"", Some("Odd Name")),
        ("deallocate prepare", Some("prepare")),
        ("deallocate \"a\"\"b\"", None),
        ("deallocate \"\"", None),
        ("deallocate s1; select 1", None),
        ("deallocate /* no */ s1", None),
        ("deallocate s1 -- no", None),
        ("deallocate é", None),
        ("deallocate 1a", None),
        ("deallocate", None),
        ("select 1", None),
        ("", None),
    ];
    for (text, name) in cases {
        assert_eq!(deallocated(text.as_bytes()), name.map(|name| Name::new(name.as_bytes())), "{text}");
    }
}
