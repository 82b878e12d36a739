use super::*;
use crate::grant::Mode;
use crate::grant::world::{ACME, JANE, NOON, OLGA, World};

#[test]
fn a_change_says_who_did_what() {
    let mut world = World::with_people();
    world.consent(Mode::Off, crate::grant::Scope::Read, None);
    let told = |verb: &str, scope: Option<&str>, message: &str, result: &str| {
        let mut record = Record::new(NOON, Kind::Decided, Some(ACME));
        record.skeleton.verb = Some(verb.to_owned());
        record.skeleton.scope = scope.map(str::to_owned);
        record.skeleton.result = Some(result.to_owned());
        record.skeleton.staff = (verb.starts_with("grant")).then_some(JANE.0);
        record.values.message = Some(message.to_owned());
        decided(&world.state, &record)
    };
    let by = format!(", by owner {OLGA}");
    let table = [
        (
            told("consent.set", Some("read"), &format!("consent.set c1: off, read{by}"), "written"),
            "olga switched support access off",
        ),
        (
            told("consent.set", Some("write"), &format!("consent.set c1: standing, write{by}"), "written"),
            "olga allowed the support team to see and change everything",
        ),
        (
            told("consent.set", Some("read"), "consent.set c1: off, read, by operator", "written"),
            "your vendor's operator switched support access off",
        ),
        (
            told(
                "grant.issued",
                Some("read"),
                &format!("grant.issued s3 to c1: read, fault, ends x, by staff {JANE}"),
                "written",
            ),
            "jane opened a visit to see everything",
        ),
        (told("grant.ended", None, &format!("grant.ended g9{by}"), "written"), "olga ended jane's visit"),
        (
            told("grant.issued", Some("write"), "the owner allows read only", "refused"),
            "jane was refused: would have opened a visit to see and change everything",
        ),
    ];
    for (told, due) in table {
        assert_eq!(told, due);
    }
}

#[test]
fn nothing_hides_in_a_statement() {
    assert_eq!(text(b"select 'gr\xc3\xbcn'\n\t-- ok"), "select 'grün'\n\t-- ok");
    assert_eq!(text(b"select '\xfc'"), "select '\\xFC'");
    assert_eq!(text("a\u{202e}b\0c\u{200b}".as_bytes()), "a\\u{202e}b\\u{0}c\\u{200b}");
}

#[test]
fn a_bind_value_is_text_bytes_or_null() {
    let value = |format, value: Option<&[u8]>| bind(&Bind { type_oid: 17, format, value: value.map(<[u8]>::to_vec) });
    assert_eq!(value(0, Some(b"jane")), "jane");
    assert_eq!(value(1, Some(&[0, 255])), "\\x00ff");
    assert_eq!(value(0, None), "NULL");
}
