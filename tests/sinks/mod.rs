//! Every kind of sink against its real server.

mod cosmos;
mod elasticsearch;
mod postgres;
mod redis;
mod storm;
mod targets;
mod zombie;
