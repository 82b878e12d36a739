use super::catalog::{Column, ForeignKey, Kind, OnDelete, Relation};
use super::coverage::{Class, coverage};
use super::propose::{Samples, categorise, is_tenant_like, propose};
use super::recognise::{Tally, look};
use super::*;

const SHARED: &str = include_str!("../../config/datamap-shared.toml");
const DATABASE: &str = include_str!("../../config/datamap.toml");

/// A table with columns such as `id int!`, where `!` means NOT NULL.
pub(super) fn relation(name: &str, columns: &[&str]) -> Relation {
    let columns = columns.iter().map(|column| {
        let (name, type_name) = column.split_once(' ').expect("name and type");
        let plain = type_name.trim_end_matches('!');
        let type_category = match plain {
            "text" => 'S',
            "integer" => 'N',
            _ => 'U',
        };
        Column {
            name: name.to_owned(),
            type_name: plain.to_owned(),
            type_category,
            is_required: plain != type_name,
            is_generated: false,
        }
    });
    Relation {
        name: name.parse().expect("a name"),
        kind: Kind::Table,
        partition_of: None,
        rows_estimated: 0,
        columns: columns.collect(),
        indexes: Vec::new(),
        primary_key: vec!["id".to_owned()],
        triggers: Vec::new(),
        has_delete_rule: false,
    }
}

pub(super) fn foreign_key(child: &str, column: &str, parent: &str, key: &str) -> ForeignKey {
    let list = |text: &str| text.split(',').map(str::to_owned).collect::<Vec<String>>();
    ForeignKey {
        name: format!("{}_{column}_fkey", child.rsplit('.').next().expect("a name")),
        child: child.parse().expect("a name"),
        columns: list(column),
        parent: parent.parse().expect("a name"),
        key: list(key),
        on_delete: OnDelete::Refuse,
        is_deferrable: false,
    }
}

#[test]
fn shipped_maps_are_right_and_survive_being_written() {
    for (text, layout) in [(SHARED, Layout::Shared), (DATABASE, Layout::Database)] {
        let map = DataMap::parse("datamap.toml", text).expect("the shipped map is right");
        assert_eq!(map.layout, layout);
        assert_eq!(DataMap::parse("again", &map.to_toml()), Ok(map));
    }
}

#[test]
fn a_written_map_is_read_back_whatever_its_names() {
    let text = "version = 1\nlayout = \"shared\"\n[tables.\"my schema.od\\\"d\"]\nvia = { columns = [\"a b\"], parent = \
                \"public.p\", key = [\"id\"] }\nlarge_objects = [\"a b\"]\ntriggers = { \"t 1\" = [\"public.h\"] }\n\
                [tables.\"my schema.od\\\"d\".columns]\n\"a b\" = \"free-text\"\n[tables.\"public.p\"]\ntenant = \"org\"\n";
    let map = DataMap::parse("m", text).expect("a map");
    assert_eq!(map.tables.len(), 2);
    assert_eq!(DataMap::parse("again", &map.to_toml()), Ok(map));
}

