//! What an operator wants of a fence, and what `fence apply` would do for it: statement by statement, with who
//! would lose what by it.
//! Not here: finding it out (`planner.rs`) and doing it (`apply.rs`).

use std::collections::BTreeMap;
use std::str::FromStr;

use crate::grant;

/// What the operator wants.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// The proxy's role: no superuser, no CREATEROLE.
    pub provisioner: String,
    /// Its SCRAM verifier, for when the role does not exist yet.
    pub provisioner_verifier: Option<String>,
    /// Roles that keep what is taken from PUBLIC: the application, backups, monitoring.
    pub keep: Vec<String>,
    /// What becomes of roles that would lose something and are not in `keep`.
    pub others: Keep,
    /// What else is taken from PUBLIC (`[fence] revoke_public`).
    pub revoke_public: Vec<Revocable>,
    /// Other databases that are closed to PUBLIC too, such as `postgres` and `template1`.
    pub close: Vec<String>,
    /// How customers lie in the database.
    pub layout: Layout,
    /// Which columns are not personal: without it the scope `metadata` stays as it was applied before, or is not offered.
    pub impersonal: Option<Impersonal>,
}

/// The columns without personal data, as the data map has them.
#[derive(Clone, Debug)]
pub struct Impersonal {
    /// Whether the map is of shared tables; `Database` is one of schemas, too.
    pub layout: grant::Layout,
    /// By schema and table; the schema `*` is each customer's own.
    pub tables: BTreeMap<(String, String), Vec<String>>,
}

/// How customers lie in a database.
#[derive(Clone, Debug, Default)]
pub enum Layout {
    /// As it was applied before; the first time, one customer has the whole database.
    #[default]
    AsItIs,
    /// One customer has the whole database.
    Database,
    /// Several have rows in the same tables.
    Shared(Shared),
    /// Each has a schema of its own.
    Schema(Schemas),
}

/// Which schemas are customers'. What was said before is kept in the database.
#[derive(Clone, Debug, Default)]
pub struct Schemas {
    /// These.
    pub named: Vec<String>,
    /// Every one but the system's, `public` and ours.
    pub all: bool,
}

/// What the operator says of tables that hold several customers' rows. What was said before is kept in the database.
#[derive(Clone, Debug, Default)]
pub struct Shared {
    /// The tenant column of each table that has one of this name.
    pub tenant_column: Option<String>,
    /// Tables with a tenant column of another name: table and column.
    pub own: Vec<(String, String)>,
    /// Tables without, whose rows staff of any customer may read.
    pub everybody: Vec<String>,
    /// Tables nobody may reach.
    pub nobody: Vec<String>,
    /// Roles that do without COPY FROM into fenced tables.
    pub without_copy: Vec<String>,
}

/// What becomes of roles that would lose something and were not named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Nothing is applied until each is named.
    Ask,
    /// They lose it.
    Cut,
}

/// What a reader can do beyond reading that can be taken from PUBLIC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Revocable {
    /// `pg_advisory_lock` and its kin, but for unlocking: asyncpg does that whenever a connection goes back to its pool.
    AdvisoryLocks,
    /// Creating large objects.
    LargeObjects,
    /// `pg_logical_emit_message`.
    LogicalMessages,
}

impl Revocable {
    /// All of them.
    pub const ALL: [Revocable; 3] = [Revocable::AdvisoryLocks, Revocable::LargeObjects, Revocable::LogicalMessages];

    /// Its word, in `[fence] revoke_public` and in the self-test's report.
    pub fn word(self) -> &'static str {
        match self {
            Revocable::AdvisoryLocks => "advisory-locks",
            Revocable::LargeObjects => "large-objects",
            Revocable::LogicalMessages => "logical-messages",
        }
    }

    /// The names of its functions in `pg_catalog`, a regular expression.
    pub(super) fn functions(self) -> &'static str {
        match self {
            Revocable::AdvisoryLocks => "^pg_(try_)?advisory_(xact_)?lock",
            Revocable::LargeObjects => "^lo_(creat|create|from_bytea)$",
            Revocable::LogicalMessages => "^pg_logical_emit_message$",
        }
    }
}

impl FromStr for Revocable {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        [Revocable::AdvisoryLocks, Revocable::LargeObjects, Revocable::LogicalMessages]
            .into_iter()
            .find(|revocable| revocable.word() == word)
            .ok_or_else(|| match word {
                "temp" => "temp is always taken from PUBLIC".to_owned(),
                "notify" | "alter-self" => format!("{word} cannot be revoked in PostgreSQL; accept it instead"),
                _ => format!("\"{word}\" is not one of advisory-locks, large-objects, logical-messages"),
            })
    }
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// In words.
    pub what: String,
    /// The statement, or several.
    pub sql: String,
    /// The statement that gives back what this one takes.
    pub undo: Option<String>,
    /// The customer's schema it concerns; none: the database.
    pub schema: Option<String>,
}

/// A login role that can do something only because PUBLIC can, and no longer could.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// Which role.
    pub role: String,
    /// What it would lose: `connect acme`, `temporary acme`, `advisory-locks acme`.
    pub loses: Vec<String>,
}

/// What would be done, and what stands in the way.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In order; empty when the fence stands.
    pub steps: Vec<Step>,
    /// Who is in neither `keep` nor otherwise entitled, and would lose something.
    pub losses: Vec<Loss>,
    /// Other databases that PUBLIC may connect to and that nobody asked to close: the self-test refuses them.
    pub open_elsewhere: Vec<String>,
    /// Worth knowing: views that stay closed.
    pub notes: Vec<String>,
    /// Why it cannot be applied.
    pub blockers: Vec<String>,
}
