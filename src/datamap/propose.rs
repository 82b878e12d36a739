//! Proposes a data map from the catalog, from names and from what sampled values look like. A proposal is for a person
//! to read: what could not be decided is left out, so that coverage fails until somebody says it.
//! Not here: sampling (`purge/sample.rs`).

use std::collections::{BTreeMap, BTreeSet};

use super::catalog::{Column, Kind, Relation};
use super::recognise::Tally;
use super::{Catalog, Category, DataMap, Erase, Layout, Path, Table, TableName, Via};

/// What was sampled of each column.
pub type Samples = BTreeMap<(TableName, String), Tally>;

/// A map and what is missing from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// What could be decided.
    pub map: DataMap,
    /// Tables whose rows lead to no customer that names or keys tell.
    pub undecided: Vec<TableName>,
}

impl Proposal {
    /// The map's file, with the undecided tables as comments.
    pub fn to_toml(&self) -> String {
        let mut text = String::from(
            "# Proposed by portreeve datamap scan from names, keys and sampled values: read every line.\n",
        );
        text.push_str(&self.map.to_toml());
        for table in &self.undecided {
            let table = table.to_string().escape_debug().to_string();
            text.push_str(&format!(
                "\n# {table} leads to no customer: give it tenant, via, or erase = \"keep\" with a reason.\n"
            ));
        }
        text
    }
}

const TENANTS: [&str; 8] =
    ["tenant", "account", "org", "organization", "organisation", "customer", "company", "workspace"];

/// Whether a column is called like one that tells customers apart: `tenant_id`, `org_uuid`, `accountid`.
pub fn is_tenant_like(column: &str) -> bool {
    let lower = column.to_ascii_lowercase();
    let stem = lower.strip_suffix("uuid").or_else(|| lower.strip_suffix("id"));
    stem.is_some_and(|stem| {
        let stem = stem.strip_suffix('_').unwrap_or(stem);
        TENANTS.iter().any(|word| stem.ends_with(word))
    })
}

/// The column that most tables are told apart by, if any is.
pub fn tenant_column(catalog: &Catalog) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let tables = catalog.relations().filter(|relation| relation.partition_of.is_none());
    for column in tables.flat_map(|relation| &relation.columns).filter(|column| is_tenant_like(&column.name)) {
        *counts.entry(column.name.as_str()).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(name, count)| (*count, std::cmp::Reverse(*name)))?;
    Some(most.0.to_owned())
}

/// Proposes a map. `layout` and `tenant` are what the person already knows.
pub fn propose(catalog: &Catalog, samples: &Samples, layout: Option<Layout>, tenant: Option<String>) -> Proposal {
    let guessed = tenant.or_else(|| tenant_column(catalog).filter(|_| layout != Some(Layout::Database)));
    let layout = layout.unwrap_or(if guessed.is_some() { Layout::Shared } else { Layout::Database });
    let tenant = guessed.filter(|_| layout == Layout::Shared);
    let paths = match &tenant {
        Some(tenant) => paths(catalog, tenant),
        None => BTreeMap::new(),
    };
    let mut map = DataMap { layout, tenant, tables: BTreeMap::new() };
    let mut undecided = Vec::new();
    for relation in catalog.relations().filter(|relation| relation.partition_of.is_none()) {
        match decide(relation, layout, &paths) {
            Some((path, erase, reason)) => {
                let columns = relation.columns.iter();
                let columns: BTreeMap<String, Category> = columns
                    .map(|column| {
                        let tally = samples.get(&(relation.name.clone(), column.name.clone()));
                        (column.name.clone(), categorise(column, tally))
                    })
                    .collect();
                let oids = relation.columns.iter().filter(|column| column.type_name == "oid");
                let large_objects = oids.map(|column| column.name.clone()).collect();
                let table = Table { path, erase, reason, columns, large_objects, triggers: BTreeMap::new() };
                map.tables.insert(relation.name.clone(), table);
            }
            None => undecided.push(relation.name.clone()),
        }
    }
    Proposal { map, undecided }
}

