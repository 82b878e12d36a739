use super::*;

#[test]
fn a_record_tells_which_server_whatever_the_database_is_called() {
    let told = [
        recorded("acme", None),
        recorded("acme", Some("reader")),
        recorded("acme@reader", None),
        recorded("acme@reader", Some("reader")),
        recorded("acme@", None),
        recorded("@", Some("reader")),
    ];
    assert_eq!(told, ["acme", "acme@reader", "acme@reader@", "acme@reader@reader", "acme@@", "@@reader"]);
    for (database, replica) in [("acme", None), ("acme@reader", None), ("acme@reader", Some("reader")), ("@@", None)] {
        let text = recorded(database, replica);
        let read = match text.rsplit_once('@') {
            Some((database, "")) => (database, None),
            Some((database, replica)) => (database, Some(replica)),
            None => (text.as_str(), None),
        };
        assert_eq!(read, (database, replica), "{text}");
    }
}
