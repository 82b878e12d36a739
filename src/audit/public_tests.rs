use super::*;

fn notice() -> Notice {
    let lost = |log: &str, records| Lost { log: format!("portreeve/{log}"), records };
    let logs = vec![lost("proxy-gate-1", 12), lost("portal", 3)];
    Notice::new(EventId([7; 16]), Part::Values, Timestamp(1_795_262_400_000_000), logs)
}

#[test]
fn what_is_written_is_read_again() {
    let note = "portreeve/portal\n3\nAAAA\n\n— x\n".to_owned();
    for public in [Public::Continues(note), Public::continued("portreeve/x.2", &[3; 32]), Public::Notice(notice())] {
        assert_eq!(Public::parse(public.kind(), &public.to_bytes()), Some(public.clone()));
        assert!(public.kind().is_public());
        assert_eq!(Public::parse(Kind::Opened, &public.to_bytes()), None);
    }
}

#[test]
fn a_notice_names_nobody_and_counts_by_log() {
    let notice = notice();
    assert_eq!([notice.records_of("portreeve/portal"), notice.records_of("portreeve/keyring")], [3, 0]);
    assert_ne!(notice.id, [7; 16], "the register's event cannot be told from it");
    let same = Notice::new(EventId([7; 16]), Part::Skeleton, Timestamp(0), vec![]);
    assert_eq!(notice.id, same.id, "told twice, it counts once");
}

#[test]
fn bytes_that_are_no_notice_are_refused() {
    let whole = Public::Notice(notice()).to_bytes();
    for cut in 0..whole.len() {
        assert_eq!(Public::parse(Kind::Notice, &whole[..cut]), None, "{cut} bytes");
    }
    assert_eq!(Public::parse(Kind::Notice, &[&whole[..], &[0]].concat()), None, "a byte more");
    let mut twice = [&whole[..], &[2, 5]].concat();
    twice[0] += 1;
    assert_eq!(Public::parse(Kind::Notice, &twice), None, "another lawful date behind it");
    assert_eq!(Public::parse(Kind::Continued, &[0xff]), None, "no text");
}
