//! A real file system on a block device, and the power cut.

use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::{Options, Outcome};

/// FS_IOC_GOINGDOWN: the file system forgets what it has not written, as if the power had failed.
const GOING_DOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;

/// What a power cut leaves of the file system's own journal.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Cut {
    /// Its log is flushed first, data is not: names and lengths without contents.
    JournalFlushed = 1,
    /// Nothing that was not synced.
    NothingFlushed = 2,
}

pub(crate) struct Device {
    block: String,
    kind: String,
    options: String,
    pub(crate) root: PathBuf,
}

impl Device {
    pub(crate) fn of(options: &Options) -> Outcome<Self> {
        let block = options.text("device")?;
        let kind = options.text("type")?;
        let mount_options = options.text("mount-options").unwrap_or_else(|_| "defaults".to_owned());
        Ok(Self { block, kind, options: mount_options, root: options.text("at")?.into() })
    }

    pub(crate) fn mount(&self) -> Outcome {
        command(
            Command::new("mount").args(["-t", &self.kind, "-o", &self.options, &self.block]).arg(&self.root),
        )
    }

    pub(crate) fn unmount(&self) -> Outcome {
        for _ in 0..200 {
            if command(Command::new("umount").arg(&self.root)).is_ok() {
                return Ok(());
            }
            // The kernel still lets go of the last process's files.
            std::thread::sleep(Duration::from_millis(10));
        }
        command(Command::new("umount").arg(&self.root))
    }

    #[expect(unsafe_code, reason = "the standard library has no ioctl")]
    pub(crate) fn cut(&self, cut: Cut) -> Outcome {
        let root = std::fs::File::open(&self.root).map_err(|error| format!("{:?}: {error}", self.root))?;
        let flags = cut as u32;
        // SAFETY: the descriptor is open until `root` goes, and the call reads four bytes at the pointer, which `flags` has.
        let result = unsafe { libc::ioctl(root.as_raw_fd(), GOING_DOWN, &raw const flags) };
        if result == 0 { Ok(()) } else { Err(format!("shutdown: {}", std::io::Error::last_os_error())) }
    }

    /// Mounts again: nothing is left in memory.
    pub(crate) fn remount(&self) -> Outcome {
        self.unmount()?;
        self.mount()
    }
}

/// Has the system forget the pages of a file that it believes to have on the disk.
#[expect(unsafe_code, reason = "the standard library has no posix_fadvise")]
pub(crate) fn evict(path: &Path) -> Outcome {
    let file = std::fs::File::open(path).map_err(|error| format!("{path:?}: {error}"))?;
    // SAFETY: the descriptor is open until `file` goes; the call takes no pointer.
    let result = unsafe { libc::posix_fadvise(file.as_raw_fd(), 0, 0, libc::POSIX_FADV_DONTNEED) };
    if result == 0 { Ok(()) } else { Err(format!("{path:?}: posix_fadvise: {result}")) }
}

/// Runs a command to its end.
pub(crate) fn command(command: &mut Command) -> Outcome {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// Takes a store of earlier away, so that the device does not fill up.
pub(crate) fn remove(dir: &Path) -> Outcome {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(format!("{dir:?}: {error}")),
        _ => Ok(()),
    }
}
