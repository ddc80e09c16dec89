//! The pure parts: places, bodies, answers.
