//! Where the database of a run under load is.

use anyhow::Context;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use std::{env, fs, process};

/// A directory that was given, or a fresh one that is removed when dropped.
pub(crate) struct DataDirectory {
    path: PathBuf,
    fresh: bool,
}

impl DataDirectory {
    pub(crate) fn given_or_fresh(given: Option<PathBuf>) -> anyhow::Result<DataDirectory> {
        if let Some(path) = given {
            return Ok(DataDirectory { path, fresh: false });
        }
        let path = env::temp_dir().join(format!("order-service-{}", unique()));
        // Not `create_dir_all`: the directory must be new, since it is going to be removed.
        fs::create_dir(&path).with_context(|| format!("cannot make the temporary directory {}", path.display()))?;
        Ok(DataDirectory { path, fresh: true })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for DataDirectory {
    fn drop(&mut self) {
        if self.fresh {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}

/// A text that no other run has.
pub(crate) fn unique() -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{:x}-{}", now.as_micros(), process::id())
}
