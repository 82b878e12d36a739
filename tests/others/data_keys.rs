//! Data keys between us and the crate `hpke`, a HPKE (RFC 9180) of its own making: sealed here and opened there, sealed there
//! and opened here, with the `info` and additional data that FORMAT.md gives.
//! Not here: the X25519 in it against vectors (`primitives.rs`).

use hpke::aead::AesGcm256;
use hpke::kdf::HkdfSha256;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, OpModeR, OpModeS, Serializable, single_shot_open, single_shot_seal};
use portreeve::audit::keys::{
    Part, Recipient, RecipientKey, SealedDataKey, generate_key_pair, open_data_key, seal_data_key,
};
use portreeve::ids::CustomerId;
use portreeve::secret::Secret;
use rustls::crypto::aws_lc_rs::hpke::DH_KEM_X25519_HKDF_SHA256_AES_256;
use rustls::crypto::hpke::{EncapsulatedSecret, Hpke, HpkePrivateKey};

use super::asking::unhex;

const INFO: &[u8] = b"portreeve/data-key/v1";
const DATA_KEY: [u8; 32] = [9; 32];

type Private = <X25519HkdfSha256 as Kem>::PrivateKey;
type Public = <X25519HkdfSha256 as Kem>::PublicKey;
type Encapsulated = <X25519HkdfSha256 as Kem>::EncappedKey;

/// FORMAT.md, "Data keys": position (8), recipient (9), part (1), period (4), origin.
pub(crate) fn aad(sealed: &SealedDataKey) -> Vec<u8> {
    let (kind, number) = sealed.recipient.customer().map_or((2, 0), |customer| (1, customer.0));
    let (position, number) = (sealed.position.to_le_bytes(), number.to_le_bytes());
    let numbers = [&position[..], &[kind], &number, &[sealed.part.number()], &sealed.period.to_le_bytes()].concat();
    [&numbers[..], sealed.origin.as_bytes()].concat()
}

/// Where data keys stand: recipient, part, period, origin, position.
fn places() -> Vec<SealedDataKey> {
    let customer = Recipient::Customer(CustomerId(0x0102_0304_0506_0708));
    let places = [
        (customer, Part::Values, 2026, "portreeve/proxy-gate-1", 0),
        (customer, Part::Skeleton, 2026, "portreeve/proxy-gate-1", 1),
        (Recipient::Vendor, Part::Values, 202_611, "portreeve/portal.2", u64::MAX),
        (Recipient::Vendor, Part::Skeleton, 0, "portreeve/a", 0x1122_3344_5566_7788),
    ];
    let sealed = |(recipient, part, period, origin, position): (_, _, _, &str, _)| SealedDataKey {
        origin: origin.to_owned(),
        position,
        recipient,
        part,
        period,
        enc: Vec::new(),
        sealed: Vec::new(),
    };
    places.map(sealed).into()
}

fn opened_there(private: &[u8; 32], sealed: &SealedDataKey, info: &[u8], aad: &[u8]) -> Option<Vec<u8>> {
    let private = Private::from_bytes(private).expect("32 bytes are a private key");
    let enc = Encapsulated::from_bytes(&sealed.enc).expect("32 bytes");
    let mode = OpModeR::Base;
    single_shot_open::<AesGcm256, HkdfSha256, X25519HkdfSha256>(&mode, &private, &enc, info, &sealed.sealed, aad).ok()
}

#[test]
fn a_data_key_sealed_here_opens_there() {
    let (public, private) = generate_key_pair();
    let derived = X25519HkdfSha256::sk_to_pk(&Private::from_bytes(private.expose()).expect("a private key"));
    assert_eq!(derived.to_bytes().as_slice(), public);
    for place in places() {
        let SealedDataKey { origin, position, recipient, part, period, .. } = place;
        let key = RecipientKey { recipient, part, period, public, signature: [0; 64] };
        let sealed = seal_data_key(&key, &origin, position, &Secret::new(DATA_KEY)).expect("sealed");
        assert_eq!((sealed.enc.len(), sealed.sealed.len()), (32, 48));
        let opened = |info: &[u8], aad: &[u8]| opened_there(private.expose(), &sealed, info, aad);
        assert_eq!(opened(INFO, &aad(&sealed)).as_deref(), Some(&DATA_KEY[..]), "{sealed:?}");
        assert_eq!(opened(b"portreeve/data-key/v2", &aad(&sealed)), None);
        for at in 0..aad(&sealed).len() {
            let mut changed = aad(&sealed);
            changed[at] ^= 1;
            assert_eq!(opened(INFO, &changed), None, "byte {at}");
        }
    }
}

#[test]
fn a_data_key_sealed_there_opens_here() {
    let (public, private) = generate_key_pair();
    let public = Public::from_bytes(&public).expect("a public key");
    for mut place in places() {
        let (mode, additional) = (OpModeS::Base, aad(&place));
        let seal = |info: &[u8]| {
            single_shot_seal::<AesGcm256, HkdfSha256, X25519HkdfSha256>(&mode, &public, info, &DATA_KEY, &additional)
        };
        let (enc, sealed) = seal(INFO).expect("sealed");
        (place.enc, place.sealed) = (enc.to_bytes().to_vec(), sealed);
        assert_eq!(open_data_key(&private, &place).expect("opens").expose(), &DATA_KEY, "{place:?}");
        open_data_key(&generate_key_pair().1, &place).expect_err("another key");
        let mut changed = place.clone();
        changed.position ^= 1;
        open_data_key(&private, &changed).expect_err("another position");
        let (enc, sealed) = seal(b"portreeve/data-key/v2").expect("sealed");
        (place.enc, place.sealed) = (enc.to_bytes().to_vec(), sealed);
        open_data_key(&private, &place).expect_err("sealed for something else");
    }
}

/// The vector of our suite among those that RFC 9180 points to (its own appendix has none of this suite), its first
/// message in base mode: by the library's suite that data keys are sealed with, for the `info` is another, and by `hpke`.
#[test]
fn the_vector_of_the_suite_opens() {
    let private = unhex("497b4502664cfea5d5af0b39934dac72242a74f8480451e1aee7d6a53320333d");
    let enc = unhex("6c93e09869df3402d7bf231bf540fadd35cd56be14f97178f0954db94b7fc256");
    let sealed = unhex("e5d84cd531cfb583096e7cfa9641bd3079cf3a91cda813c52deb5f512be9931980a41de125a925cdad859d5b7a");
    let (info, aad) = (b"Ode on a Grecian Urn", b"Count-0");
    let (secret, key) = (EncapsulatedSecret(enc.clone()), HpkePrivateKey::from(private.clone()));
    let ours = DH_KEM_X25519_HKDF_SHA256_AES_256.open(&secret, info, aad, &sealed, &key).expect("opens");
    assert_eq!(ours, b"Beauty is truth, truth beauty");
    let mut place = places().remove(0);
    (place.enc, place.sealed) = (enc, sealed);
    let private: [u8; 32] = private.try_into().expect("32 bytes");
    assert_eq!(opened_there(&private, &place, info, aad), Some(ours));
}
