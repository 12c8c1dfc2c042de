//! Memory that passes between host and device again and again.

use std::ops::Range;

use bytemuck::Pod;

use super::device::{Buffer, Gpu, Lane, Pinned};
use crate::error::Error;

/// A buffer on both sides, which grows and never shrinks.
#[derive(Debug)]
pub(super) struct Transfer<T> {
    what: &'static str,
    pub both: Option<(Pinned<T>, Buffer<T>)>,
}

impl<T: Pod> Transfer<T> {
    pub fn new(what: &'static str) -> Self {
        Self { what, both: None }
    }

    /// Room for `len` elements on both sides.
    pub fn reserve(&mut self, gpu: &Gpu, len: usize) -> Result<(), Error> {
        if self.both.as_ref().is_none_or(|(host, _)| host.len() < len) {
            // Rounds that have grown once will grow again: a quarter more saves some of that.
            // The old buffers go first.
            let slack = self.both.take().map_or(0, |_| len / 4);
            let len = len + slack;
            self.both = Some((gpu.pinned(len)?, gpu.alloc(self.what, len)?));
        }
        Ok(())
    }

    /// Room for `len` elements, once all copies from and to them are done: for [`Transfer::upload`].
    pub fn write(&mut self, gpu: &Gpu, len: usize) -> Result<&mut [T], Error> {
        self.reserve(gpu, len)?;
        match &mut self.both {
            Some((host, _)) => Ok(&mut host.write()?[..len]),
            None => Ok(&mut []),
        }
    }

    /// Copies the first `len` elements to the device.
    pub fn upload(&self, gpu: &Gpu, len: usize) -> Result<(), Error> {
        match &self.both {
            Some((host, device)) => gpu.upload(host, len, device, 0),
            None => Ok(()),
        }
    }

    /// Copies `values` to the device.
    pub fn send(
        &mut self,
        gpu: &Gpu,
        len: usize,
        values: impl Iterator<Item = T>,
    ) -> Result<(), Error> {
        for (place, value) in self.write(gpu, len)?.iter_mut().zip(values) {
            *place = value;
        }
        self.upload(gpu, len)
    }

    /// Starts copying the first `len` elements from the device.
    pub fn fetch(&mut self, gpu: &Gpu, len: usize) -> Result<(), Error> {
        match &mut self.both {
            Some((host, device)) => gpu.download(device, len, host),
            None => Ok(()),
        }
    }

    /// Starts copying some elements from the device, behind the launches of a lane.
    pub fn fetch_part(&mut self, gpu: &Gpu, lane: Lane, part: Range<usize>) -> Result<(), Error> {
        match &mut self.both {
            Some((host, device)) => gpu.download_part(lane, device, part, host),
            None => Ok(()),
        }
    }

    /// Elements that were fetched by [`Transfer::fetch_part`], once they are here.
    pub fn fetched_part(&self, part: Range<usize>) -> Result<&[T], Error> {
        match &self.both {
            Some((host, _)) => host.read_part(part),
            None => Ok(&[]),
        }
    }

    /// Fills the elements on the device with zeros.
    pub fn zero(&self, gpu: &Gpu, len: usize) -> Result<(), Error> {
        match &self.both {
            Some((_, device)) => gpu.zero(device, len),
            None => Ok(()),
        }
    }

    /// The elements fetched last, once they are here.
    pub fn fetched(&self) -> Result<&[T], Error> {
        match &self.both {
            Some((host, _)) => host.read(),
            None => Ok(&[]),
        }
    }

    /// Address on the device; 0 before the first use.
    pub fn address(&self, gpu: &Gpu) -> u64 {
        let both = self.both.as_ref();
        both.map_or(0, |(_, device)| gpu.address(device))
    }

    pub fn host_bytes(&self) -> usize {
        let both = self.both.as_ref();
        both.map_or(0, |(host, _)| host.len() * size_of::<T>())
    }
}
