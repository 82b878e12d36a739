use super::*;

const WINDOW: Duration = Duration::from_secs(900);
const PAIR_MAX: u32 = 5;
const ADDRESS_MAX: u32 = 30;
const NAME_MAX: u32 = PAIR_MAX * EVERYWHERE;
const BOUNDS: Bounds = Bounds { window: WINDOW, per_name: PAIR_MAX, per_address: ADDRESS_MAX };

const START: Timestamp = Timestamp(1_800_000_000_000_000);

fn host(n: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, n])
}

#[test]
fn the_sixth_attempt_for_a_name_from_one_address_waits() {
    let attempts = Attempts::new(BOUNDS);
    for _ in 0..PAIR_MAX {
        assert_eq!(attempts.admit(host(1), "olga", START), Ok(()));
    }
    assert_eq!(attempts.admit(host(1), "olga", START.plus(WINDOW / 3)), Err(WINDOW * 2 / 3));
    assert_eq!(attempts.admit(host(1), "otto", START), Ok(()));
    assert_eq!(attempts.admit(host(2), "olga", START), Ok(()));
    assert_eq!(attempts.admit(host(1), "olga", START.plus(WINDOW)), Ok(()));
}

#[test]
fn one_address_may_not_try_many_names() {
    let attempts = Attempts::new(BOUNDS);
    let admitted = (0..100).filter(|n| attempts.admit(host(1), &format!("name{n}"), START).is_ok()).count();
    assert_eq!(admitted, ADDRESS_MAX as usize);
}

#[test]
fn an_ipv6_network_is_one_place() {
    let attempts = Attempts::new(BOUNDS);
    let address = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, n]);
    let admitted = (0..100).filter(|n| attempts.admit(address(*n), "olga", START).is_ok()).count();
    assert_eq!(admitted, PAIR_MAX as usize);
}

#[test]
fn strangers_everywhere_cannot_lock_an_owner_out_of_where_they_sign_in() {
    let attempts = Attempts::new(BOUNDS);
    assert_eq!(attempts.admit(host(200), "olga", START), Ok(()));
    attempts.succeeded(host(200), "olga", START);
    let admitted = (0..100).filter(|n| attempts.admit(host(*n), "olga", START).is_ok()).count();
    assert_eq!(admitted, NAME_MAX as usize);
    assert!(attempts.admit(host(150), "olga", START).is_err());
    assert_eq!(attempts.admit(host(200), "olga", START), Ok(()));
}

#[test]
fn success_forgives() {
    let attempts = Attempts::new(BOUNDS);
    for _ in 0..10 * ADDRESS_MAX {
        assert_eq!(attempts.admit(host(1), "olga", START), Ok(()));
        attempts.succeeded(host(1), "olga", START);
    }
}

#[test]
fn memory_is_bounded() {
    let attempts = Attempts::new(BOUNDS);
    for n in 0..KEPT_MAX as u32 {
        let address = IpAddr::from(n.to_be_bytes());
        assert_eq!(attempts.admit(address, &n.to_string(), START.plus(Duration::from_millis(u64::from(n)))), Ok(()));
    }
    assert!(attempts.windows.lock().expect("not poisoned").len() <= KEPT_MAX);
}
