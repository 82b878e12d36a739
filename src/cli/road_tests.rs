use super::*;

fn seen(cluster: &str, pid: i32) -> Seen {
    let (since, role, application) = (Timestamp(7), "jane".to_owned(), String::new());
    let connected = Connected { pid, since, role, database: None, address: None, application };
    Seen { cluster: cluster.to_owned(), connected, road: Road::Unexplained }
}

fn looked(seen: Vec<Seen>, faults: &[&str]) -> Looked {
    Looked { seen, faults: faults.iter().map(|cluster| ((*cluster).to_owned(), "gone".to_owned())).collect() }
}

#[test]
fn a_watch_tells_of_each_once_and_forgets_who_has_gone() {
    let mut known = Known::default();
    let mut news = |seen, faults: &[&str]| {
        let (fresh, told) = known.news(looked(seen, faults));
        let pids: Vec<i32> = fresh.iter().map(|seen| seen.connected.pid).collect();
        (pids, told, known.seen.len())
    };
    assert_eq!(news(vec![seen("a", 1), seen("b", 1)], &[]), (vec![1, 1], Vec::new(), 2));
    assert_eq!(news(vec![seen("a", 1), seen("a", 2)], &[]), (vec![2], Vec::new(), 2), "b's has gone");
    let (pids, told, kept) = news(vec![seen("b", 3)], &["a"]);
    assert_eq!((pids, kept), (vec![3], 3), "nobody knows whether a's have gone");
    assert_eq!(told, ["cluster \"a\" cannot be asked, and is not watched: gone"]);
    assert_eq!(news(vec![seen("b", 3)], &["a"]), (Vec::new(), Vec::new(), 3), "told once");
    let (pids, told, kept) = news(Vec::new(), &[""]);
    assert_eq!((pids, kept, told.len()), (Vec::new(), 3, 2), "{told:?}");
    let (pids, told, kept) = news(vec![seen("a", 1)], &[]);
    assert_eq!((pids, kept), (Vec::new(), 1), "it was there all the time");
    assert_eq!(told, ["anybody can be asked again, and is watched"]);
}
