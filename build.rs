//! Compiles `kernels/*.cu` to one fatbin when the feature `cuda` is on and there is an nvcc.
//!
//! Without nvcc the flattened source is embedded all the same, and NVRTC compiles it at run time.
//! Without the feature nothing happens here.
//!
//! | variable | meaning |
//! |---|---|
//! | `TRISECT_NVCC` | `require`: no nvcc, or a kernel it refuses, is a build error; `off`: do not look for nvcc |
//! | `TRISECT_CUDA_ARCHS` | architectures instead of all below, oldest first, such as `90` or `80,90` |
//! | `NVCC`, `CUDA_HOME`, `CUDA_PATH`, `PATH`, `VIRTUAL_ENV` | where nvcc may be, in this order |

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// Compute capabilities of the machine code in the fatbin, as far as the nvcc knows them: Turing;
/// A100, RTX 30, RTX 40, H100 and H200; B200, RTX 50.
///
/// PERF: those of a row are assembled from the portable code (PTX) of its first. The machine code is
/// the same as from their own, since the kernels ask for nothing newer, and the compiler's front end,
/// which takes half of the time, runs once per row.
const ARCHITECTURES: [&[&str]; 3] = [&["75"], &["80", "86", "89", "90"], &["100", "120"]];

/// Nothing contracts a multiplication and an addition behind our back: see the crate page, "Bits".
const FLAGS: [&str; 6] = [
    "-fatbin",
    "-O3",
    "-std=c++17",
    "-fmad=false",
    "-Wno-deprecated-gpu-targets",
    "--threads=0",
];

const VARIABLES: [&str; 8] = [
    "TRISECT_NVCC",
    "TRISECT_CUDA_ARCHS",
    "NVCC",
    "CUDA_HOME",
    "CUDA_PATH",
    "PATH",
    "VIRTUAL_ENV",
    "DOCS_RS",
];

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(trisect_fatbin)");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return;
    }
    println!("cargo:rerun-if-changed=kernels");
    for variable in VARIABLES {
        println!("cargo:rerun-if-env-changed={variable}");
    }
    if let Err(reason) = kernels() {
        // A build script speaks to cargo by its exit status; a panic would add a backtrace.
        eprintln!("error: {reason}");
        std::process::exit(1);
    }
}

fn kernels() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let source = out.join("kernels.cu");
    let text = flatten(Path::new("kernels")).map_err(|error| format!("kernels/: {error}"))?;
    fs::write(&source, text).map_err(|error| format!("{}: {error}", source.display()))?;

    let required = match env::var("TRISECT_NVCC").as_deref() {
        Ok("require") => true,
        Ok("off") => return Ok(()),
        Err(env::VarError::NotPresent) => false,
        other => return Err(format!("TRISECT_NVCC = {other:?}: must be require or off")),
    };
    if env::var_os("DOCS_RS").is_some() {
        return Ok(());
    }
    let reason = match nvcc() {
        Some(nvcc) => match fatbin(&nvcc, &source, &out.join("kernels.fatbin")) {
            Ok(()) => {
                println!("cargo:rustc-cfg=trisect_fatbin");
                return Ok(());
            }
            Err(reason) => reason,
        },
        None => "no nvcc in $NVCC, $CUDA_HOME/bin, $CUDA_PATH/bin, PATH, $VIRTUAL_ENV, \
                 /usr/local/cuda/bin or /opt/cuda/bin"
            .to_owned(),
    };
    if required {
        return Err(format!("{reason} (TRISECT_NVCC=require)"));
    }
    println!("cargo:warning={reason}: NVRTC will compile the CUDA kernels at run time");
    Ok(())
}

/// All `.cu` files as one source, every local header inlined once: what NVRTC can compile, and
/// nvcc and NVRTC see the same bytes.
fn flatten(folder: &Path) -> io::Result<String> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "cu") {
            files.push(path);
        }
    }
    files.sort();
    let (mut text, mut seen) = (String::new(), HashSet::new());
    for file in files {
        inline(&file, &mut text, &mut seen)?;
    }
    Ok(text)
}

