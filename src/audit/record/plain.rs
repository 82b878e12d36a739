//! A part's content as CBOR, read strictly: whoever reads it with another reader sees the same.
//! Not here: what its fields mean (`record.rs`).
//! FORMAT.md, "A record".

use std::collections::BTreeSet;

use minicbor::data::Type;
use minicbor::{Decode, Decoder};

/// Maps and lists within each other; records have no more than five.
const DEPTH_MAX: usize = 16;

/// Reads one item.
///
/// # Errors
/// What is wrong with it: no such item, a length that is not definite, a number twice in a map, bytes behind it.
pub fn read<T: for<'b> Decode<'b, ()>>(content: &[u8]) -> Result<T, String> {
    let mut decoder = Decoder::new(content);
    walk(&mut decoder, DEPTH_MAX)?;
    if decoder.position() != content.len() {
        return Err("bytes are left over behind it".to_owned());
    }
    minicbor::decode(content).map_err(|error| error.to_string())
}

fn walk(decoder: &mut Decoder<'_>, depth: usize) -> Result<(), String> {
    let wrong = |error: minicbor::decode::Error| error.to_string();
    let definite = |length: Option<u64>| length.ok_or("a length that is not definite");
    let within = || depth.checked_sub(1).ok_or("lists and maps are nested too deeply");
    match decoder.datatype().map_err(wrong)? {
        Type::Map | Type::MapIndef => {
            let (count, within, mut numbers) = (definite(decoder.map().map_err(wrong)?)?, within()?, BTreeSet::new());
            for _ in 0..count {
                let number = decoder.u64().map_err(wrong)?;
                if !numbers.insert(number) {
                    return Err(format!("field {number} is there twice"));
                }
                walk(decoder, within)?;
            }
        }
        Type::Array | Type::ArrayIndef => {
            let (count, within) = (definite(decoder.array().map_err(wrong)?)?, within()?);
            for _ in 0..count {
                walk(decoder, within)?;
            }
        }
        Type::BytesIndef | Type::StringIndef => definite(None).map(drop)?,
        _ => decoder.skip().map_err(wrong)?,
    }
    Ok(())
}

#[cfg(test)]
#[path = "plain_tests.rs"]
mod tests;
