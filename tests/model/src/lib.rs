//! Model and property tests of `bcache_core`; see `tests/`.
