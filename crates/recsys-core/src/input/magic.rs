//! File type detection by magic bytes, for files that are not the text their name promises.

/// What is wrong with a file that begins with `bytes` and should be UTF-8 text, and the fix. `None` if it may be text.
pub(crate) fn not_text(bytes: &[u8]) -> Option<&'static str> {
    Some(match bytes {
        [0x1f, 0x8b, ..] => "the file is gzip; its name must end in .gz",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "the file is zstd; its name must end in .zst",
        [b'P', b'K', 3, 4, ..] => "the file is a zip archive; take out of it what is to be read",
        [b'B', b'Z', b'h', b'1'..=b'9', 0x31, 0x41, ..] => "the file is bzip2; compress it with gzip or zstd",
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => "the file is xz; compress it with gzip or zstd",
        [b'P', b'A', b'R', b'1', ..] => "the file is Parquet; convert it to text",
        [0xff, 0xfe, 0, 0, ..] | [0, 0, 0xfe, 0xff, ..] => "the file is UTF-32; convert it to UTF-8",
        // With or without a byte order mark: in UTF-16, every second byte of ASCII text is zero.
        [0xff, 0xfe, ..]
        | [0xfe, 0xff, ..]
        | [1..=0xff, 0, 1..=0xff, 0, ..]
        | [0, 1..=0xff, 0, 1..=0xff, ..] => "the file is UTF-16; convert it to UTF-8",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_text_whatever_it_begins_with() {
        for text in ["", "{", "{\"v\":1}", "\u{feff}{}", "item_id,tags", "PK", "BZh", "\0\0\0\0{", "a\0\0\0"]
        {
            assert_eq!(not_text(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn utf_16_is_known_with_a_mark_and_without() {
        let encode =
            |to: fn(u16) -> [u8; 2], text: &str| text.encode_utf16().flat_map(to).collect::<Vec<_>>();
        for text in ["\u{feff}{\"v\":1}", "{\"v\":1}"] {
            for bytes in [encode(u16::to_le_bytes, text), encode(u16::to_be_bytes, text)] {
                assert_eq!(not_text(&bytes), Some("the file is UTF-16; convert it to UTF-8"));
            }
        }
    }
}
