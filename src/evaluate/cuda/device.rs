//! One GPU: context, memory, copies, launches. **Only this file and [`image`] talk to the
//! driver.**
//!
//! The driver's library is loaded when the first device is opened, never before. cudarc panics
//! where a library or one of its functions is missing, so [`Gpu::open`] looks for all of them
//! first; after that every call returns a result.
//!
//! All work of a device goes through one stream, the first lane, with two exceptions: uploads that
//! overlap with launches have a stream of their own, and so have launches that overlap with those of
//! the first lane, the second lane. Events keep the three in order.

mod image;

use std::collections::HashMap;
use std::ffi::CStr;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use bytemuck::Pod;
use cudarc::driver::result as driver;
use cudarc::driver::sys::{self, CUdevice_attribute as Attribute, CUfunction_attribute};
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaSlice, CudaStream, DeviceRepr, DriverError,
    LaunchConfig, PushKernelArg,
};

use self::image::Image;
use crate::error::{CudaError, Error};

/// Functions of the driver that this file calls, cudarc's own calls included.
const DRIVER_FUNCTIONS: [&str; 38] = [
    "cuInit",
    "cuDeviceGet",
    "cuDeviceGetCount",
    "cuDeviceGetAttribute",
    "cuDeviceGetName",
    "cuDevicePrimaryCtxRetain",
    "cuDevicePrimaryCtxRelease_v2",
    "cuCtxGetCurrent",
    "cuCtxSetCurrent",
    "cuCtxSynchronize",
    "cuEventCreate",
    "cuEventDestroy_v2",
    "cuEventRecord",
    "cuEventSynchronize",
    "cuFuncGetAttribute",
    "cuFuncSetAttribute",
    "cuGetErrorName",
    "cuGetErrorString",
    "cuLaunchCooperativeKernel",
    "cuLaunchKernel",
    "cuMemAllocAsync",
    "cuMemAlloc_v2",
    "cuMemFreeAsync",
    "cuMemFreeHost",
    "cuMemFree_v2",
    "cuMemGetInfo_v2",
    "cuMemHostAlloc",
    "cuMemcpyDtoHAsync_v2",
    "cuMemcpyHtoDAsync_v2",
    "cuMemsetD8Async",
    "cuModuleGetFunction",
    "cuModuleLoadData",
    "cuModuleUnload",
    "cuOccupancyMaxActiveBlocksPerMultiprocessorWithFlags",
    "cuStreamCreate",
    "cuStreamDestroy_v2",
    "cuStreamSynchronize",
    "cuStreamWaitEvent",
];

/// What launch shapes depend on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Limits {
    /// Streaming multiprocessors.
    pub multiprocessors: usize,
    /// Shared memory that a block can have at most, in bytes.
    pub shared_bytes: usize,
    /// Whether blocks of one launch may wait for each other.
    pub cooperative: bool,
}

/// How many blocks of how many threads, and the shared memory of each, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LaunchShape {
    pub grid: [u32; 3],
    pub threads: u32,
    pub shared_bytes: u32,
}

/// A stream of launches. Those of one lane follow each other, those of both may overlap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    First,
    Second,
}

impl Lane {
    pub fn other(self) -> Self {
        match self {
            Self::First => Self::Second,
            Self::Second => Self::First,
        }
    }
}

/// A point behind the launches of both lanes.
#[derive(Debug)]
pub(super) struct Mark([CudaEvent; 2]);

/// A point behind copies beside the launches.
#[derive(Debug)]
pub(super) struct Copied(CudaEvent);

/// A device with a context of its own user.
#[derive(Debug)]
pub(super) struct Gpu {
    pub index: usize,
    pub name: String,
    pub limits: Limits,
    pub image: Image,
    /// Most bytes to take; `None`: what is free.
    allowance: Option<usize>,
    taken: Arc<AtomicUsize>,
    functions: HashMap<&'static str, CudaFunction>,
    /// The first lane.
    compute: Arc<CudaStream>,
    /// The second lane.
    second: Arc<CudaStream>,
    copies: Arc<CudaStream>,
    context: Arc<CudaContext>,
}

