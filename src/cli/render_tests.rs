//! The same rows in both formats.

use serde_json::json;

use super::*;

fn written(table: &Table, format: Format) -> String {
    let mut out = Vec::new();
    table.write(format, &mut out).expect("written");
    String::from_utf8(out).expect("UTF-8")
}

fn people() -> Table {
    let mut table = Table::new(&["id", "name", "sessions", "signed_in"]);
    table.row([json!("s3"), json!("jane"), json!(2), json!(true)]);
    table.row([json!("s12"), json!("multi\nline\x1b[2J\u{202e}"), Value::Null, json!(false)]);
    table
}

#[test]
fn a_table_is_for_people_and_cannot_steer_their_terminal() {
    let shown = written(&people(), Format::Table);
    let lines: Vec<Vec<&str>> = shown.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        lines,
        [
            vec!["id", "name", "sessions", "signed", "in"],
            vec!["s3", "jane", "2", "true"],
            vec!["s12", r"multi\nline\u{1b}[2J\u{202e}", "-", "false"],
        ]
    );
}

#[test]
fn json_is_one_whole_object_per_line() {
    let shown = written(&people(), Format::Json);
    let rows: Vec<Value> = shown.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(
        rows,
        [
            json!({"id": "s3", "name": "jane", "sessions": 2, "signed_in": true}),
            json!({"id": "s12", "name": "multi\nline\u{1b}[2J\u{202e}", "sessions": null, "signed_in": false}),
        ]
    );
}

#[test]
fn keys_stand_in_the_order_of_the_columns_and_wrapped_cells_stay_in_their_column() {
    let mut table = Table::new(&["what", "a"]);
    table.row([json!("x"), json!("word ".repeat(30))]);
    assert!(written(&table, Format::Json).starts_with(r#"{"what":"x","a":"word "#));
    let shown = written(&table, Format::Table);
    let lines: Vec<&str> = shown.lines().collect();
    assert!(lines.len() > 2 && lines[1].starts_with("x     word") && lines[2].starts_with("      word"), "{shown}");
}

#[test]
fn without_rows_json_is_empty_and_a_table_has_its_header() {
    let table = Table::new(&["id"]);
    assert!(table.is_empty());
    assert_eq!(written(&table, Format::Json), "");
    assert_eq!(written(&table, Format::Table), "id\n");
}

#[test]
fn csv_has_a_header_and_quotes_what_needs_it() {
    let mut table = people();
    table.row([json!("s1,2"), json!(""), json!([1, "a"]), json!("say \"hi\"")]);
    let expected = "id,name,sessions,signed_in\r\ns3,jane,2,true\r\ns12,\"multi\nline\x1b[2J\u{202e}\",,false\r\n\
                    \"s1,2\",\"\",\"[1,\"\"a\"\"]\",\"say \"\"hi\"\"\"\r\n";
    assert_eq!(written(&table, Format::Csv), expected);
}