fn inline(file: &Path, text: &mut String, seen: &mut HashSet<PathBuf>) -> io::Result<()> {
    if !seen.insert(file.to_owned()) {
        return Ok(());
    }
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    text.push_str(&format!("#line 1 \"{name}\"\n"));
    for (index, line) in fs::read_to_string(file)?.lines().enumerate() {
        let header = line
            .trim_start()
            .strip_prefix("#include \"")
            .and_then(|rest| rest.split('"').next())
            .map(|header| file.with_file_name(header));
        match header {
            // Headers of other folders belong to other compilers, behind their `#if`.
            Some(header) if header.exists() => {
                inline(&header, text, seen)?;
                text.push_str(&format!("#line {} \"{name}\"\n", index + 2));
            }
            _ if line.trim() == "#pragma once" => text.push('\n'),
            _ => {
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    Ok(())
}

/// The first nvcc there is.
fn nvcc() -> Option<PathBuf> {
    let name = format!("nvcc{}", env::consts::EXE_SUFFIX);
    let folder_of = |variable: &str| env::var_os(variable).map(PathBuf::from);
    let mut places: Vec<PathBuf> = folder_of("NVCC").into_iter().collect();
    for variable in ["CUDA_HOME", "CUDA_PATH"] {
        places.extend(folder_of(variable).map(|folder| folder.join("bin").join(&name)));
    }
    if let Some(path) = env::var_os("PATH") {
        places.extend(env::split_paths(&path).map(|folder| folder.join(&name)));
    }
    // The wheels nvidia-cuda-nvcc and its companions: lib/python3.N/site-packages/nvidia/cu13/bin.
    if let Some(folder) = folder_of("VIRTUAL_ENV") {
        let pythons = fs::read_dir(folder.join("lib")).into_iter().flatten();
        for python in pythons.flatten() {
            let packages = python.path().join("site-packages/nvidia");
            let toolkits = fs::read_dir(packages).into_iter().flatten().flatten();
            places.extend(toolkits.map(|toolkit| toolkit.path().join("bin").join(&name)));
        }
    }
    for folder in ["/usr/local/cuda/bin", "/opt/cuda/bin"] {
        places.push(Path::new(folder).join(&name));
    }
    places.into_iter().find(|place| place.is_file())
}

fn fatbin(nvcc: &Path, source: &Path, fatbin: &Path) -> Result<(), String> {
    let run = |command: &mut Command| {
        command
            .output()
            .map_err(|error| format!("cannot run {}: {error}", nvcc.display()))
    };
    let known = run(Command::new(nvcc).arg("--list-gpu-code"))?;
    let known = String::from_utf8_lossy(&known.stdout).into_owned();
    let knows = |architecture: &str| {
        let code = format!("sm_{architecture}");
        known.split_whitespace().any(|word| word == code)
    };

    let mut command = Command::new(nvcc);
    command.args(FLAGS);
    // An eighth of the size; it costs a moment when the driver loads it. Older ones do not know it.
    let help = run(Command::new(nvcc).arg("--help"))?;
    if String::from_utf8_lossy(&help.stdout).contains("--compress-mode") {
        command.arg("--compress-mode=size");
    }
    let wanted = env::var("TRISECT_CUDA_ARCHS").ok();
    let targets: Vec<&str> = match &wanted {
        Some(wanted) => wanted.split(',').map(str::trim).collect(),
        None => {
            let all = ARCHITECTURES.into_iter().flatten().copied();
            all.filter(|architecture| knows(architecture)).collect()
        }
    };
    if targets.is_empty() {
        return Err(format!(
            "{} lists none of the architectures {ARCHITECTURES:?}",
            nvcc.display()
        ));
    }
    let mut portable = None;
    for architecture in targets {
        if !knows(architecture) {
            return Err(format!(
                "{} does not know sm_{architecture} of TRISECT_CUDA_ARCHS",
                nvcc.display()
            ));
        }
        let row = ARCHITECTURES
            .into_iter()
            .find(|row| row.contains(&architecture));
        let mut row = row.into_iter().flatten();
        let first = row.find(|first| knows(first)).unwrap_or(&architecture);
        command.arg(format!(
            "-gencode=arch=compute_{first},code=sm_{architecture}"
        ));
        // For devices that are newer than the fatbin. PERF: no other front end than those above.
        portable
            .get_or_insert_with(|| format!("-gencode=arch=compute_{first},code=compute_{first}"));
    }
    command.args(portable).arg("-o").arg(fatbin).arg(source);

    let compiled = run(&mut command)?;
    if compiled.status.success() {
        return Ok(());
    }
    let log = String::from_utf8_lossy(&compiled.stderr).into_owned();
    let lines = log
        .lines()
        .filter(|line| line.contains("error") || line.contains("fatal"));
    let first = lines.take(3).collect::<Vec<_>>().join("; ");
    Err(format!(
        "{} failed ({}): {first}",
        nvcc.display(),
        compiled.status
    ))
}
