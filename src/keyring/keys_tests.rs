use super::*;
use crate::audit::keys::seal_data_key;
use crate::entropy::OsEntropy;
use crate::ids::CustomerId;

const ACME: Recipient = Recipient::Customer(CustomerId(7));
const BETA: Recipient = Recipient::Customer(CustomerId(9));
/// 2026-11-21, and 2026-12-05: less than 30 days before the next year.
const NOVEMBER: Timestamp = Timestamp(1_795_305_600_000_000);
const DECEMBER: Timestamp = Timestamp(1_796_515_200_000_000);

#[test]
fn the_next_period_is_due_thirty_days_ahead() {
    let periods = |recipient, now| {
        let mut periods: Vec<u32> = Keyring::due(&[recipient], now).iter().map(|slot| slot.period).collect();
        periods.dedup();
        periods.sort_unstable();
        periods.dedup();
        periods
    };
    assert_eq!(periods(ACME, NOVEMBER), [2026]);
    assert_eq!(periods(ACME, DECEMBER), [2026, 2027]);
    assert_eq!(periods(Recipient::Vendor, NOVEMBER), [202_611, 202_612]);
    assert_eq!(periods(Recipient::Vendor, DECEMBER), [202_612, 202_701]);
    // 2027-01-31: thirty days on it is March.
    assert_eq!(periods(Recipient::Vendor, Timestamp(1_801_396_800_000_000)), [202_701, 202_702, 202_703]);
    assert_eq!(Keyring::due(&[ACME, ACME, BETA], NOVEMBER).len(), 4);
}

fn made(recipients: &[Recipient]) -> Keyring {
    let mut keyring = Keyring::generate(&OsEntropy);
    for slot in Keyring::due(recipients, NOVEMBER) {
        keyring.make(slot, &OsEntropy);
        keyring.make_tag(slot.recipient, &OsEntropy);
    }
    keyring
}

#[test]
fn a_key_that_exists_stays() {
    let mut keyring = made(&[ACME]);
    let slot = Slot { recipient: ACME, part: Part::Values, period: 2026 };
    let before = keyring.public(&slot).expect("a key").expect("made");
    let tag = *keyring.tag(ACME).expect("made").0.expose();
    keyring.make(slot, &OsEntropy);
    keyring.make_tag(ACME, &OsEntropy);
    assert_eq!(keyring.public(&slot).expect("a key"), Some(before));
    assert_eq!(keyring.tag(ACME).expect("made").0.expose(), &tag);
}

#[test]
fn known_recipients_come_in_pages() {
    let keyring = made(&[Recipient::Vendor, BETA, ACME]);
    assert_eq!(keyring.known(None).collect::<Vec<_>>(), [ACME, BETA, Recipient::Vendor]);
    assert_eq!(keyring.known(Some(ACME)).collect::<Vec<_>>(), [BETA, Recipient::Vendor]);
    assert_eq!(keyring.known(Some(Recipient::Vendor)).count(), 0);
}

#[test]
fn a_data_key_opens_only_as_whose_it_is_and_where_it_stands() {
    let keyring = made(&[ACME, BETA]);
    let slot = Slot { recipient: ACME, part: Part::Values, period: 2026 };
    let key = keyring.public(&slot).expect("a key").expect("made");
    let sealed = seal_data_key(&key, "portreeve/x", 3, &Secret::new([5; 32])).expect("sealed");
    assert_eq!(keyring.open(&sealed).expect("opens").expose(), &[5; 32]);
    let mut cut = sealed.clone();
    cut.sealed.pop();
    let mut empty = sealed.clone();
    empty.enc.clear();
    let lies = [
        SealedDataKey { recipient: BETA, ..sealed.clone() },
        SealedDataKey { recipient: Recipient::Vendor, ..sealed.clone() },
        SealedDataKey { part: Part::Skeleton, ..sealed.clone() },
        SealedDataKey { period: 2027, ..sealed.clone() },
        SealedDataKey { position: 4, ..sealed.clone() },
        SealedDataKey { origin: "portreeve/y".to_owned(), ..sealed.clone() },
        cut,
        empty,
    ];
    for lie in lies {
        let error = keyring.open(&lie).expect_err("a lie");
        assert!(error.to_string().contains(&format!("position {} of {}", lie.position, lie.origin)), "{error}");
    }
}
