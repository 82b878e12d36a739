use super::*;

#[test]
fn bytes_pass_no_faster_than_the_limit_and_a_stop_ends_the_wait() {
    let (going, began) = (AtomicBool::new(false), Instant::now());
    let mut brake = Brake::new(1 << 20);
    for _ in 0..8 {
        brake.hold(32 << 10, &going);
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(250), "a quarter of a second's worth took {took:?}");
    let (stopped, began) = (AtomicBool::new(true), Instant::now());
    Brake::new(1).hold(u64::MAX, &stopped);
    assert!(began.elapsed() < Duration::from_secs(60), "it would be many years");
}