#[test]
fn wrong_maps_are_refused_with_line_and_way_out() {
    let head = "version = 1\nlayout = \"shared\"\n";
    for (text, expected) in [
        ("version = 2\nlayout = \"shared\"", "m:1: \"version\": this program reads version 1"),
        ("version = 1\nlayuot = \"shared\"", "m:2: unknown key \"layuot\"; did you mean \"layout\"?"),
        ("version = 1\nlayout = \"schema\"", "m:2: \"layout\": expected \"database\" or \"shared\""),
        ("version = 1\nlayout = \"database\"\ntenant = \"t\"", "m:3: \"tenant\": a database of one customer"),
        (
            &format!("{head}[tables.\"public.a\"]\ntennant = \"x\""),
            "m:4: unknown key \"tables.public.a.tennant\"; did you mean \"tenant\"?",
        ),
        (&format!("{head}[tables.a]\ntenant = \"x\""), "m:3: \"tables.a\": \"a\" is no table; expected schema.table"),
        (
            &format!("{head}[tables.\"public.a\"]\nerase = \"gone\""),
            "m:4: \"tables.public.a.erase\": \"gone\" is none of delete, keep",
        ),
        (&format!("{head}[tables.\"public.a\"]\nerase = \"keep\""), "erase = \"keep\" needs a reason"),
        (&format!("{head}[tables.\"public.a\"]\nreason = \"x\""), "no path to the customer"),
        (
            &format!(
                "{head}[tables.\"public.a\"]\ntenant = \"t\"\nvia = {{ columns = [\"a\"], parent = \"b.c\", key = [\"d\"] }}"
            ),
            "either tenant or via",
        ),
        (
            &format!("{head}[tables.\"public.a\"]\nvia = {{ columns = [\"a\"], parent = \"b.c\", key = [] }}"),
            "must be as many",
        ),
        (
            &format!("{head}[tables.\"public.a\"]\nvia = {{ columns = [\"a\"], parnt = \"b.c\", key = [\"d\"] }}"),
            "did you mean \"parent\"?",
        ),
        (
            &format!("{head}[tables.\"public.a\"]\ntenant = \"t\"\n[tables.\"public.a\".columns]\nx = \"mail\""),
            "m:6: \"tables.public.a.columns.x\": \"mail\" is none of none, pseudonym",
        ),
        (&format!("{head}[tables.\"public.a\"]\ntenant = 7"), "m:4:"),
        ("version = 1\nlayout = ", "m:2:"),
    ] {
        let error = DataMap::parse("m", text).expect_err(text).to_string();
        assert!(error.contains(expected), "{error}\nexpected {expected}");
    }
}

#[test]
fn values_are_recognised_and_forgotten() {
    for (value, expected) in [
        ("anna.berg@example.com", Some(Category::Contact)),
        ("+31 600000123", Some(Category::Contact)),
        ("020-123 4567", Some(Category::Contact)),
        ("192.0.2.17", Some(Category::Network)),
        ("2001:db8::1", Some(Category::Network)),
        ("NL91ABNA0417164300", Some(Category::Financial)),
        ("Anna van Berg", None),
        ("Anna Berg", Some(Category::Identity)),
        ("Zoë O'Brien", Some(Category::Identity)),
        ("Keizersgracht straat 12", Some(Category::Location)),
        ("please ring me in the morning, thanks", Some(Category::FreeText)),
        ("$2b$12$abcdefghijklmnopqrstuv", Some(Category::Credential)),
        ("100045", None),
        ("2024-05-06", None),
        ("open", None),
        ("b2f7c1de-0000-4000-8000-000000000000", None),
    ] {
        assert_eq!(look(value), expected, "{value}");
    }
    let mut tally = Tally::default();
    ["anna@example.com", "", "n/a", "bram@example.org"].iter().for_each(|value| tally.add(value));
    assert_eq!(tally.category(), Some(Category::Contact));
    assert!(!format!("{tally:?}").contains("anna"), "no value is kept");
}

#[test]
fn columns_are_categorised_by_name_then_looks_then_type() {
    let mut mails = Tally::default();
    mails.add("anna@example.com");
    for (column, tally, expected) in [
        ("email text", None, Category::Contact),
        ("handle text", Some(&mails), Category::Contact),
        ("user_name text", Some(&mails), Category::Contact),
        ("full_name text", None, Category::Identity),
        ("payload jsonb", None, Category::FreeText),
        ("contact_id integer", None, Category::Pseudonym),
        ("born_on date", None, Category::Birth),
        ("password_hash text", None, Category::Credential),
        ("ip inet", None, Category::Network),
        ("total_cents integer", None, Category::None),
    ] {
        let relation = relation("public.t", &[column]);
        assert_eq!(categorise(&relation.columns[0], tally), expected, "{column}");
    }
    for (name, expected) in
        [("tenant_id", true), ("OrgUUID", true), ("customer_uuid", true), ("paid", false), ("id", false)]
    {
        assert_eq!(is_tenant_like(name), expected, "{name}");
    }
}

