//! What MariaDB compresses in its log: whole events, and columns declared COMPRESSED.

use std::io::Read as _;

use flate2::read::{DeflateDecoder, ZlibDecoder};

use super::bytes::{Bytes, Malformed, Read};

/// More than any server sends in one event (`max_allowed_packet` ends at 1 GiB); a length beyond
/// it is no length.
const BYTES_MAX: u64 = 1 << 30;

/// The compressed part of an event: a byte `0x80 | n`, the length in `n` big-endian bytes, zlib
/// data (`binlog_buf_uncompress` in MariaDB's `sql/log_event.cc`).
pub(super) fn event(part: &[u8]) -> Read<Vec<u8>> {
    let mut bytes = Bytes(part);
    let header = bytes.u8()?;
    // Bits 4 to 6 are the algorithm; zlib, 0, is the only one.
    if header & 0xf0 != 0x80 {
        return Err(format!("it is compressed in an unknown way ({header:#04x})").into());
    }
    let length = bytes.be(usize::from(header & 0x07))?;
    inflate(ZlibDecoder::new(bytes.rest()), length)
}

/// The stored form of a column declared COMPRESSED (`compress_zlib` in MariaDB's `sql/field_comp.cc`):
/// the high four bits of the first byte are the method, 0 for not compressed; the low three count
/// the length's big-endian bytes; bit 3 says that the zlib header is left out.
pub(super) fn column(stored: &[u8]) -> Read<Vec<u8>> {
    let mut bytes = Bytes(stored);
    if bytes.is_empty() {
        return Ok(Vec::new());
    }
    let header = bytes.u8()?;
    match header >> 4 {
        0 => Ok(bytes.rest().to_vec()),
        8 => {
            let length = bytes.be(usize::from(header & 0x07))?;
            match header & 0x08 {
                0 => inflate(ZlibDecoder::new(bytes.rest()), length),
                _ => inflate(DeflateDecoder::new(bytes.rest()), length),
            }
        }
        method => Err(format!("it is compressed by the unknown method {method}").into()),
    }
}

fn inflate(decoder: impl std::io::Read, length: u64) -> Read<Vec<u8>> {
    if length > BYTES_MAX {
        return Err(format!("it says that it has {length} bytes uncompressed").into());
    }
    // What is claimed is not reserved at once, only what really comes.
    let mut out = Vec::with_capacity(usize::try_from(length.min(1 << 20)).unwrap_or_default());
    decoder
        .take(length + 1)
        .read_to_end(&mut out)
        .map_err(|cause| Malformed::from(format!("it cannot be uncompressed: {cause}")))?;
    if out.len() as u64 != length {
        return Err(format!("it is not as long uncompressed as it says ({length} bytes)").into());
    }
    Ok(out)
}
