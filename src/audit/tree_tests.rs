use super::*;

/// The leaves and roots that Certificate Transparency implementations share as test vectors.
const LEAVES: [&str; 8] =
    ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"];
const ROOTS: [&str; 9] = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal")).collect()
}

#[test]
fn the_roots_are_those_of_certificate_transparency() {
    let mut frontier = Frontier::new();
    assert_eq!(hex(&frontier.root()), ROOTS[0]);
    for (size, leaf) in LEAVES.iter().enumerate() {
        frontier.push(leaf_hash(&bytes(leaf)));
        assert_eq!(hex(&frontier.root()), ROOTS[size + 1], "of {} leaves", size + 1);
        assert_eq!(frontier.size(), size as u64 + 1);
    }
}

#[test]
fn the_inclusion_proofs_are_those_of_certificate_transparency() {
    let leaves: Vec<Hash> = LEAVES.iter().map(|leaf| leaf_hash(&bytes(leaf))).collect();
    // (index from 0, size, path)
    let vectors: [(u64, usize, &[&str]); 4] = [
        (0, 1, &[]),
        (
            0,
            8,
            &[
                "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
                "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
                "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
            ],
        ),
        (
            5,
            8,
            &[
                "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
                "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
                "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            ],
        ),
        (2, 3, &["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    ];
    for (index, size, path) in vectors {
        let proof = inclusion_proof(&leaves[..size], index).expect("there is such a leaf");
        assert_eq!(proof.iter().map(|hash| hex(hash)).collect::<Vec<_>>(), path, "leaf {index} of {size}");
    }
    assert_eq!(inclusion_proof(&leaves, 8), None);
}

#[test]
fn every_inclusion_proof_holds_for_its_own_leaf_and_place_only() {
    let leaves: Vec<Hash> = (0..40u8).map(|leaf| leaf_hash(&[leaf])).collect();
    for size in 1..=leaves.len() {
        let tree = &leaves[..size];
        let whole = root(tree);
        for index in 0..size {
            let proof = inclusion_proof(tree, index as u64).expect("there is such a leaf");
            let holds =
                |leaf: &Hash, at: usize, proof: &[Hash]| proves_inclusion(leaf, at as u64, size as u64, proof, &whole);
            assert!(holds(&tree[index], index, &proof), "{index} of {size}");
            assert!(!holds(&leaf_hash(b"another"), index, &proof));
            assert!(!holds(&tree[index], size, &proof));
            let longer: Vec<Hash> = proof.iter().copied().chain([[0; 32]]).collect();
            assert!(!holds(&tree[index], index, &longer));
            if size > 1 {
                assert!(!holds(&tree[index], (index + 1) % size, &proof));
                assert!(!holds(&tree[index], index, &proof[1..]));
            }
        }
    }
}

#[test]
fn parts_of_any_length_hash_as_one_text() {
    let bytes: Vec<u8> = (0..400_u16).map(|byte| byte as u8).collect();
    for length in [0, 1, 64, 169, 191, 192, 193, 400] {
        let whole = sha256(&[&bytes[..length]]);
        for at in [0, length / 3, length] {
            let (first, rest) = bytes[..length].split_at(at);
            assert_eq!(sha256(&[first, rest]), whole, "{length} at {at}");
            assert_eq!(sha256(&[first, &[], rest, &[]]), whole, "{length} at {at}");
        }
    }
}
