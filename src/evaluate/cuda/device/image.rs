//! The machine code of the kernels: what nvcc compiled with the crate, or what NVRTC makes of their
//! source.

use std::collections::HashMap;
use std::ffi::CString;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use cudarc::driver::sys;
use cudarc::driver::{CudaContext, CudaModule, DriverError};
use cudarc::nvrtc::{self, Ptx};

use super::{candidates, cuda_error};
use crate::error::{CudaError, Error};

/// The kernels as one source, for NVRTC.
const SOURCE: &str = include_str!(concat!(env!("OUT_DIR"), "/kernels.cu"));

/// The kernels as machine code of several architectures.
#[cfg(trisect_fatbin)]
const FATBIN: Option<&[u8]> = Some(include_bytes!(concat!(env!("OUT_DIR"), "/kernels.fatbin")));
#[cfg(not(trisect_fatbin))]
const FATBIN: Option<&[u8]> = None;

/// What every entry point in the source begins with.
const ENTRY: &str = "extern \"C\" __global__";

const LOADING: &str = "loading the kernels";

/// Functions of NVRTC that this file calls.
const NVRTC_FUNCTIONS: [&str; 7] = [
    "nvrtcCreateProgram",
    "nvrtcCompileProgram",
    "nvrtcDestroyProgram",
    "nvrtcGetCUBIN",
    "nvrtcGetCUBINSize",
    "nvrtcGetProgramLog",
    "nvrtcGetProgramLogSize",
];

/// Compiled and loaded when a device is opened, to see that it can be: the kernel that takes least.
const PROBE: &str = "exact_close";

/// The kernels for a device.
#[derive(Debug)]
pub(in super::super) enum Image {
    /// All, from the fatbin.
    Built(Arc<CudaModule>),
    /// Each from NVRTC when it is first asked for: all together take most of a minute. For builds
    /// without nvcc, or with one that did not know the device.
    Source {
        context: Arc<CudaContext>,
        index: usize,
        capability: (i32, i32),
    },
}

impl Image {
    pub(super) fn open(
        context: &Arc<CudaContext>,
        index: usize,
        capability: (i32, i32),
    ) -> Result<Self, Error> {
        if let Some(fatbin) = FATBIN {
            match context.load_module(Ptx::from_binary(fatbin.to_vec())) {
                Ok(module) => return Ok(Self::Built(module)),
                // No code for this device, or portable code that is too new for its driver.
                Err(DriverError(
                    sys::CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU
                    | sys::CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION
                    | sys::CUresult::CUDA_ERROR_INVALID_PTX,
                )) => {}
                Err(error) => return Err(cuda_error(index, LOADING, error)),
            }
        }
        find_nvrtc(capability)?;
        let source = Self::Source {
            context: Arc::clone(context),
            index,
            capability,
        };
        source.module_of(PROBE)?;
        Ok(source)
    }

    /// The module with a kernel.
    pub(super) fn module_of(&self, kernel: &'static str) -> Result<Arc<CudaModule>, Error> {
        match self {
            Self::Built(module) => Ok(Arc::clone(module)),
            Self::Source {
                context,
                index,
                capability,
            } => {
                let cubin = compile(*index, *capability, kernel)?;
                context
                    .load_module(Ptx::from_binary(cubin.to_vec()))
                    .map_err(|error| cuda_error(*index, LOADING, error))
            }
        }
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Built(_) => "compiled by nvcc",
            Self::Source { .. } => "compiled by NVRTC",
        })
    }
}

/// The source with one entry point of all; every line keeps its number.
fn source_of(kernel: &str) -> String {
    let mut text = String::with_capacity(SOURCE.len());
    let mut lines = SOURCE.lines().peekable();
    let mut left_out = false;
    while let Some(line) = lines.next() {
        if line.starts_with(ENTRY) {
            // The name begins the next line.
            let name = lines.peek().and_then(|next| next.split('(').next());
            left_out = name != Some(kernel);
        }
        if !left_out {
            text.push_str(line);
        }
        text.push('\n');
        left_out &= line != "}";
    }
    text
}

