//! Node-API bindings of the engine: options in, promises, errors, progress, cancel out. Nothing else.
//!
//! Errors travel as data (`BindingError`), because an `async fn`'s thrown error cannot carry a code of its own.
//! TypeScript turns them into `MappedRamError`.

#![expect(
    unreachable_pub,
    missing_debug_implementations,
    reason = "napi-derive exports only what is pub, and nothing here is printed"
)]
#![cfg_attr(
    test,
    allow(
        dead_code,
        reason = "napi-derive exports nothing from a test build, which leaves some of it unused"
    )
)]

mod blocking;
mod clone;
mod compare;
mod digest;
mod driver;
mod error;
mod job;
mod lock;
mod memfd;
mod page_cache;
mod plan;
mod plan_parts;
mod probe;
mod process;
mod serve;
mod serve_options;
mod socket;
mod staged;
mod stale;
mod transfer;
mod values;