/// Memory of a device.
#[derive(Debug)]
pub(super) struct Buffer<T> {
    slice: CudaSlice<u8>,
    bytes: usize,
    taken: Arc<AtomicUsize>,
    /// All streams but the first lane.
    others: [Arc<CudaStream>; 2],
    of: PhantomData<T>,
}

impl<T> Drop for Buffer<T> {
    fn drop(&mut self) {
        // The memory goes back in the order of the first lane; what is beside that comes first.
        // What fails here fails again at the next call, where it can be told.
        for stream in &self.others {
            let _ = stream.synchronize();
        }
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Memory of the host that the driver can copy from and to without a detour.
#[derive(Debug)]
pub(super) struct Pinned<T> {
    start: *mut T,
    len: usize,
    /// Behind the last copy from or to it. Copies follow each other, whatever their streams: behind
    /// one that is done all earlier ones are.
    copied: CudaEvent,
    /// Parts that were copied to it last, with an event behind each. Other copies from the device
    /// came before these.
    parts: Vec<(Range<usize>, CudaEvent)>,
    of: PhantomData<T>,
}

// SAFETY: the memory is owned by this value alone, like that of a Vec, and the driver can be
// called from any thread.
unsafe impl<T: Send> Send for Pinned<T> {}
// SAFETY: as for a Vec, shared access only reads.
unsafe impl<T: Sync> Sync for Pinned<T> {}

impl<T> Pinned<T> {
    /// Elements it has room for.
    pub fn len(&self) -> usize {
        self.len
    }

    fn wait(&self) -> Result<(), Error> {
        Self::wait_for(&self.copied)
    }

    fn wait_for(copied: &CudaEvent) -> Result<(), Error> {
        let device = copied.context().ordinal();
        let waited = copied.synchronize();
        waited.map_err(|error| cuda_error(device, "waiting for a copy", error))
    }
}

impl<T: Pod> Pinned<T> {
    /// The elements, once all copies to them are done.
    pub fn read(&self) -> Result<&[T], Error> {
        self.wait()?;
        // SAFETY: `start` is aligned for `T` (the driver aligns to pages), and `len` elements
        // were allocated and zeroed by `Gpu::pinned`; `T: Pod` holds any bits that a copy from
        // the device leaves. No copy is under way: they were waited for, and a new one from the
        // device needs `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(self.start, self.len) })
    }

    /// A part of the elements, once all copies to it are done. Copies to other parts may go on.
    pub fn read_part(&self, part: Range<usize>) -> Result<&[T], Error> {
        if part.start > part.end || part.end > self.len {
            return Err(beyond(self.len, part.end));
        }
        let meets = |other: &Range<usize>| other.start < part.end && part.start < other.end;
        let last = self.parts.iter().rev().find(|(other, _)| meets(other));
        Self::wait_for(last.map_or(&self.copied, |(_, copied)| copied))?;
        // SAFETY: the part lies within the elements, as checked; for these see `read`. No copy to the
        // part is under way: the last one was waited for, or else the last of all, with which those
        // before it are done, and a new one needs `&mut self`.
        Ok(unsafe { std::slice::from_raw_parts(self.start.add(part.start), part.len()) })
    }

    /// The elements, once all copies to and from them are done.
    pub fn write(&mut self) -> Result<&mut [T], Error> {
        self.wait()?;
        self.parts.clear();
        // SAFETY: as above; `&mut self` makes the access exclusive.
        Ok(unsafe { std::slice::from_raw_parts_mut(self.start, self.len) })
    }
}

impl<T> Drop for Pinned<T> {
    fn drop(&mut self) {
        // Waits, and selects the device. What fails here fails again at the next call, where it
        // can be told.
        let _ = self.copied.synchronize();
        // SAFETY: `start` came from `malloc_host` and is freed once, here; no copy is under way.
        let _ = unsafe { driver::free_host(self.start.cast()) };
    }
}

/// The one argument of a kernel: plain data, passed by value.
///
/// # Safety
/// The type is `repr(C)`, and laid out as the kernel's parameter.
pub(super) unsafe trait Argument: Copy {}

struct ByValue<A>(A);

// SAFETY: `A: Argument` is what the kernel expects, by that trait's contract.
unsafe impl<A: Argument> DeviceRepr for ByValue<A> {}

impl Gpu {
    /// Opens a device and loads the kernels.
    ///
    /// `allowance`: most bytes to take on it.
    pub fn open(index: usize, allowance: Option<usize>) -> Result<Self, Error> {
        find_driver()?;
        let failed = |doing| move |error| cuda_error(index, doing, error);
        let count = CudaContext::device_count().map_err(failed("asking for devices"))?;
        if index >= usize::try_from(count).unwrap_or(0) {
            return Err(Error::Unavailable {
                what: "a CUDA device",
                why: format!("device {index} of {count} was asked for"),
                remedy: "use another index, or Device::Auto or Device::Cpu: the same bits",
            });
        }
        let context = CudaContext::new(index).map_err(failed("opening the device"))?;
        // SAFETY: this file orders its streams itself, with events, and waits for all work before
        // a buffer is freed.
        unsafe { context.disable_event_tracking() };
        let attribute = |attribute| {
            let value = context.attribute(attribute);
            value.map_err(failed("reading a device attribute"))
        };
        let capability = (
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?,
            attribute(Attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?,
        );
        let size = |value: i32| usize::try_from(value).unwrap_or(0);
        let limits = Limits {
            multiprocessors: size(attribute(
                Attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT,
            )?)
            .max(1),
            shared_bytes: size(attribute(
                Attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN,
            )?),
            cooperative: attribute(Attribute::CU_DEVICE_ATTRIBUTE_COOPERATIVE_LAUNCH)? != 0,
        };
        let image = Image::open(&context, index, capability)?;
        Ok(Self {
            index,
            name: context.name().map_err(failed("asking for its name"))?,
            limits,
            image,
            allowance,
            taken: Arc::default(),
            functions: HashMap::new(),
            compute: context.new_stream().map_err(failed("creating a stream"))?,
            second: context.new_stream().map_err(failed("creating a stream"))?,
            copies: context.new_stream().map_err(failed("creating a stream"))?,
            context,
        })
    }

    fn error(&self, doing: &'static str) -> impl Fn(DriverError) -> Error + use<> {
        let index = self.index;
        move |error| cuda_error(index, doing, error)
    }

    /// Bytes taken on the device.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    /// Bytes that may still be taken.
    pub fn free(&self) -> Result<usize, Error> {
        let free = self.context.mem_get_info();
        let (free, _) = free.map_err(self.error("asking for free memory"))?;
        Ok(match self.allowance {
            Some(allowance) => free.min(allowance.saturating_sub(self.taken())),
            // The driver needs some for itself, and for launches.
            None => free - free / 10,
        })
    }

    /// Memory for `len` elements; its content is undefined until it is written. The second lane may
    /// use it after [`Gpu::fork`].
    pub fn alloc<T>(&self, what: &'static str, len: usize) -> Result<Buffer<T>, Error> {
        // No allocation is empty: a null address would hide mistakes.
        let bytes = len.saturating_mul(size_of::<T>()).max(16);
        let left = |allowance: usize| allowance.saturating_sub(self.taken());
        let refused = |free| Error::DeviceMemory {
            device: self.index,
            what,
            needed: bytes,
            free,
        };
        if let Some(left) = self.allowance.map(left).filter(|&left| left < bytes) {
            return Err(refused(left));
        }
        // SAFETY: uploads, zeroing and kernels write the memory before anything reads it.
        match unsafe { self.compute.alloc::<u8>(bytes) } {
            Ok(slice) => {
                self.taken.fetch_add(bytes, Ordering::Relaxed);
                let buffer = Buffer {
                    slice,
                    bytes,
                    taken: Arc::clone(&self.taken),
                    others: [Arc::clone(&self.second), Arc::clone(&self.copies)],
                    of: PhantomData,
                };
                // The stream of copies may be the first to use it.
                self.order(&self.compute, &self.copies)?;
                Ok(buffer)
            }
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => Err(refused(self.free()?)),
            Err(error) => Err(self.error("allocating memory")(error)),
        }
    }

    /// Zeroed host memory for `len` elements.
    pub fn pinned<T: Pod>(&self, len: usize) -> Result<Pinned<T>, Error> {
        let bytes = len.saturating_mul(size_of::<T>()).max(16);
        let doing = "allocating pinned host memory";
        let copied = self.context.new_event(None);
        let copied = copied.map_err(self.error("creating an event"))?;
        // SAFETY: no flags: ordinary cached memory, owned by the value made of it below.
        let start = unsafe { driver::malloc_host(bytes, 0) };
        let start = match start {
            Ok(start) => start.cast::<u8>(),
            Err(DriverError(sys::CUresult::CUDA_ERROR_OUT_OF_MEMORY)) => {
                return Err(Error::Memory {
                    what: "pinned host memory for a GPU",
                    needed: bytes,
                    limit: None,
                });
            }
            Err(error) => return Err(self.error(doing)(error)),
        };
        // SAFETY: `bytes` bytes were allocated at `start`; all-zero bits are a value of any Pod.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Pinned {
            start: start.cast(),
            len,
            copied,
            parts: Vec::new(),
            of: PhantomData,
        })
    }

    /// Starts copying the first `len` elements of `source` to element `at` of `buffer`, in the
    /// order of the first lane.
    pub fn upload<T: Pod>(
        &self,
        source: &Pinned<T>,
        len: usize,
        buffer: &Buffer<T>,
        at: usize,
    ) -> Result<(), Error> {
        self.upload_on(&self.compute, source, len, buffer, at)
    }

    /// The same beside the launches: see [`Gpu::after_copy`] and [`Gpu::before_copies`].
    pub fn upload_beside<T: Pod>(
        &self,
        source: &Pinned<T>,
        len: usize,
        buffer: &Buffer<T>,
        at: usize,
    ) -> Result<(), Error> {
        self.upload_on(&self.copies, source, len, buffer, at)
    }

    fn upload_on<T: Pod>(
        &self,
        stream: &CudaStream,
        source: &Pinned<T>,
        len: usize,
        buffer: &Buffer<T>,
        at: usize,
    ) -> Result<(), Error> {
        let size = size_of::<T>();
        let target = self.range(buffer, (at * size, len * size))?;
        let failed = self.error("copying to the device");
        if len > source.len {
            return Err(beyond(source.len * size, len * size));
        }
        // An earlier copy may be under way on the other stream; the event is to cover both.
        stream.wait(&source.copied).map_err(&failed)?;
        // SAFETY: both ranges lie within their buffers, as checked. Until the copy is done, which
        // `copied` tells, the source is neither freed nor handed out for writing.
        unsafe {
            let source = std::slice::from_raw_parts(source.start, len);
            driver::memcpy_htod_async(target, source, stream.cu_stream())
        }
        .map_err(&failed)?;
        source.copied.record(stream).map_err(&failed)
    }

    /// Starts copying the first `len` elements of `buffer` to those of `target`, after the
    /// launches of the first lane so far.
    pub fn download<T: Pod>(
        &self,
        buffer: &Buffer<T>,
        len: usize,
        target: &mut Pinned<T>,
    ) -> Result<(), Error> {
        target.parts.clear();
        self.download_on(&self.compute, buffer, 0..len, target)
    }

    /// Starts copying some elements of `buffer` to the same ones of `target`, after the launches of
    /// a lane so far; for [`Pinned::read_part`].
    pub fn download_part<T: Pod>(
        &self,
        lane: Lane,
        buffer: &Buffer<T>,
        part: Range<usize>,
        target: &mut Pinned<T>,
    ) -> Result<(), Error> {
        // On failure there are none left, and who reads a part waits for all.
        let mut parts = std::mem::take(&mut target.parts);
        let stream = self.lane(lane);
        self.download_on(stream, buffer, part.clone(), target)?;
        let copied = stream.record_event(None);
        parts.push((part, copied.map_err(self.error("recording an event"))?));
        target.parts = parts;
        Ok(())
    }

    fn download_on<T: Pod>(
        &self,
        stream: &CudaStream,
        buffer: &Buffer<T>,
        part: Range<usize>,
        target: &mut Pinned<T>,
    ) -> Result<(), Error> {
        let (size, len) = (size_of::<T>(), part.len());
        let source = self.range(buffer, (part.start * size, len * size))?;
        let failed = self.error("copying from the device");
        if part.end > target.len {
            return Err(beyond(target.len * size, part.end * size));
        }
        // An earlier copy may be under way on another stream; the event is to cover both.
        stream.wait(&target.copied).map_err(&failed)?;
        // SAFETY: both ranges lie within their buffers, as checked. Until the copy is done, which
        // `copied` tells, the target is neither freed nor handed out.
        unsafe {
            let target = std::slice::from_raw_parts_mut(target.start.add(part.start), len);
            driver::memcpy_dtoh_async(target, source, stream.cu_stream())
        }
        .map_err(&failed)?;
        target.copied.record(stream).map_err(&failed)
    }

    /// Sets the first `len` elements to zero bits, in the order of the first lane.
    pub fn zero<T: Pod>(&self, buffer: &Buffer<T>, len: usize) -> Result<(), Error> {
        let bytes = len * size_of::<T>();
        let target = self.range(buffer, (0, bytes))?;
        let failed = self.error("zeroing memory");
        self.context.bind_to_thread().map_err(&failed)?;
        // SAFETY: the range lies within the buffer.
        let zeroed = unsafe { driver::memset_d8_async(target, 0, bytes, self.compute.cu_stream()) };
        zeroed.map_err(failed)
    }

    /// Address of a range of bytes of a buffer.
    fn range<T>(&self, buffer: &Buffer<T>, (at, bytes): (usize, usize)) -> Result<u64, Error> {
        match at.checked_add(bytes) {
            Some(end) if end <= buffer.bytes => Ok(self.address(buffer) + at as u64),
            end => Err(beyond(buffer.bytes, end.unwrap_or(usize::MAX))),
        }
    }

    /// Where a buffer starts, for a kernel's argument.
    pub fn address<T>(&self, buffer: &Buffer<T>) -> u64 {
        use cudarc::driver::DevicePtr;
        buffer.slice.device_ptr(&self.compute).0
    }

    fn lane(&self, lane: Lane) -> &Arc<CudaStream> {
        match lane {
            Lane::First => &self.compute,
            Lane::Second => &self.second,
        }
    }

    /// Launches a kernel, in the first lane.
    ///
    /// # Safety
    /// * The kernel takes one argument of type `A`.
    /// * Every address in `argument` is that of a live buffer of this device, large enough for
    ///   what the kernel does with it, and no copy beside the launches touches it.
    pub unsafe fn launch<A: Argument>(
        &mut self,
        kernel: &'static str,
        grid: (u32, u32),
        threads: u32,
        shared_bytes: u32,
        argument: A,
    ) -> Result<(), Error> {
        let shape = LaunchShape {
            grid: [grid.0, grid.1, 1],
            threads,
            shared_bytes,
        };
        // SAFETY: by the contract of this function.
        unsafe { self.launch_in(Lane::First, kernel, shape, argument) }
    }

    /// Launches a kernel in a lane; see [`Gpu::fork`] and [`Gpu::join`].
    ///
    /// # Safety
    /// As for [`Gpu::launch`], and no launch of the other lane that may overlap writes what this one
    /// reads or writes.
    pub unsafe fn launch_in<A: Argument>(
        &mut self,
        lane: Lane,
        kernel: &'static str,
        shape: LaunchShape,
        argument: A,
    ) -> Result<(), Error> {
        // SAFETY: by the contract of this function.
        unsafe { self.launch_as(lane, kernel, shape, false, argument) }
    }

    /// Launches a kernel whose blocks wait for each other, in the first lane; see [`Gpu::fits`].
    ///
    /// # Safety
    /// As for [`Gpu::launch`], and no launch of the second lane may overlap: the blocks that fit the
    /// device by themselves may not fit beside it.
    pub unsafe fn launch_cooperative<A: Argument>(
        &mut self,
        kernel: &'static str,
        shape: LaunchShape,
        argument: A,
    ) -> Result<(), Error> {
        // SAFETY: by the contract of this function.
        unsafe { self.launch_as(Lane::First, kernel, shape, true, argument) }
    }

    /// Whether the device holds all blocks of a launch at once.
    pub fn fits(&mut self, kernel: &'static str, shape: LaunchShape) -> Result<bool, Error> {
        let function = self.function(kernel)?;
        let shared_bytes = shape.shared_bytes as usize;
        let blocks = function.occupancy_max_active_blocks_per_multiprocessor(
            shape.threads,
            shared_bytes,
            None,
        );
        let blocks = blocks.map_err(self.error("asking how many blocks fit"))?;
        let blocks = (blocks as usize).saturating_mul(self.limits.multiprocessors);
        let wanted = shape.grid.map(|extent| extent as usize);
        Ok(wanted.into_iter().fold(1, usize::saturating_mul) <= blocks)
    }

    fn function(&mut self, kernel: &'static str) -> Result<CudaFunction, Error> {
        if let Some(function) = self.functions.get(kernel) {
            return Ok(function.clone());
        }
        let failed = self.error("finding a kernel");
        self.context.bind_to_thread().map_err(failed)?;
        let function = self.image.module_of(kernel)?.load_function(kernel);
        let function = function.map_err(self.error("finding a kernel"))?;
        let attribute = CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let most = i32::try_from(self.limits.shared_bytes).unwrap_or(i32::MAX);
        function
            .set_attribute(attribute, most)
            .map_err(self.error("raising the shared memory of a kernel"))?;
        self.functions.insert(kernel, function.clone());
        Ok(function)
    }

    /// # Safety
    /// As for [`Gpu::launch_in`] and [`Gpu::launch_cooperative`].
    unsafe fn launch_as<A: Argument>(
        &mut self,
        lane: Lane,
        kernel: &'static str,
        shape: LaunchShape,
        cooperative: bool,
        argument: A,
    ) -> Result<(), Error> {
        let function = self.function(kernel)?;
        let config = LaunchConfig {
            grid_dim: shape.grid.into(),
            block_dim: (shape.threads, 1, 1),
            shared_mem_bytes: shape.shared_bytes,
        };
        let argument = ByValue(argument);
        let mut launch = self.lane(lane).launch_builder(&function);
        launch.arg(&argument);
        let launched = if cooperative {
            // SAFETY: by the contract of this function.
            unsafe { launch.launch_cooperative(config) }
        } else {
            // SAFETY: by the contract of this function.
            unsafe { launch.launch(config) }
        };
        launched.map_err(self.error("launching a kernel"))?;
        Ok(())
    }

    /// A point behind the copies beside the launches so far.
    pub fn copied(&self) -> Result<Copied, Error> {
        let copied = self.copies.record_event(None);
        copied.map(Copied).map_err(self.error("recording an event"))
    }

    /// Makes the launches of both lanes that follow wait for such a point.
    pub fn after_copy(&self, Copied(copied): &Copied) -> Result<(), Error> {
        for lane in [&self.compute, &self.second] {
            let waited = lane.wait(copied);
            waited.map_err(self.error("waiting for an event"))?;
        }
        Ok(())
    }

    /// A point behind the launches of both lanes so far.
    pub fn mark(&self) -> Result<Mark, Error> {
        let record = |lane: &Arc<CudaStream>| {
            let mark = lane.record_event(None);
            mark.map_err(self.error("recording an event"))
        };
        Ok(Mark([record(&self.compute)?, record(&self.second)?]))
    }

    /// Makes the copies beside the launches that follow wait for a point.
    pub fn before_copies(&self, mark: &Mark) -> Result<(), Error> {
        for lane in &mark.0 {
            let waited = self.copies.wait(lane);
            waited.map_err(self.error("waiting for an event"))?;
        }
        Ok(())
    }

    /// Makes what follows in the second lane wait for what is in the first.
    pub fn fork(&self) -> Result<(), Error> {
        self.order(&self.compute, &self.second)
    }

    /// Makes what follows in the first lane wait for what is in the second.
    pub fn join(&self) -> Result<(), Error> {
        self.order(&self.second, &self.compute)
    }

    fn order(&self, first: &CudaStream, then: &CudaStream) -> Result<(), Error> {
        let ordered = then.join(first);
        ordered.map_err(self.error("ordering streams"))
    }

    /// Waits for the launches that were started.
    pub fn finish_launches(&self) -> Result<(), Error> {
        let failed = self.error("waiting for the device");
        self.second.synchronize().map_err(&failed)?;
        self.compute.synchronize().map_err(&failed)
    }

    /// Waits for everything that was started.
    pub fn finish(&self) -> Result<(), Error> {
        let copied = self.copies.synchronize();
        let copied = copied.map_err(self.error("waiting for the device"));
        // Of the launches nothing may go on, whatever the copies came to.
        self.finish_launches().and(copied)
    }
}

/// A copy beyond the end of a buffer: refused here, before the driver would do worse.
fn beyond(expected: usize, got: usize) -> Error {
    Error::Length {
        what: "a copy to or from a device",
        expected,
        got,
        remedy: "this is a defect of the library; please report it",
    }
}

/// Whether the driver's library is there with all functions that will be called.
fn find_driver() -> Result<(), Error> {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    let missing = MISSING.get_or_init(|| {
        // SAFETY: loads the system's driver library, whose initialisers are NVIDIA's to vouch for.
        if !unsafe { sys::is_culib_present() } {
            return Some(format!(
                "no driver library; looked for {} where the system's loader looks",
                candidates("cuda")
            ));
        }
        // SAFETY: the library is present, so this does not panic; looking a symbol up does not
        // call it.
        let lacks =
            |name: &&str| unsafe { sys::culib().get::<*const ()>(name.as_bytes()).is_err() };
        let lacking: Vec<&str> = DRIVER_FUNCTIONS.into_iter().filter(lacks).collect();
        (!lacking.is_empty()).then(|| format!("the driver library lacks {}", lacking.join(", ")))
    });
    match missing {
        None => Ok(()),
        Some(why) => Err(Error::Unavailable {
            what: "a CUDA device",
            why: why.clone(),
            remedy: "install an NVIDIA driver, or use Device::Auto or Device::Cpu: the same bits",
        }),
    }
}

/// File names under which a library is looked for, in words.
fn candidates(library: &str) -> String {
    cudarc::get_lib_name_candidates(library).join(", ")
}

fn cuda_error(device: usize, doing: &'static str, error: DriverError) -> Error {
    let text = |text: Result<&CStr, DriverError>| match text {
        Ok(text) => text.to_string_lossy().into_owned(),
        Err(_) => "unknown".to_owned(),
    };
    Error::Cuda(CudaError {
        device,
        code: error.0 as u32,
        name: text(error.error_name()),
        text: text(error.error_string()),
        doing,
    })
}
