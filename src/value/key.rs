//! Values → key text: the parts of a key as one string.
//!
//! Parts are joined by `|`; inside a part `|` and `%` are percent-encoded, in single keys too, so that the text names
//! exactly one key. Each part is the text a document would show. `plan::key` reads it back.

use std::fmt;

use crate::value::{Type, Value, text};

/// Appends the key text of these values. Their types are those of the parts.
pub fn write_key(values: &[Value<'_>], types: &[Type], out: &mut String) {
    for (index, (value, ty)) in values.iter().zip(types).enumerate() {
        write_part(index, value, ty, out);
    }
}

/// Appends one part, and the separator before it unless it is the first.
pub(crate) fn write_part(index: usize, value: &Value<'_>, ty: &Type, out: &mut String) {
    if index > 0 {
        out.push('|');
    }
    match value {
        // Text without either character, which is nearly all of it, goes in whole.
        Value::Text(part) if !part.as_str().bytes().any(is_special) => out.push_str(part.as_str()),
        _ => text::write(value, ty, &mut Escaped(out)).expect("writing to a string cannot fail"),
    }
}

fn is_special(byte: u8) -> bool {
    byte == b'|' || byte == b'%'
}

/// Writes text with `|` and `%` encoded.
pub(crate) struct Escaped<'a>(pub &'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            match c {
                '|' => self.0.push_str("%7C"),
                '%' => self.0.push_str("%25"),
                other => self.0.push(other),
            }
        }
        Ok(())
    }
}
