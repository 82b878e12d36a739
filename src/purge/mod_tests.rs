use super::*;

/// What is left out of every look around must be exactly what we make ourselves.
#[test]
fn every_table_of_ours_is_known_by_name_and_no_other() {
    let scripts = [PREPARE_SQL, include_str!("../fence/install.sql")].concat();
    let mut made: Vec<&str> = scripts
        .split("create table if not exists portreeve.")
        .skip(1)
        .filter_map(|rest| rest.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').next())
        .collect();
    made.sort_unstable();
    let mut known: Vec<&str> = OURS.split('\'').skip(1).step_by(2).collect();
    known.retain(|word| !["portreeve", "portreeve_maintenance"].contains(word));
    known.sort_unstable();
    assert_eq!(known, made);
}
