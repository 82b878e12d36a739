//! What the format is made of, against Wycheproof's vectors and those of the RFCs.
//! Ed25519 goes through our own functions (`VerifierKey::verifies`, `SigningKey`), X25519 through `open_data_key`, HMAC and
//! HKDF's expansion through `MacKey`. Where ours take no vector (a fixed nonce, label or length), the same calls of the same
//! library are made with the same parameters: AES-256-GCM as `audit/seal.rs` and `keyring/sealed.rs` call it, HKDF as the
//! latter does. What they come to, sealed parts, tags and links, is made with other people's code besides.
//! Not here: the roots and proofs of RFC 6962 (`src/audit/tree_tests.rs`), and other people's trees (`tree.rs`).

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key};
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use hmac::Mac;
use hpke::kem::X25519HkdfSha256;
use hpke::{Deserializable, Kem, Serializable};
use portreeve::audit::checkpoint::SigningKey;
use portreeve::audit::keys::{Part, Recipient, SealedDataKey, TagKey, open_data_key};
use portreeve::audit::mac::MacKey;
use portreeve::audit::note::{Algorithm, VerifierKey};
use portreeve::audit::seal::{Binding, DataKey, open, seal};
use portreeve::audit::tag::Tagger;
use portreeve::secret::Secret;
use wycheproof::{TestResult, aead, eddsa, mac, xdh};

use super::asking::unhex;
use super::data_keys::aad;

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    bytes.try_into().expect("as many bytes")
}

#[test]
fn ed25519_signatures_of_wycheproof() {
    let set = eddsa::TestSet::load(eddsa::TestName::Ed25519).expect("vectors");
    let mut count = 0;
    for group in set.test_groups {
        let key = VerifierKey { name: "k".to_owned(), algorithm: Algorithm::Ed25519, public: array(&group.key.pk) };
        for test in group.tests {
            assert_ne!(test.result, TestResult::Acceptable, "{}", test.tc_id);
            let verifies = key.verifies(&test.msg, &test.sig);
            assert_eq!(verifies, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            count += 1;
        }
    }
    assert!(count >= 140, "{count}");
}

/// RFC 8032 section 7.1, TEST 1 to 3: seed, public key, message, signature.
#[test]
fn ed25519_signatures_of_rfc_8032() {
    for (seed, public, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            "",
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155\
             5fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            "72",
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
             085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
        (
            "c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
            "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
            "af82",
            "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac\
             18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc027beceea1ec40a",
        ),
    ] {
        let key = SigningKey::from_seed(&Secret::new(array(&unhex(seed))));
        assert_eq!(key.public().to_vec(), unhex(public));
        assert_eq!(key.sign_bytes(b"", &unhex(message)).to_vec(), unhex(signature));
        let verifier = VerifierKey { name: "k".to_owned(), algorithm: Algorithm::Ed25519, public: key.public() };
        assert!(verifier.verifies(&unhex(message), &unhex(signature)));
    }
}

type Hkdf = ::hkdf::Hkdf<sha2::Sha256>;

/// A data key sealed by hand, by RFC 9180 and other people's HKDF and AES, from the shared secret that the vector gives.
fn sealed_from(shared: &[u8], enc: &[u8], public: &[u8]) -> SealedDataKey {
    let extract = |suite: &[u8], salt: &[u8], label: &str, input: &[u8]| {
        Hkdf::extract(Some(salt), &[b"HPKE-v1", suite, label.as_bytes(), input].concat()).0
    };
    let expand = |suite: &[u8], prk: &[u8], label: &str, info: &[u8], length: usize| {
        let mut out = vec![0; length];
        let length = u16::try_from(length).expect("short").to_be_bytes();
        let info = [&length[..], b"HPKE-v1", suite, label.as_bytes(), info].concat();
        Hkdf::from_prk(prk).expect("a key").expand(&info, &mut out).expect("short");
        out
    };
    let (kem, suite) = (b"KEM\x00\x20".as_slice(), b"HPKE\x00\x20\x00\x01\x00\x02".as_slice());
    let prk = extract(kem, b"", "eae_prk", shared);
    let secret = expand(kem, &prk, "shared_secret", &[enc, public].concat(), 32);
    let hash = |label: &str, input: &[u8]| extract(suite, b"", label, input).to_vec();
    let context = [vec![0], hash("psk_id_hash", b""), hash("info_hash", b"portreeve/data-key/v1")].concat();
    let prk = extract(suite, &secret, "secret", b"");
    let (key, nonce) = (expand(suite, &prk, "key", &context, 32), expand(suite, &prk, "base_nonce", &context, 12));
    let mut sealed = SealedDataKey {
        origin: "portreeve/a".to_owned(),
        position: 3,
        recipient: Recipient::Vendor,
        part: Part::Values,
        period: 202_611,
        enc: enc.to_vec(),
        sealed: Vec::new(),
    };
    let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(array::<32>(&key)));
    let payload = Payload { msg: &[9; 32], aad: &aad(&sealed) };
    sealed.sealed = cipher.encrypt(&array::<12>(&nonce).into(), payload).expect("sealed");
    sealed
}

