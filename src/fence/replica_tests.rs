use super::*;

const WITHIN: Duration = Duration::from_secs(5);

#[test]
fn what_is_not_replayed_in_time_is_late_and_what_goes_on_is_not() {
    let (mut awaited, start) = (Awaited::default(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    for (seconds, primary, its, late) in [
        (0, 100, 90, None),
        (4, 200, 95, None),
        (5, 300, 99, Some((1, 5))),
        (9, 300, 99, Some((1, 9))),
        (10, 300, 100, None), // what it waits for now is 300
        (14, 400, 299, None),
        (15, 400, 250, Some((50, 5))),
        (16, 400, 300, None),
        (60, 350, 350, None), // a failover: the new primary had not got further
        (70, 350, 350, None), // nothing is written, nothing is late
    ] {
        let told = awaited.late(primary, its, WITHIN, at(seconds));
        assert_eq!(told, late.map(|(bytes, waited)| (bytes, Duration::from_secs(waited))), "at {seconds} s");
    }
}
