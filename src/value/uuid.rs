//! UUIDs as 128-bit numbers, read from and printed as `8-4-4-4-12` hexadecimal digits, in lower case.

use std::fmt;

/// Reads `7d1f0c7e-0000-4000-8000-000000000001`, in either case.
pub fn parse(text: &str) -> Option<u128> {
    let bytes = text.as_bytes();
    if bytes.len() != 36 {
        return None;
    }
    let mut value = 0u128;
    for (index, byte) in bytes.iter().enumerate() {
        if matches!(index, 8 | 13 | 18 | 23) {
            if *byte != b'-' {
                return None;
            }
            continue;
        }
        value = value << 4 | u128::from((*byte as char).to_digit(16)?);
    }
    Some(value)
}

/// Writes `7d1f0c7e-0000-4000-8000-000000000001`.
pub fn write(value: u128, out: &mut impl fmt::Write) -> fmt::Result {
    write!(
        out,
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        value >> 96,
        value >> 80 & 0xffff,
        value >> 64 & 0xffff,
        value >> 48 & 0xffff,
        value & 0xffff_ffff_ffff
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_either_case_and_prints_lower() {
        let value = parse("7D1F0C7E-0000-4000-8000-00000000000a").unwrap();
        let mut text = String::new();
        write(value, &mut text).unwrap();
        assert_eq!(text, "7d1f0c7e-0000-4000-8000-00000000000a");
        for wrong in [
            "",
            "7d1f0c7e00004000800000000000000a",
            "7d1f0c7e-0000-4000-8000-00000000000g",
            "7d1f0c7e-0000-4000-80000-0000000000a",
        ] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