/// A data key sealed to the shared secret of the vector opens with its private key, as long as that secret is one: a public
/// key of small order gives zeros, whatever the private key is, and is refused.
#[test]
fn x25519_agreements_of_wycheproof() {
    let set = xdh::TestSet::load(xdh::TestName::X25519).expect("vectors");
    let (mut opened, mut refused) = (0, 0);
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let private: [u8; 32] = array(&test.private_key);
        let own = <X25519HkdfSha256 as Kem>::PrivateKey::from_bytes(&private).expect("32 bytes are a private key");
        let public = X25519HkdfSha256::sk_to_pk(&own).to_bytes();
        let sealed = sealed_from(&test.shared_secret, &test.public_key, &public);
        let key = open_data_key(&Secret::new(private), &sealed);
        let is_secret = test.public_key.len() == 32 && test.shared_secret.iter().any(|byte| *byte != 0);
        assert!(is_secret || test.result != TestResult::Valid, "{}", test.tc_id);
        assert_eq!(key.is_ok(), is_secret, "{}: {} {:?}", test.tc_id, test.comment, test.result);
        assert!(key.is_ok_and(|key| key.expose() == &[9; 32]) || !is_secret, "{}", test.tc_id);
        if is_secret { opened += 1 } else { refused += 1 }
    }
    assert!(opened >= 400 && refused >= 20, "{opened} {refused}");
}

#[test]
fn aes_256_gcm_of_wycheproof() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).expect("vectors");
    let groups = set.test_groups.into_iter().filter(|group| group.key_size == 256);
    let (mut valid, mut invalid) = (0, 0);
    for group in groups.filter(|group| group.nonce_size == 8 * NONCE_LEN && group.tag_size == 128) {
        for test in group.tests {
            let key = || LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &test.key).expect("32 bytes are a key"));
            let nonce = || Nonce::assume_unique_for_key(array(&test.nonce));
            let mut content = [test.ct.as_slice(), test.tag.as_slice()].concat();
            let opened = key().open_in_place(nonce(), Aad::from(test.aad.as_slice()), &mut content);
            let opened = opened.ok().map(|plain| plain.to_vec());
            if test.result == TestResult::Invalid {
                assert_eq!(opened, None, "{}: {}", test.tc_id, test.comment);
                invalid += 1;
                continue;
            }
            assert_eq!(opened.as_ref(), Some(&*test.pt), "{}: {}", test.tc_id, test.comment);
            let mut sealed = test.pt.to_vec();
            let tag = key().seal_in_place_separate_tag(nonce(), Aad::from(test.aad.as_slice()), &mut sealed);
            assert_eq!(
                (sealed.as_slice(), tag.expect("sealed").as_ref()),
                (&test.ct[..], &test.tag[..]),
                "{}",
                test.tc_id
            );
            valid += 1;
        }
    }
    assert!(valid >= 30 && invalid >= 20, "{valid} {invalid}");
}

/// Those with keys of 32 bytes, as data keys and tag keys are; a tag of ours is the first half of a code.
#[test]
fn hmac_sha_256_of_wycheproof() {
    let set = mac::TestSet::load(mac::TestName::HmacSha256).expect("vectors");
    let (mut valid, mut invalid) = (0, 0);
    for group in set.test_groups.into_iter().filter(|group| group.key_size == 256) {
        for test in group.tests {
            let is_same = code(&test.key, &test.msg)[..group.tag_size / 8] == test.tag[..];
            assert_eq!(is_same, test.result == TestResult::Valid, "{}: {}", test.tc_id, test.comment);
            if is_same { valid += 1 } else { invalid += 1 }
        }
    }
    assert!(valid >= 20 && invalid >= 80, "{valid} {invalid}");
}

fn code(key: &[u8], message: &[u8]) -> [u8; 32] {
    let mut code = [0; 32];
    MacKey::new(&Secret::new(array(key))).mac(message, &mut code);
    code
}

struct Length(usize);

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        self.0
    }
}

/// In two pieces of info; none if that is more than can be had.
fn expanded(prk: &hkdf::Prk, info: &[u8], length: usize) -> Option<Vec<u8>> {
    let (first, rest) = info.split_at(info.len() / 2);
    let mut out = vec![0; length];
    prk.expand(&[first, rest], Length(length)).and_then(|okm| okm.fill(&mut out)).ok()?;
    Some(out)
}

#[test]
fn hkdf_sha_256_of_wycheproof() {
    let set = wycheproof::hkdf::TestSet::load(wycheproof::hkdf::TestName::HkdfSha256).expect("vectors");
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.into_iter().flat_map(|group| group.tests) {
        let prk = hkdf::Salt::new(hkdf::HKDF_SHA256, &test.salt).extract(&test.ikm);
        let okm = expanded(&prk, &test.info, test.size);
        let expected = (test.result == TestResult::Valid).then(|| test.okm.to_vec());
        assert_eq!(okm, expected, "{}: {}", test.tc_id, test.comment);
        if okm.is_some() { valid += 1 } else { invalid += 1 }
    }
    assert!(valid >= 70 && invalid >= 1, "{valid} {invalid}");
}

