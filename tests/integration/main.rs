//! Everything that is tested through the public interface, as one binary.

#[cfg(feature = "ndarray")]
mod arrays;
mod batch;
#[cfg(feature = "cuda")]
mod cuda;
#[cfg(feature = "cuda")]
mod cuda_launches;
#[cfg(feature = "cuda")]
mod cuda_optima;
#[cfg(feature = "cuda")]
mod cuda_searches;
mod data;
#[cfg(feature = "csv")]
mod data_csv;
#[cfg(all(feature = "csv", feature = "parquet"))]
mod data_files;
mod direct;
mod direct_objectives;
mod direct_published;
mod direct_reference;
#[cfg(feature = "serde")]
mod direct_snapshots;
mod evaluate;
mod evolution;
mod exact;
mod exact_properties;
mod exact_region;
mod golden;
mod golden_direct;
mod golden_evolution;
mod golden_metrics;
mod golden_profit;
mod kernels;
mod metrics;
mod optimize;
mod profit;
mod quality;
mod ranks;
mod service;
mod settings;
mod strategies;
mod support;
mod surface;
mod walk_forward;
