//! gzip and zstd, known by their first bytes, so that a file's name cannot mislead.

use std::io::{self, BufRead, BufReader};

use flate2::bufread::MultiGzDecoder;

const GZIP: &[u8] = &[0x1f, 0x8b];
const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// A stream of the plain bytes, and the name of the compression if there was one.
pub(super) fn decompress<'a>(
    mut file: Box<dyn BufRead + 'a>,
) -> io::Result<(Box<dyn BufRead + 'a>, Option<&'static str>)> {
    let first = file.fill_buf()?;
    if first.starts_with(GZIP) {
        Ok((Box::new(BufReader::new(MultiGzDecoder::new(file))), Some("gzip")))
    } else if first.starts_with(ZSTD) {
        Ok((Box::new(BufReader::new(zstd::stream::read::Decoder::with_buffer(file)?)), Some("zstd")))
    } else {
        Ok((file, None))
    }
}
