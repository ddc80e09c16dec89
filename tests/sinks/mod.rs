//! Every kind of sink against its real server.

mod elasticsearch;
mod postgres;
mod redis;
mod storm;
mod targets;
