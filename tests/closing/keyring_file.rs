//! A keyring's file opened by its bytes as they are written down, beside the program: with its credential and a generation's
//! secret. Not here: the program's own reader, which gives no private key away.

use std::path::Path;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::hkdf;
use minicbor::Decode;
use portreeve::audit::keys::{Part, Recipient};

const HEADER_BYTES: usize = 21 + 8 + 12;

#[derive(Decode)]
#[cbor(map)]
pub struct Content {
    #[n(2)]
    pub private: Vec<Private>,
    #[n(3)]
    pub tags: Vec<Tag>,
}

#[derive(Decode)]
pub struct Private {
    #[n(0)]
    pub recipient: Recipient,
    #[n(1)]
    pub part: Part,
    #[n(2)]
    pub period: u32,
    #[cbor(n(3), with = "minicbor::bytes")]
    pub key: [u8; 32],
}

#[derive(Decode)]
pub struct Tag {
    #[n(0)]
    pub recipient: Recipient,
    #[cbor(n(1), with = "minicbor::bytes")]
    pub key: [u8; 32],
}

struct Length;

impl hkdf::KeyType for Length {
    fn len(&self) -> usize {
        32
    }
}

/// What is in the file; none if no secret of that generation is there, or it does not open.
pub fn opened(file: &Path, generations: &Path, credential: &Path) -> Option<Content> {
    let (file, generations) = (std::fs::read(file).ok()?, std::fs::read(generations).ok()?);
    let credential = std::fs::read(credential).ok()?;
    let (header, sealed) = file.split_at_checked(HEADER_BYTES)?;
    let generation = header.get(21..29)?;
    let secrets = generations.strip_prefix(b"portreeve generation v0\n")?.chunks(40);
    let mut own = secrets.filter_map(|entry| entry.split_at_checked(8)).filter(|(number, _)| *number == generation);
    let (_, secret) = own.next()?;
    let mut key = [0; 32];
    let info = [b"portreeve keyring kek v0".as_slice(), generation];
    let derived = hkdf::Salt::new(hkdf::HKDF_SHA256, secret).extract(&credential);
    derived.expand(&info, Length).ok()?.fill(&mut key).ok()?;
    let kek = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &key).ok()?);
    let nonce = Nonce::try_assume_unique_for_key(header.get(29..)?).ok()?;
    let mut sealed = sealed.to_vec();
    minicbor::decode(kek.open_in_place(nonce, Aad::from(header), &mut sealed).ok()?).ok()
}
