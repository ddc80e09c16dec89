//! Every kind of sink against its real server.

mod elasticsearch;
mod postgres;
mod storm;
mod targets;
