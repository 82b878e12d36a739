use std::cell::{Cell, RefCell};

use super::*;

#[tokio::test]
async fn where_there_is_no_terminal_a_line_is_said_now_and_then() {
    let (asked, heard) = (Cell::new(0), RefCell::new(Vec::new()));
    let enough = tokio::sync::Notify::new();
    let progress = || {
        asked.set(asked.get() + 1);
        [(3, 0), (10, 40)].get(asked.get() - 1).copied().unwrap_or((40, 40))
    };
    let say = |line: &str| {
        heard.borrow_mut().push(line.to_owned());
        if heard.borrow().len() == 3 {
            enough.notify_one();
        }
    };
    tokio::select! {
        () = said(progress, "searching", Duration::from_millis(1), say) => {}
        () = enough.notified() => {}
    }
    let expected = ["reading the logs: 3 leaves so far", "searching: 10 of 40 leaves so far"];
    assert_eq!(heard.borrow()[..2], expected);
    assert_eq!(heard.borrow()[2], "searching: 40 of 40 leaves so far");
}

#[test]
fn a_bar_shows_how_much_there_is_once_that_is_known() {
    let bar = ProgressBar::hidden();
    draw(&bar, doing("searching", 0), 5, 0);
    assert_eq!((bar.position(), bar.length(), bar.message().as_str()), (5, None, "reading the logs"));
    draw(&bar, doing("searching", 80), 10, 80);
    assert_eq!((bar.position(), bar.length(), bar.message().as_str()), (10, Some(80), "searching"));
}
