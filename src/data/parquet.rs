//! Prices from Parquet, through Arrow.

use std::panic::{AssertUnwindSafe, catch_unwind};

use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::file::reader::ChunkReader;

use super::arrow::BatchReader;
use super::{DataError, PriceFile, ReadOptions};

/// Rows that the decoder hands over at once.
const ROWS: usize = 16_384;

/// Reads all bars of a Parquet file: a `std::fs::File`, or `bytes::Bytes`. `name` is the file's
/// name: errors begin with it.
///
/// Only the columns that are used are decoded, some thousand rows at a time. Types of columns: see
/// [`read_arrow`](crate::read_arrow()). Codecs: none, snappy, gzip, lz4 and zstd.
///
/// What a page of the file claims to have is left to the decoder: its header, which is read while
/// decoding, may make it take up to 2 GiB at a time before the claim is found to be wrong, and the
/// process is aborted where that is not to be had. Sizes in the file's metadata bound nothing: a
/// page need not keep to them, and constant columns compress without bound. Read files of unknown
/// origin in a process of their own.
///
/// # Errors
/// As [`read_arrow`](crate::read_arrow()); [`DataError::Malformed`] for what is no Parquet.
pub fn read_parquet(
    file: impl ChunkReader + 'static,
    name: &str,
    options: &ReadOptions,
) -> Result<PriceFile, DataError> {
    // The decoder checks most of a file, and may panic on a malformed one. The last resort: nothing
    // of it is used after that. The process's panic hook still runs, and a build with panic=abort
    // has no such resort.
    let read = catch_unwind(AssertUnwindSafe(|| read(file, name, options)));
    read.unwrap_or_else(|_| Err(malformed(name, "the decoder gave up on it")))
}

fn read(
    file: impl ChunkReader + 'static,
    name: &str,
    options: &ReadOptions,
) -> Result<PriceFile, DataError> {
    let refused = |error: &dyn ToString| malformed(name, &error.to_string());
    let builder =
        ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| refused(&error))?;
    let fields = builder.schema().fields().iter();
    let header: Vec<String> = fields.map(|field| field.name().clone()).collect();
    let mut reader = BatchReader::new(&header, name, options)?;
    let mask = ProjectionMask::roots(builder.parquet_schema(), reader.wanted());
    reader.project();
    let batches = builder
        .with_projection(mask)
        .with_batch_size(ROWS)
        .build()
        .map_err(|error| refused(&error))?;
    for batch in batches {
        reader.push(&batch.map_err(|error| refused(&error))?)?;
    }
    reader.finish()
}

fn malformed(name: &str, reason: &str) -> DataError {
    DataError::Malformed {
        file: name.to_owned(),
        format: "Parquet",
        reason: reason.to_owned(),
        remedy: "write the file anew",
    }
}