#[test]
fn a_proposal_leaves_out_what_it_cannot_know() {
    let catalog = Catalog::new(
        vec![
            relation("public.contacts", &["tenant_id integer!", "id integer!", "email text"]),
            relation("public.notes", &["id integer!", "contact_id integer", "body text"]),
            relation("public.lost", &["id integer!", "payload jsonb"]),
        ],
        vec![foreign_key("public.notes", "contact_id", "public.contacts", "id")],
    );
    let proposal = propose(&catalog, &Samples::new(), None, None);
    assert_eq!(proposal.undecided, vec![TableName::new("public", "lost")]);
    assert_eq!(proposal.map.tenant.as_deref(), Some("tenant_id"));
    let map = DataMap::parse("m", &proposal.to_toml()).expect("a proposal can be read");
    assert_eq!(map, proposal.map);
    let found = coverage(Some(&map), &catalog);
    let classes: Vec<_> = found.rows.iter().map(|row| (row.table.name.as_str(), row.class)).collect();
    assert_eq!(classes, [("contacts", Class::OrphanKey), ("lost", Class::Opaque), ("notes", Class::ViaForeignKey)]);
    assert!(!found.is_complete());
    assert_eq!(found.rows.iter().filter(|row| !row.findings.is_empty()).count(), 1);
    assert!(found.warnings[0].contains("has no index on (contact_id)"), "{:?}", found.warnings);
}

#[test]
fn every_difference_is_named() {
    let catalog = Catalog::new(
        vec![
            relation("public.a", &["id integer!", "x text"]),
            Relation { kind: Kind::MaterialisedView, ..relation("public.m", &["id integer"]) },
            Relation { partition_of: Some(TableName::new("public", "a")), ..relation("public.a_1", &["id integer!"]) },
            relation("public.new", &["id integer!"]),
        ],
        Vec::new(),
    );
    let text = "version = 1\nlayout = \"shared\"\n[tables.\"public.a\"]\ntenant = \"gone\"\nlarge_objects = [\"x\"]\n\
                triggers = { t = [] }\n[tables.\"public.a\".columns]\nid = \"none\"\nold = \"none\"\n\
                [tables.\"public.m\"]\ntenant = \"id\"\n[tables.\"public.m\".columns]\nid = \"none\"\n\
                [tables.\"public.a_1\"]\ntenant = \"id\"\n[tables.\"public.a_1\".columns]\nid = \"none\"\n\
                [tables.\"public.absent\"]\ntenant = \"id\"\n";
    let map = DataMap::parse("m", text).expect("a map");
    let found: Vec<String> = compare::differences(&map, &catalog).iter().map(ToString::to_string).collect();
    let expected = [
        "public.a: column x has no category",
        "public.a: has no column old",
        "public.a: has no tenant column gone: name another, say via, or erase = \"keep\"",
        "public.a: has no trigger t",
        "public.a: large_objects: x is no column of type oid",
        "public.a_1: is a partition: its parent public.a stands for it",
        "public.absent: is in the data map only: take it out",
        "public.m: is a materialised view: say erase = \"refresh\"",
        "public.new: unclassified: portreeve datamap scan proposes an entry",
    ];
    assert_eq!(found, expected);
}

#[test]
fn exports_cannot_be_broken_out_of() {
    let text = "version = 1\nlayout = \"shared\"\n[tables.\"public.a\"]\ntenant = \"t\"\n[tables.\"public.a\".columns]\n\
                \"=cmd|x\" = \"contact\"\nt = \"pseudonym\"\n[tables.\"public.b\"]\nvia = { columns = [\"a_id\"], parent = \
                \"public.a\", key = [\"id\"] }\n[tables.\"public.b\".columns]\nbody = \"free-text\"\n";
    let map = DataMap::parse("m", text).expect("a map");
    let csv = export::csv(&map);
    assert!(csv.contains("public.a,'=cmd|x,contact,t,deleted,\r\n"), "{csv}");
    assert!(
        csv.contains("public.b,body,free-text,\"a_id → public.a: t\"") || csv.contains("a_id → public.a: t"),
        "{csv}"
    );
    let markdown = export::markdown(&map);
    assert!(markdown.contains("| contact | public.a.=cmd\\|x |"), "{markdown}");
    assert_eq!(csv.lines().count(), 4);
}
