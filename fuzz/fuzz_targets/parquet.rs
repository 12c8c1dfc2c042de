//! Any bytes are prices from Parquet or a typed error. Nothing panics out of the library.

#![no_main]

use std::sync::Once;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use trisect::{Policy, ReadOptions, read_parquet};

/// The decoder's own panics are contained by the library, and are no finding. One that comes out of
/// it is: libFuzzer's harness aborts on it.
static CONTAINED: Once = Once::new();

fuzz_target!(|bytes: &[u8]| {
    CONTAINED.call_once(|| std::panic::set_hook(Box::new(|info| eprintln!("{info}"))));
    let options = ReadOptions {
        policy: Policy::repair(),
        ..ReadOptions::default()
    };
    match read_parquet(Bytes::copy_from_slice(bytes), "fuzz.parquet", &options) {
        Ok(file) => {
            for prices in &file.prices {
                assert!(!prices.is_empty() && prices.times.is_sorted_by(|a, b| a < b));
                assert_eq!(prices.close.len(), prices.len());
            }
        }
        Err(error) => {
            let message = error.to_string();
            assert!(message.starts_with("fuzz.parquet"), "{message}");
        }
    }
});
