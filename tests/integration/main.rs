//! Everything that is tested through the public interface, as one binary.

mod batch;
mod evaluate;
mod golden;
mod golden_profit;
mod optimize;
mod profit;
mod settings;
mod support;
