//! A batch that does not fit a device passes through it, chunk by chunk.

use std::ops::Range;

use super::device::{Buffer, Copied, Gpu};
use super::legs::HostLegs;
use crate::error::Error;

/// Buffers through which a batch is streamed, at most: the more, the smaller they are, and the sooner
/// the first one is full.
pub(super) const MOST_BUFFERS: usize = 8;

/// The legs of a device in pinned host memory, and their way through the device, chunk by chunk: the
/// chunks take the buffers in turn.
#[derive(Debug)]
pub(super) struct StreamedLegs {
    /// Slots and legs of each chunk.
    pub chunks: Vec<(Range<usize>, HostLegs)>,
    buffers: Vec<DeviceLegs>,
    /// Behind the copies of the chunk that each buffer had last.
    copied: Vec<Option<Copied>>,
    /// The chunk that the launches read.
    at: usize,
    /// Chunks that were sent.
    sent: usize,
}

#[derive(Debug)]
pub(super) struct DeviceLegs {
    pub records: Buffer<u8>,
    pub terms: Buffer<u8>,
}

impl StreamedLegs {
    pub fn new(chunks: Vec<(Range<usize>, HostLegs)>, buffers: Vec<DeviceLegs>) -> Self {
        Self {
            chunks,
            copied: buffers.iter().map(|_| None).collect(),
            buffers,
            at: 0,
            sent: 0,
        }
    }

    /// The buffer through which a chunk passes.
    pub fn buffer(&self, chunk: usize) -> &DeviceLegs {
        &self.buffers[chunk % self.buffers.len()]
    }

    /// Starts over: sends the first two chunks, as soon as the launches so far have done with the
    /// buffers. No more yet, so that what else the launches need is not queued behind much.
    pub fn begin(&mut self, gpu: &Gpu, widths: [usize; 2]) -> Result<(), Error> {
        (self.at, self.sent) = (0, 0);
        gpu.before_copies(&gpu.mark()?)?;
        self.send(gpu, widths, 2)
    }

    /// Makes the launches that follow wait for a chunk, which is the one that they read. Those before
    /// it were for earlier chunks, whose buffers are filled anew when they are over.
    pub fn reach(&mut self, gpu: &Gpu, widths: [usize; 2], chunk: usize) -> Result<(), Error> {
        if self.at < chunk {
            gpu.before_copies(&gpu.mark()?)?;
            self.at = chunk;
        }
        self.send(gpu, widths, chunk + self.buffers.len())?;
        match &self.copied[chunk % self.buffers.len()] {
            Some(copied) => gpu.after_copy(copied),
            None => Ok(()),
        }
    }

    /// Starts the copies of all chunks before `end` that were not sent yet.
    fn send(&mut self, gpu: &Gpu, [width, terms]: [usize; 2], end: usize) -> Result<(), Error> {
        let count = self.buffers.len();
        for chunk in self.sent..end.min(self.chunks.len()) {
            let (host, buffer) = (&self.chunks[chunk].1, &self.buffers[chunk % count]);
            gpu.upload_beside(&host.records, host.legs * width, &buffer.records, 0)?;
            gpu.upload_beside(&host.terms, host.legs * terms, &buffer.terms, 0)?;
            self.copied[chunk % count] = Some(gpu.copied()?);
            self.sent = chunk + 1;
        }
        Ok(())
    }
}
