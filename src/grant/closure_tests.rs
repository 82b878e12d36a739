use super::*;

#[test]
fn words_and_numbers_are_what_events_hold() {
    let numbers: Vec<u8> = Stage::ALL.iter().map(|stage| stage.number()).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<u8>>());
    assert_eq!("live-clean".parse(), Ok(Stage::LiveClean));
    assert_eq!(Choice::from_number(3), None);
}

#[test]
fn an_erasure_keeps_the_event_that_began_it() {
    let mut closure = Closure::new(Timestamp(1), By::Operator, Sequence(1));
    let (first, second) = (EventId([1; 16]), EventId([2; 16]));
    let part = RecordPart::Values;
    closure.take(AccountStep::ErasureBegun { part }, By::System, Timestamp(2), first);
    assert_eq!(closure.values, Erasure::Begun { at: Timestamp(2), event: first });
    closure.take(AccountStep::ErasureDone { part, keys: 5 }, By::System, Timestamp(3), second);
    assert_eq!(closure.values, Erasure::Done { at: Timestamp(3), event: first, keys: 5 });
    assert_eq!(closure.skeleton, Erasure::Kept);
}