/// Machine code of a kernel for a compute capability, from NVRTC; once per process.
fn compile(
    index: usize,
    (major, minor): (i32, i32),
    kernel: &'static str,
) -> Result<Arc<[u8]>, Error> {
    type Cubins = HashMap<((i32, i32), &'static str), Arc<[u8]>>;
    static CUBINS: OnceLock<Mutex<Cubins>> = OnceLock::new();
    let cubins = CUBINS.get_or_init(Mutex::default);
    // A panic elsewhere leaves a map without the entry at worst.
    let mut cubins = cubins.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cubin) = cubins.get(&((major, minor), kernel)) {
        return Ok(Arc::clone(cubin));
    }

    let failed = |doing: &'static str, error: nvrtc::result::NvrtcError, log: String| {
        Error::Cuda(CudaError {
            device: index,
            code: error.0 as u32,
            name: format!("{:?}", error.0),
            text: log,
            doing,
        })
    };
    let source = CString::new(source_of(kernel)).map_err(|_| Error::Unavailable {
        what: "the CUDA kernels",
        why: "their source has a zero byte".to_owned(),
        remedy: "this is a defect of the build; please report it",
    })?;
    let program = nvrtc::result::create_program(&source, Some(c"kernels.cu"))
        .map_err(|error| failed("creating a program for NVRTC", error, String::new()))?;
    let options = [
        format!("--gpu-architecture=sm_{major}{minor}"),
        "--std=c++17".to_owned(),
        "--fmad=false".to_owned(),
    ];
    // SAFETY: `program` was created above and is destroyed below, once.
    let compiled = unsafe { nvrtc::result::compile_program(program, &options) };
    let cubin = match compiled {
        Ok(()) => {
            let mut size = 0;
            // SAFETY: the program is alive; `size` is a place to write to.
            let sized = unsafe { nvrtc::sys::nvrtcGetCUBINSize(program, &mut size) }.result();
            sized.and_then(|()| {
                let mut cubin = vec![0_u8; size];
                // SAFETY: the program is alive, and the buffer has the size it asked for.
                let got = unsafe { nvrtc::sys::nvrtcGetCUBIN(program, cubin.as_mut_ptr().cast()) };
                got.result().map(|()| cubin)
            })
        }
        Err(error) => Err(error),
    };
    let cubin = cubin.map_err(|error| {
        // SAFETY: the program is alive.
        let log = unsafe { nvrtc::result::get_program_log(program) }.unwrap_or_default();
        let log: Vec<u8> = log.into_iter().map(|byte| byte as u8).collect();
        let log = String::from_utf8_lossy(&log);
        let log = log.trim_end_matches('\0').trim().to_owned();
        failed("compiling the kernels with NVRTC", error, log)
    });
    // SAFETY: created above, destroyed here only.
    let _ = unsafe { nvrtc::result::destroy_program(program) };
    let cubin: Arc<[u8]> = cubin?.into();
    cubins.insert(((major, minor), kernel), Arc::clone(&cubin));
    Ok(cubin)
}

fn find_nvrtc((major, minor): (i32, i32)) -> Result<(), Error> {
    let unavailable = |why: String| {
        let built = match FATBIN {
            Some(_) => format!("this build has no code for compute capability {major}.{minor}"),
            None => "this build found no nvcc in $NVCC, $CUDA_HOME/bin, $CUDA_PATH/bin, PATH, \
                     $VIRTUAL_ENV, /usr/local/cuda/bin or /opt/cuda/bin"
                .to_owned(),
        };
        Error::Unavailable {
            what: "code of the CUDA kernels",
            why: format!("{built}; and to compile them now, {why}"),
            remedy: "install the CUDA toolkit or its NVRTC library, or build with nvcc",
        }
    };
    // SAFETY: loads NVIDIA's compiler library.
    if !unsafe { nvrtc::sys::is_culib_present() } {
        return Err(unavailable(format!(
            "there is no NVRTC; looked for {} where the system's loader looks",
            candidates("nvrtc")
        )));
    }
    // SAFETY: the library is present; looking a symbol up does not call it.
    let lacks = |name: &&str| unsafe {
        nvrtc::sys::culib()
            .get::<*const ()>(name.as_bytes())
            .is_err()
    };
    let lacking: Vec<&str> = NVRTC_FUNCTIONS.into_iter().filter(lacks).collect();
    if lacking.is_empty() {
        return Ok(());
    }
    Err(unavailable(format!("NVRTC lacks {}", lacking.join(", "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_of_one_kernel_has_that_kernel_alone() {
        let entries = |text: &str| -> Vec<String> {
            let lines: Vec<&str> = text.lines().collect();
            let entries = lines
                .windows(2)
                .filter(|pair| pair[0].contains("__global__"));
            entries
                .filter_map(|pair| pair[1].split_once('(').map(|(name, _)| name.to_owned()))
                .collect()
        };
        let all = entries(SOURCE);
        assert_eq!(all.len(), SOURCE.matches("__global__").count());
        assert!(all.iter().any(|name| name == PROBE), "{all:?}");
        for name in &all {
            let alone = source_of(name);
            assert_eq!(entries(&alone), [name.as_str()]);
            assert_eq!(alone.lines().count(), SOURCE.lines().count());
            let blank = alone
                .lines()
                .zip(SOURCE.lines())
                .filter(|(own, line)| own != line);
            // Four lines and an empty one between: nothing else goes.
            assert_eq!(blank.count(), 4 * (all.len() - 1), "{name}");
        }
    }
}