fn decide(
    relation: &Relation,
    layout: Layout,
    paths: &BTreeMap<TableName, Path>,
) -> Option<(Path, Erase, Option<String>)> {
    match (relation.kind, layout) {
        (Kind::MaterialisedView, _) => Some((Path::Nobody, Erase::Refresh, None)),
        (Kind::Foreign, _) => None,
        (Kind::Table | Kind::Partitioned, Layout::Database) => Some((Path::Whole, Erase::Delete, None)),
        (Kind::Table | Kind::Partitioned, Layout::Shared) => {
            paths.get(&relation.name).map(|path| (path.clone(), Erase::Delete, None))
        }
    }
}

/// The way to the customer: the column itself, one of another tenant-like name, or the shortest way over foreign keys.
fn paths(catalog: &Catalog, tenant: &str) -> BTreeMap<TableName, Path> {
    let mut paths = BTreeMap::new();
    for relation in catalog.relations() {
        let own = relation.column(tenant).or_else(|| relation.columns.iter().find(|c| is_tenant_like(&c.name)));
        if let Some(column) = own {
            paths.insert(relation.name.clone(), Path::Tenant(column.name.clone()));
        }
    }
    let mut reached: Vec<TableName> = paths.keys().cloned().collect();
    while !reached.is_empty() {
        let mut next = BTreeSet::new();
        for key in reached.iter().flat_map(|parent| catalog.keys_to(parent)) {
            if !paths.contains_key(&key.child) {
                let via = Via { columns: key.columns.clone(), parent: key.parent.clone(), key: key.key.clone() };
                paths.insert(key.child.clone(), Path::Via(via));
                next.insert(key.child.clone());
            }
        }
        reached = next.into_iter().collect();
    }
    paths
}

/// Words in a column's name, the first that occurs decides.
const NAMES: [(Category, &[&str]); 10] = [
    (Category::Credential, &["password", "passwd", "secret", "token", "api_key", "otp", "verifier", "hash"]),
    (Category::Special, &["health", "diagnos", "religio", "ethnic", "criminal", "allerg", "biometr", "disab"]),
    (Category::Birth, &["birth", "born", "dob", "age_years"]),
    (Category::Network, &["ip_addr", "ipaddr", "remote_addr", "user_agent", "device", "cookie", "mac_addr", "session"]),
    (Category::Contact, &["email", "e_mail", "phone", "mobile", "fax", "telefon"]),
    (
        Category::Location,
        &["address", "street", "city", "zip", "postcode", "postal", "latitude", "longitude", "country"],
    ),
    (Category::Financial, &["iban", "bic", "account_number", "card", "salary", "vat", "tax_"]),
    (Category::FreeText, &["note", "comment", "body", "message", "description", "remark", "subject"]),
    (
        Category::Identity,
        &["name", "surname", "title", "avatar", "photo", "picture", "ssn", "passport", "bsn", "gender"],
    ),
    (Category::Behaviour, &["last_login", "last_seen", "visited", "clicked", "opened_at", "signed_in"]),
];

/// The category of one column: its name first, then what its values look like, then its type.
pub fn categorise(column: &Column, tally: Option<&Tally>) -> Category {
    let name = column.name.to_ascii_lowercase();
    if name == "ip" {
        return Category::Network;
    }
    let looks = tally.and_then(Tally::category);
    let named = NAMES.iter().find(|(_, words)| words.iter().any(|word| name.contains(word))).map(|(named, _)| *named);
    match (named, looks, column.type_category, column.type_name.as_str()) {
        (Some(Category::Identity), Some(looks), ..) => looks,
        (Some(named), ..) => named,
        (None, Some(looks), ..) => looks,
        (None, None, 'I', _) => Category::Network,
        // may hold anything until somebody says otherwise
        (None, None, _, "json" | "jsonb" | "xml" | "bytea" | "hstore" | "oid") => Category::FreeText,
        (None, None, _, "uuid") => Category::Pseudonym,
        (None, None, ..) if name == "id" || name.ends_with("_id") => Category::Pseudonym,
        (None, None, ..) => Category::None,
    }
}
