//! Sizes and durations as people write them: `256MiB`, `1GiB`, `200ms`, `30s`.

use std::time::Duration;

const SIZES: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

const DURATIONS_MS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// Reads a size with its unit.
pub(super) fn bytes(text: &str) -> Option<u64> {
    quantity(text, &SIZES)
}

/// Reads a duration with its unit.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    quantity(text, &DURATIONS_MS).map(Duration::from_millis)
}

fn quantity(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(digits);
    let (_, size) = units.iter().find(|(name, _)| *name == unit.trim())?;
    number.parse::<u64>().ok()?.checked_mul(*size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantity_has_a_number_and_a_known_unit() {
        assert_eq!(bytes("256MiB"), Some(256 << 20));
        assert_eq!(bytes("1 GB"), Some(1_000_000_000));
        assert_eq!(bytes("12"), None);
        assert_eq!(bytes("1.5GiB"), None);
        assert_eq!(bytes("99999999999999999999GiB"), None);
        assert_eq!(duration("200ms"), Some(Duration::from_millis(200)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(duration("-1s"), None);
        assert_eq!(duration("s"), None);
    }
}
