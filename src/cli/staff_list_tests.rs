use super::*;
use crate::grant::By;
use crate::grant::world::{JANE, World, staff};

fn names(listed: &[Listed]) -> Vec<(&str, bool)> {
    listed.iter().map(|one| (one.name.as_str(), one.is_active)).collect()
}

#[test]
fn a_list_is_read_as_others_write_it() {
    for text in [
        "name,status\njane,active\njoe,left\n",
        "Name,Status\r\njane,Active\r\njoe,terminated\r\n\r\n",
        "\u{feff}team,status,name\nsupport,active,Jane\n\"a, b\",\"on \"\"leave\"\"\",joe",
    ] {
        assert_eq!(names(&parse(text).expect(text)), [("jane", true), ("joe", false)], "{text}");
    }
    assert_eq!(names(&parse("name\njane").expect("a list")), [("jane", true)]);
}

#[test]
fn what_is_no_list_is_said_with_its_line() {
    for (text, said) in [
        ("", "the list is empty: its first line names the columns, one of them \"name\""),
        ("user,status\njane,active", "no column \"name\" among: user, status"),
        ("name\n", "nobody is on the list"),
        ("name,status\njane,active\n,active", "line 3 has no name"),
        ("name,status\njane", "line 2 has no status"),
        ("name\njane\njoe\nJane", "line 4: \"jane\" is on the list twice"),
        ("name\n\"jane", "line 2: a quotation mark is not closed"),
    ] {
        assert_eq!(parse(text).expect_err(text), said);
    }
}

#[test]
fn whoever_is_here_and_not_there_is_found() {
    let mut world = World::with_people();
    for name in ["joe", "ann"] {
        world.must(By::Operator, What::StaffCreated, Some(staff(name)));
    }
    let found = |world: &World, text: &str| compare(&world.state, &parse(text).expect("a list"));
    let finding = |name: &str, finding| (name.to_owned(), finding);
    assert_eq!(found(&world, "name\njane\njoe\nann"), []);
    assert_eq!(
        found(&world, "name,status\njane,active\njoe,left\nkim,active\nold,left"),
        [finding("ann", Finding::NotListed), finding("joe", Finding::Left), finding("kim", Finding::NotHere)]
    );
    world.must(By::System, What::Staff { staff: JANE, step: StaffStep::Suspended }, None);
    assert_eq!(found(&world, "name\njoe\nann"), [], "whoever is suspended reaches nothing");
    assert_eq!(found(&world, "name\njane\njoe\nann"), [], "and is here");
    world.must(By::Operator, What::StaffRemoved { staff: JANE }, None);
    assert_eq!(found(&world, "name\njane\njoe\nann"), [finding("jane", Finding::NotHere)]);
}
