use super::*;
use crate::audit::keys::{Part, Recipient, generate_key_pair, open_data_key};
use crate::entropy::OsEntropy;
use crate::ids::CustomerId;

fn sealed(plain: &[u8]) -> (Vec<u8>, Secret<[u8; 32]>) {
    let (public, private) = generate_key_pair();
    let recipient = Recipient::Customer(CustomerId(7));
    let to = RecipientKey { recipient, part: Part::Values, period: 2026, public, signature: [0; 64] };
    let (mut sealer, mut file) = Sealer::begin(&to, "portreeve/archive/c7", 12, &OsEntropy).expect("a key");
    for piece in plain.chunks(10_007) {
        sealer.push(piece, &mut file);
    }
    sealer.finish(&mut file);
    (file, private)
}

/// The plain bytes; none if anything does not open.
fn opened(file: &[u8], private: &Secret<[u8; 32]>) -> Option<Vec<u8>> {
    let header = Header::read(file)?;
    let (chunks, bytes) = header.holds(file.len() as u64)?;
    let mut opener = Opener::new(&header, &open_data_key(private, &header.key).ok()?, chunks);
    let mut plain = Vec::new();
    for chunk in file.get(usize::try_from(header.length()).ok()?..)?.chunks(CHUNK_BYTES + TAG_BYTES) {
        plain.extend_from_slice(opener.open(&mut chunk.to_vec())?);
    }
    (opener.is_through() && plain.len() as u64 == bytes).then_some(plain)
}

#[test]
fn what_was_sealed_opens_at_every_length() {
    for length in [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 3 * CHUNK_BYTES, 3 * CHUNK_BYTES + 5] {
        let plain: Vec<u8> = (0..length).map(|at| (at % 251) as u8).collect();
        let (file, private) = sealed(&plain);
        assert_eq!(opened(&file, &private).as_ref(), Some(&plain), "{length} bytes");
    }
}

#[test]
fn nothing_that_was_cut_changed_or_moved_opens() {
    let (file, private) = sealed(&vec![b'x'; 2 * CHUNK_BYTES + 100]);
    let header = usize::try_from(Header::read(&file).expect("a header").length()).expect("short");
    let whole = CHUNK_BYTES + TAG_BYTES;
    for cut in [1, 100, 116, 117, whole + 116] {
        assert_eq!(opened(&file[..file.len() - cut], &private), None, "cut by {cut}");
    }
    for at in [0, 21, 40, header - 1, header, header + whole, file.len() - 1] {
        let mut changed = file.clone();
        changed[at] ^= 1;
        assert_eq!(opened(&changed, &private), None, "changed at {at}");
    }
    let mut moved = file.clone();
    let (first, second) = (file[header..header + whole].to_vec(), file[header + whole..header + 2 * whole].to_vec());
    moved[header..header + whole].copy_from_slice(&second);
    moved[header + whole..header + 2 * whole].copy_from_slice(&first);
    assert_eq!(opened(&moved, &private), None);
    assert_eq!(opened(&file, &generate_key_pair().1), None, "another key");
}
