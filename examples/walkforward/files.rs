//! Files that are there whole or not at all.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::arguments::Outputs;

/// Writes beside the file first and then gives it its name, so that nobody ever finds half of it,
/// and what was there before stays until then.
pub fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<(), Box<dyn std::error::Error>>,
) -> Result<(), Box<dyn std::error::Error>> {
    let beside = beside(path);
    let written = File::create(&beside)
        .map_err(Into::into)
        .and_then(|mut file| {
            write(&mut file)?;
            file.flush()?;
            file.sync_all()?;
            drop(file);
            Ok(fs::rename(&beside, path)?)
        });
    written.map_err(|error: Box<dyn std::error::Error>| {
        // What is left of it is of no use; the first error is the one to tell.
        let _ = fs::remove_file(&beside);
        format!("{}: {error}", path.display()).into()
    })
}

/// Finds files that cannot be written before any work is done.
pub fn check(outputs: &Outputs) -> Result<(), String> {
    let mut seen: Vec<(&str, &Path)> = Vec::new();
    for (option, path) in outputs.all() {
        if let Some((other, _)) = seen.iter().find(|(_, known)| *known == path) {
            let path = path.display();
            return Err(format!("{option} {path}: is the file of {other}, too"));
        }
        seen.push((option, path));
        try_to_write(path).map_err(|error| {
            format!(
                "{option} {}: cannot be written ({error}); name a file in a folder that is there \
                 and can be written to",
                path.display()
            )
        })?;
    }
    Ok(())
}

fn try_to_write(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Err(io::Error::other("it is a folder"));
    }
    let beside = beside(path);
    File::create(&beside)?;
    fs::remove_file(&beside)
}

/// Of a fixed name, so that a killed run leaves at most one.
fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".part");
    path.with_file_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("trisect-{name}-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        folder
    }

    #[test]
    fn a_write_that_fails_leaves_the_file_as_it_was() {
        let folder = folder("files");
        let path = folder.join("x");
        write_whole(&path, |file| Ok(file.write_all(b"first")?)).unwrap();
        let failed = write_whole(&path, |file| {
            file.write_all(b"half of the seco")?;
            Err("no more".into())
        });
        assert!(failed.unwrap_err().to_string().contains("no more"));
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn what_cannot_be_written_is_named_before_the_work() {
        let folder = folder("check");
        let outputs = |json: PathBuf| Outputs {
            json: Some(json),
            csv: Some(folder.join("ok.csv")),
            ..Outputs::default()
        };
        check(&outputs(folder.join("ok.json"))).unwrap();
        for (path, expected) in [
            (folder.join("missing/x.json"), "cannot be written"),
            (folder.clone(), "it is a folder"),
            (folder.join("ok.csv"), "is the file of --json, too"),
        ] {
            let error = check(&outputs(path)).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 0);
        fs::remove_dir_all(folder).unwrap();
    }
}
