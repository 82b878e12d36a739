//! Packets and frames as bytes, right ones and wrong ones. Built here by hand, so that no fault of our own encoder can
//! hide one of our decoder.

/// A packet without a type byte: length, code, body.
pub(crate) fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = length(8 + body.len()).to_vec();
    bytes.extend_from_slice(&code.to_be_bytes());
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn ssl_request() -> Vec<u8> {
    packet(80_877_103, &[])
}

pub(crate) fn gss_request() -> Vec<u8> {
    packet(80_877_104, &[])
}

pub(crate) fn cancel_request(backend: i32, secret: &[u8]) -> Vec<u8> {
    packet(80_877_102, &[&backend.to_be_bytes(), secret].concat())
}

/// A start-up packet of that protocol version.
pub(crate) fn start_up(major: u32, minor: u32, parameters: &[(&str, &str)]) -> Vec<u8> {
    let mut body = Vec::new();
    for text in parameters.iter().flat_map(|(name, value)| [name, value]) {
        body.extend_from_slice(text.as_bytes());
        body.push(0);
    }
    body.push(0);
    packet((major << 16) | minor, &body)
}

/// A frame: type byte, length, body.
pub(crate) fn frame(tag: u8, body: &[u8]) -> Vec<u8> {
    lying(tag, 4 + body.len(), body)
}

/// A frame whose length word says something of its own.
pub(crate) fn lying(tag: u8, says: usize, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![tag];
    bytes.extend_from_slice(&length(says));
    bytes.extend_from_slice(body);
    bytes
}

pub(crate) fn query(text: &str) -> Vec<u8> {
    frame(b'Q', &strings(&[text]))
}

/// Texts, each with its NUL.
pub(crate) fn strings(texts: &[&str]) -> Vec<u8> {
    texts.iter().flat_map(|text| text.bytes().chain([0])).collect()
}

fn length(bytes: usize) -> [u8; 4] {
    u32::try_from(bytes).expect("tests send less than 4 GiB").to_be_bytes()
}
