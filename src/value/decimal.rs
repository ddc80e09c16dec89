//! Exact decimals: an `i128` coefficient over a power of ten.

/// `coefficient / 10^scale`. Equality, order and hash are by numeric value (`1.0 == 1.00`); the scale is kept for printing.
#[derive(Debug, Clone, Copy)]
pub struct Decimal {
    pub coefficient: i128,
    /// 0 to 28.
    pub scale: u8,
}
