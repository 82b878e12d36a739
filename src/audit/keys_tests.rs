use super::*;

fn keyring() -> (Ed25519KeyPair, [u8; 32]) {
    use aws_lc_rs::signature::KeyPair;
    let pair = Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("32 bytes are a seed");
    let public = pair.public_key().as_ref().try_into().expect("an Ed25519 public key has 32 bytes");
    (pair, public)
}

fn key_of(recipient: Recipient) -> (RecipientKey, Secret<[u8; 32]>) {
    let (public, private) = generate_key_pair();
    (RecipientKey::sign(recipient, Part::Values, 2026, public, &keyring().0), private)
}

#[test]
fn a_data_key_opens_with_its_recipients_private_key_only() {
    let (key, private) = key_of(Recipient::Customer(CustomerId(7)));
    let sealed = seal_data_key(&key, "portreeve/proxy-gate-1", 12, &Secret::new([3; 32])).expect("sealed");
    assert_eq!((sealed.enc.len(), sealed.sealed.len()), (32, 48));
    assert_eq!(open_data_key(&private, &sealed).expect("opened").expose(), &[3; 32]);

    let (_, another) = generate_key_pair();
    let refused = open_data_key(&another, &sealed).expect_err("another private key");
    assert_eq!(
        refused.to_string(),
        "the data key at position 12 of portreeve/proxy-gate-1 does not open with that key"
    );
}

#[test]
fn a_data_key_is_bound_to_all_that_names_its_place() {
    let (key, private) = key_of(Recipient::Customer(CustomerId(7)));
    let sealed = seal_data_key(&key, "portreeve/a", 12, &Secret::new([3; 32])).expect("sealed");
    let moved: [(&str, fn(&mut SealedDataKey)); 7] = [
        ("origin", |k| k.origin = "portreeve/b".to_owned()),
        ("position", |k| k.position = 13),
        ("customer", |k| k.recipient = Recipient::Customer(CustomerId(8))),
        ("recipient", |k| k.recipient = Recipient::Vendor),
        ("part", |k| k.part = Part::Skeleton),
        ("period", |k| k.period = 2027),
        ("ciphertext", |k| k.sealed.iter_mut().for_each(|byte| *byte ^= 1)),
    ];
    for (what, change) in moved {
        let mut changed = sealed.clone();
        change(&mut changed);
        assert!(open_data_key(&private, &changed).is_err(), "{what} was changed and it opened");
    }
}

#[test]
fn a_recipient_key_is_believed_only_with_the_keyrings_signature() {
    let (key, _) = key_of(Recipient::Vendor);
    let (_, pinned) = keyring();
    assert_eq!(key.verify(&pinned), Ok(()));
    let changes: [fn(&mut RecipientKey); 4] = [
        |k| k.recipient = Recipient::Customer(CustomerId(0)),
        |k| k.part = Part::Skeleton,
        |k| k.period += 1,
        |k| k.public = [9; 32],
    ];
    for change in changes {
        let mut changed = key.clone();
        change(&mut changed);
        assert!(matches!(changed.verify(&pinned), Err(Error::NotSigned { .. })), "{changed:?}");
    }
    assert!(key.verify(&[1; 32]).is_err(), "another keyring's key is not ours");
}

#[test]
fn keys_survive_cbor() {
    let (key, _) = key_of(Recipient::Customer(CustomerId(7)));
    let sealed = seal_data_key(&key, "portreeve/a", 1, &Secret::new([3; 32])).expect("sealed");
    let bytes = minicbor::to_vec(&key).expect("encoded");
    assert_eq!(minicbor::decode::<RecipientKey>(&bytes).expect("decoded"), key);
    let bytes = minicbor::to_vec(&sealed).expect("encoded");
    assert_eq!(minicbor::decode::<SealedDataKey>(&bytes).expect("decoded"), sealed);
}

#[test]
fn a_period_is_a_year_for_customers_and_a_month_for_the_vendor() {
    let last_moment_of_2026 = Timestamp(1_798_761_599_999_999);
    let customer = Recipient::Customer(CustomerId(7));
    assert_eq!(customer.period(last_moment_of_2026), 2026);
    assert_eq!(Recipient::Vendor.period(last_moment_of_2026), 202_612);
    assert_eq!(customer.period(Timestamp(last_moment_of_2026.0 + 1)), 2027);
    assert_eq!(Recipient::Vendor.period(Timestamp(last_moment_of_2026.0 + 1)), 202_701);
    assert_eq!(Recipient::Vendor.period(Timestamp(i64::MIN)), 0, "a clock that is out of its mind panics nobody");
}

#[test]
fn sealing_needs_both_parts_keys_and_the_tag_key() {
    let customer = Recipient::Customer(CustomerId(7));
    let recipients = Recipients::new();
    for part in Part::ALL {
        assert!(recipients.seal_to(customer, 2026).is_none());
        let (public, _) = generate_key_pair();
        recipients.set(RecipientKey::sign(customer, part, 2026, public, &keyring().0));
    }
    assert!(recipients.seal_to(customer, 2026).is_none(), "the tag key is missing");
    recipients.set_tag(customer, TagKey(Secret::new([1; 32])));
    let to = recipients.clone().seal_to(customer, 2026).expect("all keys are there, in the clone too");
    assert_eq!((to.values.part, to.skeleton.part), (Part::Values, Part::Skeleton));
    recipients.forget(customer);
    assert!(recipients.seal_to(customer, 2026).is_none());
}

#[test]
fn a_recipient_without_a_tag_key_is_a_stranger_unless_its_keys_were_destroyed() {
    let (recipients, seven) = (Recipients::new(), Recipient::Customer(CustomerId(7)));
    assert!(recipients.is_stranger(seven, Part::Values));
    recipients.set_erased(seven, Part::Values, Some(202_611));
    assert!(recipients.is_stranger(seven, Part::Values), "one period is not all of them");
    recipients.set_erased(seven, Part::Values, None);
    assert!(!recipients.is_stranger(seven, Part::Values) && recipients.is_stranger(seven, Part::Skeleton));
    recipients.set_tag(seven, TagKey(Secret::new([1; 32])));
    assert!(!recipients.is_stranger(seven, Part::Skeleton) && !recipients.is_gone(seven, Part::Skeleton));
}
