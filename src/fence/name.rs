//! Names of roles, and how names and texts are written in SQL.
//! Not here: the check that matters, which is in `install.sql`.

use aws_lc_rs::digest::{SHA256, digest};

use crate::grant::Scope;

/// PostgreSQL's NAMEDATALEN less the terminating zero.
pub(super) const NAME_BYTES_MAX: usize = 63;

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

/// The login role of `grant` in the process named `process`: `pr_g_<process>_<grant>`, in lower case with anything
/// PostgreSQL would have to quote replaced; `pr_g_<process>_` is what [`super::Fence::sweep`] takes.
pub fn role_name(process: &str, grant: &str) -> String {
    let plain = |text: &str| -> String {
        let letter = |c: char| {
            if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' }
        };
        text.chars().map(letter).collect()
    };
    format!("pr_g_{}_{}", plain(process), plain(grant))
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
