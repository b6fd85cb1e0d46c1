//! Bodies on the wire: compressed where that helps, and as other clients compressed them.

use bytes::Bytes;
use flate2::Compression;
use flate2::read::{ZlibDecoder, ZlibEncoder};
use std::io::Read;

/// In `sysFlag`: the body is compressed, and three bits that say how.
pub(super) const COMPRESSED: i32 = 1;
const HOW: i32 = 7 << 8;
const LZ4: i32 = 1 << 8;
const ZSTD: i32 = 2 << 8;
const ZLIB: i32 = 3 << 8;

/// No body becomes larger: beyond that it is a bomb and no message.
const LARGEST: u64 = 128 << 20;

/// The body as it is to travel, and the flags that say so.
pub(super) fn pack(body: &Bytes, from: usize) -> (Bytes, i32) {
    // Brokers fail on a body of no bytes, and every client can unpack one.
    let is_empty = body.is_empty();
    if body.len() <= from && !is_empty {
        return (body.clone(), 0);
    }
    let mut packed = Vec::new();
    let read = ZlibEncoder::new(&body[..], Compression::fast()).read_to_end(&mut packed);
    // What is compressed already only grows.
    if read.is_ok() && (is_empty || packed.len() < body.len()) { (packed.into(), COMPRESSED | ZLIB) } else { (body.clone(), 0) }
}

/// The body as it was, or why it cannot be had.
pub(super) fn unpack(body: Bytes, flags: i32) -> Result<Bytes, String> {
    if flags & COMPRESSED == 0 {
        return Ok(body);
    }
    match flags & HOW {
        // Clients of before 5.0 do not say how: there was one way.
        ZLIB | 0 => {}
        LZ4 => return Err("its body is compressed with lz4, which this client cannot read: let the producer use zlib".to_owned()),
        ZSTD => return Err("its body is compressed with zstd, which this client cannot read: let the producer use zlib".to_owned()),
        how => return Err(format!("its body is compressed in a way that is not known, number {}", how >> 8)),
    }
    let mut plain = Vec::new();
    match ZlibDecoder::new(&body[..]).take(LARGEST + 1).read_to_end(&mut plain) {
        Ok(_) if plain.len() as u64 > LARGEST => Err(format!("its body is larger than {LARGEST} bytes when it is decompressed")),
        Ok(_) => Ok(plain.into()),
        Err(error) => Err(format!("its body cannot be decompressed: {error}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::messaging::random::Random;

    #[test]
    fn what_was_packed_is_unpacked() {
        let large = Bytes::from(vec![b'x'; 100_000]);
        let (packed, flags) = pack(&large, 4096);
        assert!(flags == COMPRESSED | ZLIB && packed.len() < 1000);
        assert_eq!(unpack(packed.clone(), flags).unwrap(), large);
        assert_eq!(unpack(packed.clone(), COMPRESSED).unwrap(), large);
        // Neither what is small nor what does not shrink.
        assert_eq!(pack(&large, 100_000), (large.clone(), 0));
        let mut random = Random::seeded(1);
        let noise: Bytes = (0..1000).map(|_| random.next() as u8).collect();
        assert_eq!(pack(&noise, 10), (noise, 0));
        assert_eq!(unpack(large.clone(), 0).unwrap(), large);
        let (packed, flags) = pack(&Bytes::new(), usize::MAX);
        assert!(!packed.is_empty() && unpack(packed, flags).unwrap().is_empty());
    }

    #[test]
    fn what_cannot_be_unpacked_says_why() {
        let body = Bytes::from_static(b"no zlib");
        for (flags, why) in
            [(COMPRESSED | LZ4, "lz4"), (COMPRESSED | ZSTD, "zstd"), (COMPRESSED | 5 << 8, "number 5"), (COMPRESSED | ZLIB, "cannot be")]
        {
            assert!(unpack(body.clone(), flags).unwrap_err().contains(why), "{why}");
        }
    }
}