/// RFC 5869 appendix A.1 to A.3: with the extraction, as the keyring's file has it; and without, by the codes that a data
/// key gives.
#[test]
fn hkdf_sha_256_of_rfc_5869() {
    let counted = |from: u8, to: u8| (from..=to).collect::<Vec<u8>>();
    for (input, salt, info, prk, okm) in [
        (
            vec![0x0b; 22],
            counted(0, 0x0c),
            counted(0xf0, 0xf9),
            "077709362c2e32df0ddc3f0dc47bba6390b6c73bb50f9c3122ec844ad7c2b3e5",
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            counted(0, 0x4f),
            counted(0x60, 0xaf),
            counted(0xb0, 0xff),
            "06a6b88c5853361a06104c9ceb35b45cef760014904671014a193f40c15fc244",
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09\
             da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
        ),
        (
            vec![0x0b; 22],
            vec![],
            vec![],
            "19ef24a32c717b167f33a91d6f648bdf96596776afdb6377ac434c1c293ccb04",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ] {
        let (prk, okm) = (unhex(prk), unhex(okm));
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, &salt).extract(&input);
        assert_eq!(expanded(&extracted, &info, okm.len()).as_ref(), Some(&okm));
        let (mut block, mut out) = (Vec::new(), Vec::new());
        for number in 1..=3 {
            block = code(&prk, &[&block[..], &info, &[number]].concat()).to_vec();
            out.extend_from_slice(&block);
        }
        assert_eq!(out[..okm.len()], okm);
    }
}

/// FORMAT.md, "A sealed part", with the crates `hkdf` and `aes-gcm`: sealed here it opens there, and the other way round.
#[test]
fn sealed_parts_are_those_of_other_peoples_hkdf_and_aes() {
    let (key, salt) = ([5; 32], [4; 16]);
    let place: [u8; 80] = std::array::from_fn(|at| at as u8);
    for (part, origin) in [(Part::Values, "portreeve/a"), (Part::Skeleton, "portreeve/proxy-gate-1")] {
        let label = b"portreeve/part/v1\n".as_slice();
        let (mut okm, info) = ([0; 64], [label, &salt, &place[8..16], &[part.number()]].concat());
        Hkdf::from_prk(&key).expect("a key").expand(&info, &mut okm).expect("short");
        let cipher = Aes256Gcm::new(&Key::<Aes256Gcm>::from(array::<32>(&okm[..32])));
        let aad = [&place[..], &[part.number()], origin.as_bytes()].concat();
        let binding = Binding::new(origin, &place, part);
        for length in [0, 1, 62, 63, 64, 1000, 1022, 5000] {
            let content: Vec<u8> = (0..length).map(|byte| (byte % 251) as u8).collect();
            let mut ours = Vec::new();
            seal(&DataKey::new(&Secret::new(key)), &binding, &salt, &content, &mut ours);
            assert_eq!((&ours[..16], &ours[16..48]), (&salt[..], &okm[32..]));
            let plain = cipher.decrypt(&[0; 12].into(), Payload { msg: &ours[48..], aad: &aad }).expect("opens");
            let (start, padding) = plain.split_at(content.len());
            assert_eq!((start, padding[0]), (&content[..], 0x80));
            assert!(padding[1..].iter().all(|byte| *byte == 0));
            let sealed = cipher.encrypt(&[0; 12].into(), Payload { msg: &plain, aad: &aad }).expect("sealed");
            let theirs = [&salt[..], &okm[32..], &sealed].concat();
            let opened = open(&DataKey::new(&Secret::new(key)), &binding, &theirs).expect("opens");
            assert_eq!(opened.as_slice(), content, "{length} bytes");
        }
    }
}

/// FORMAT.md, "Tags and links", with the crate `hmac`, for origins of any length.
#[test]
fn tags_and_links_are_those_of_other_peoples_hmac() {
    let theirs = |parts: [&[u8]; 3]| {
        let mut mac = hmac::Hmac::<sha2::Sha256>::new_from_slice(&[6; 32]).expect("a key");
        parts.iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().to_vec()
    };
    for length in 1..=200 {
        let origin = "o".repeat(length);
        let tagger = Tagger::new(&TagKey(Secret::new([6; 32])), &origin);
        let segment = 0x0102_0304_0506_0708 * length as u64;
        let tag = theirs([b"portreeve/tag/v1\n", &segment.to_le_bytes(), origin.as_bytes()]);
        assert_eq!(tagger.tag(segment), tag[..16], "{length}");
        for previous in [None, Some([7; 32])] {
            let link = theirs([b"portreeve/link/v1\n", &previous.unwrap_or([0; 32]), origin.as_bytes()]);
            assert_eq!(tagger.link(previous.as_ref()).to_vec(), link, "{length}");
        }
    }
}
