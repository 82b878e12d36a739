use proptest::prelude::*;

use super::*;

#[test]
fn statements_are_labelled() {
    let cases: &[(&str, &str, &[&str])] = &[
        ("", "empty", &[]),
        (" ;; -- nothing", "empty", &[]),
        ("select 1", "select", &[]),
        ("SELECT abalance FROM pgbench_accounts WHERE aid = $1", "select", &["pgbench_accounts"]),
        ("select * from a, b x, only c where d in (select 1 from e)", "select", &["a", "b", "c", "e"]),
        (
            "select * from a join public.b using (id) left join \"C d\".\"e\" on true",
            "select",
            &["a", "public.b", "\"C d\".e"],
        ),
        ("select * from (a cross join b) c, (select 1 from d) e", "select", &["a", "b", "d"]),
        ("select extract(year from t), substring(x from 2) from a", "select", &["a"]),
        ("select * from a where x is distinct from y and z is not distinct from w", "select", &["a"]),
        ("select * from a for no key update", "select", &["a"]),
        ("select * from generate_series(1, 3) g, a", "select", &["a"]),
        ("select /* from /* nested */ b */ 'from c', E'\\' from d', $x$ from e $x$ from f -- from g", "select", &["f"]),
        ("(select 1 from a) union (select 2 from b)", "select", &["a", "b"]),
        ("insert into t (a, b) select 1, 2 from u on conflict do update set a = 1", "insert", &["t", "u"]),
        ("UPDATE only t SET x = 1 FROM u WHERE u.id = t.id", "update", &["t", "u"]),
        ("delete from t using u where t.a = u.a", "delete", &["t", "u"]),
        ("merge into t using u on t.a = u.a when matched then update set a = 1", "merge", &["t", "u"]),
        ("with x as (select 1 from a), y as (select 2 from x) select * from y join b on true", "select", &["a", "b"]),
        ("with x as (delete from a returning *) select * from x", "delete", &["a"]),
        ("copy t (a, b) from stdin", "copy", &["t"]),
        ("COPY (SELECT * FROM t) TO STDOUT", "copy", &["t"]),
        ("truncate table a, b", "truncate", &["a", "b"]),
        ("drop table if exists a", "drop", &["a"]),
        ("create table if not exists a (x int)", "create", &["a"]),
        ("explain analyze select * from a", "explain", &["a"]),
        ("begin; commit", "several", &[]),
        ("select 1; select 2 from a", "select", &["a"]),
        ("select 'unterminated from a", "select", &[]),
        ("frobnicate t", "other", &[]),
    ];
    for (text, kind, relations) in cases {
        let found = label(text.as_bytes());
        let relations: Vec<String> = relations.iter().map(|r| (*r).to_owned()).collect();
        assert_eq!(found, Label { kind, relations }, "{text}");
    }
}

#[test]
fn a_label_is_bounded() {
    let many: String = (0..1000).map(|n| format!("t{n}, ")).collect();
    let found = label(format!("select * from {many} last").as_bytes());
    assert_eq!(found.relations.len(), RELATIONS_MAX);
    assert_eq!(label(&vec![b'('; 1 << 20]).kind, "other");
}

const SQL_LIKE: [&str; 25] = [
    "select", "from", "with", "(", ")", ",", "a", "\"B", "\"", "'", "$$", "/*", "*/", ".", ";", "update", "using",
    "E'\\", "u&\"", "--", "\n", "é", "$1", "into", "as",
];

proptest! {
    #[test]
    fn any_bytes_have_a_label(text in proptest::collection::vec(any::<u8>(), 0..300)) {
        let found = label(&text);
        prop_assert!(found.relations.len() <= RELATIONS_MAX);
    }

    #[test]
    fn any_sql_like_text_has_a_label(
        words in proptest::collection::vec(proptest::sample::select(SQL_LIKE.to_vec()), 0..60),
    ) {
        let found = label(words.join(" ").as_bytes());
        prop_assert!(found.relations.len() <= RELATIONS_MAX);
    }
}
