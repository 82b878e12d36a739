//! Names of roles, and how names and texts are written in SQL.
//! Not here: the check that matters, which is in `install.sql`.

use aws_lc_rs::digest::{SHA256, digest};

use crate::grant::Scope;

/// PostgreSQL's NAMEDATALEN less the terminating zero.
pub(super) const NAME_BYTES_MAX: usize = 63;
/// How much of a proxy's id shows in the names of its roles; the rest of such a name has at most 47 bytes.
const FAMILY_CHARS_MAX: usize = 16;

/// The NOLOGIN role that carries the privileges of `scope` in `database`: `portreeve_acme_read`. A name that would be
/// too long is cut and ends in a digest of the database's.
pub fn scope_role(database: &str, scope: Scope) -> String {
    let scope = scope_word(scope);
    let plain = format!("portreeve_{database}_{scope}");
    if plain.len() <= NAME_BYTES_MAX {
        return plain;
    }
    with_digest(database, database, scope)
}

/// The NOLOGIN role that carries the privileges of `scope` in the customer's own schema of `database`: it always ends in
/// a digest of both names, as a dot may be in either: `portreeve_main.acme_3f2a90c1d4e5_read`.
pub fn schema_role(database: &str, schema: &str, scope: Scope) -> String {
    with_digest(&format!("{database}.{schema}"), &format!("{database}\0{schema}"), scope_word(scope))
}

/// The NOLOGIN role that may connect to a database of schemas; the schemas' roles are members of it, so that the
/// database's list of who may connect stays short.
pub(super) fn schemas_role(database: &str) -> String {
    with_digest(database, &format!("{database}\0"), "schemas")
}

/// `portreeve_<the beginning of plain>_<digest of whole>_<end>`, as long as a name may be.
fn with_digest(plain: &str, whole: &str, end: &str) -> String {
    let whole = digest(&SHA256, whole.as_bytes());
    let short: String = whole.as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let room = NAME_BYTES_MAX - "portreeve___".len() - short.len() - end.len();
    let kept = (0..=room.min(plain.len())).rev().find_map(|length| plain.get(..length)).unwrap_or_default();
    format!("portreeve_{kept}_{short}_{end}")
}

/// What the login roles of the proxy with this id begin with: `pr_g_<digest of the id>_<its beginning>_`. By the digest no
/// family is the beginning of another, or the same as another's: `gate`, `gate-1` and `gate_1` stay apart. In lower case,
/// with anything PostgreSQL would have to quote replaced.
pub fn family(proxy: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let plain: String = proxy.chars().take(FAMILY_CHARS_MAX).map(letter).collect();
    let whole = digest(&SHA256, proxy.as_bytes());
    let short: String = whole.as_ref().iter().take(4).map(|byte| format!("{byte:02x}")).collect();
    format!("pr_g_{short}_{plain}_")
}

/// The login role of a grant: its proxy's family, which start of the proxy made it, the grant, and a random number.
pub fn grant_role(family: &str, start: u32, grant: u64, number: u32) -> String {
    format!("{family}{start:08x}_{grant}_{number:08x}")
}

/// Whether that is the name of a role that [`grant_role`] made of this family, to the last letter.
pub(super) fn is_of_family(role: &str, family: &str) -> bool {
    let is_hex = |part: &str| part.len() == 8 && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let Some(rest) = role.strip_prefix(family) else { return false };
    let parts: Vec<&str> = rest.split('_').collect();
    matches!(parts.as_slice(), [start, grant, number] if is_hex(start) && is_number(grant) && is_hex(number))
}

/// The scope's name in `portreeve.scope`.
pub(super) fn scope_word(scope: Scope) -> &'static str {
    match scope {
        Scope::Metadata => "metadata",
        Scope::Read => "read",
        Scope::Write => "write",
    }
}

/// A quoted identifier.
pub(super) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A quoted literal that means the same whatever `standard_conforming_strings` is.
pub(super) fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') { format!("E'{}'", quoted.replace('\\', "\\\\")) } else { format!("'{quoted}'") }
}

#[cfg(test)]
#[path = "name_tests.rs"]
mod tests;
