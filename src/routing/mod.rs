//! Key to shard.
