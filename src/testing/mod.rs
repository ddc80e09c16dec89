//! (being laid down)

#[cfg(test)]
pub(crate) mod sinks;
