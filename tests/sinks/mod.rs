//! Every kind of sink against its real server.

mod postgres;
mod storm;
mod targets;
