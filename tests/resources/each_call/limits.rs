//! Limits that are imposed for a while.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

/// What there is no more of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Limit {
    Descriptors,
    AddressSpace,
    Maps,
    Space,
    Inodes,
}

impl Limit {
    const ALL: [Self; 5] = [Self::Descriptors, Self::AddressSpace, Self::Maps, Self::Space, Self::Inodes];

    pub(super) fn name(self) -> String {
        format!("{self:?}")
    }

    pub(super) fn named(name: &str) -> Self {
        Self::ALL.into_iter().find(|limit| limit.name() == name).unwrap()
    }
}

/// What has to be undone.
pub(super) enum Held {
    Descriptors(Vec<File>),
    Limit(libc::__rlimit_resource_t),
    Region(*mut libc::c_void, usize),
    Files(Vec<PathBuf>),
}

/// Pages of the region that takes all maps: more than the system gives.
const MOST_MAPS: usize = 1 << 17;
/// Pages of the part of it that comes and goes with the limit: taking all of them each time would take minutes.
const LAST_MAPS: usize = 1 << 13;
const PAGE: usize = 4096;
/// What the program may allocate under a limit.
const HEAP: usize = 128 << 20;

/// Where maps are refused the allocator must not need one: it has its heap before, and keeps it.
pub(super) fn prepare(limit: Limit) {
    if !matches!(limit, Limit::AddressSpace | Limit::Maps) {
        return;
    }
    #[cfg(target_env = "gnu")]
    for (setting, value) in
        [(libc::M_ARENA_MAX, 1), (libc::M_MMAP_MAX, 0), (libc::M_TRIM_THRESHOLD, i32::MAX)]
    {
        // SAFETY: it sets a number of the allocator.
        #[expect(unsafe_code, reason = "std says nothing to its allocator")]
        let done = unsafe { libc::mallopt(setting, value) };
        assert_eq!(done, 1);
    }
    drop(vec![1_u8; HEAP]);
    if limit == Limit::Maps {
        let (region, split) = take_maps(MOST_MAPS);
        // SAFETY: these pages are of the region, and nobody has an address in them.
        #[expect(unsafe_code, reason = "std maps nothing")]
        let code = unsafe { libc::munmap(region.byte_add((split - LAST_MAPS) * PAGE), LAST_MAPS * PAGE) };
        assert_eq!(code, 0);
    }
}

/// Waits until every other thread waits for something. One that was started and has not run yet still asks for its stack for signals, and
/// the standard library ends the process where it is refused: what it was started for had its room when it was.
fn let_threads_begin() {
    let own = std::fs::read_link("/proc/thread-self").unwrap();
    let waits = |task: &Path| {
        // A thread that has ended meanwhile asks for nothing.
        let stat = std::fs::read_to_string(task.join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, rest)| rest.starts_with('S'))
    };
    let all_wait = || {
        let tasks = std::fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
        tasks.filter(|task| task.file_name() != own.file_name()).all(|task| waits(&task))
    };
    for _ in 0..2_000 {
        if all_wait() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

/// The limit holds until what is returned is dropped.
pub(super) fn impose(limit: Limit, dir: &Path) -> Held {
    let_threads_begin();
    match limit {
        Limit::Descriptors => {
            use std::os::fd::AsRawFd;
            // Up to the largest number that is in use all are, so that one that is given back can be had.
            let last = std::fs::read_dir("/proc/self/fd").unwrap().count();
            let mut files: Vec<_> = (0..last).map(|_| File::open("/dev/null").unwrap()).collect();
            let next = files.pop().unwrap().as_raw_fd();
            set(libc::RLIMIT_NOFILE, u64::try_from(next).unwrap());
            Held::Descriptors(files)
        }
        Limit::AddressSpace => {
            // A thread that was started a moment ago takes the last of its stacks itself.
            std::thread::sleep(std::time::Duration::from_millis(10));
            set(libc::RLIMIT_AS, address_space());
            Held::Limit(libc::RLIMIT_AS)
        }
        Limit::Maps => Held::Region(take_maps(2 * LAST_MAPS).0, 2 * LAST_MAPS * PAGE),
        Limit::Space => {
            let path = dir.join("of somebody else");
            let mut file = File::create(&path).unwrap();
            for size in [1 << 20, 1 << 16, 1 << 12, 1] {
                while file.write_all(&vec![1; size]).is_ok() {}
            }
            Held::Files(vec![path])
        }
        Limit::Inodes => {
            let names = (0..).map(|number| dir.join(format!("of somebody else {number}")));
            Held::Files(names.take_while(|path| File::create(path).is_ok()).collect())
        }
    }
}

fn address_space() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmSize")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// Sets the limit that can be lifted again.
fn set(resource: libc::__rlimit_resource_t, to: u64) {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the calls read and fill `limit`, which outlives them.
    #[expect(unsafe_code, reason = "std does not set limits")]
    let codes = unsafe {
        let got = libc::getrlimit(resource, &raw mut limit);
        limit.rlim_cur = to.min(limit.rlim_max);
        (got, libc::setrlimit(resource, &raw const limit))
    };
    assert_eq!(codes, (0, 0));
}

/// One region whose pages may in turn be read and not: as many maps as the system gives. Returns how many pages it came to.
fn take_maps(pages: usize) -> (*mut libc::c_void, usize) {
    let len = pages * PAGE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
    // SAFETY: new memory, at an address of the system's choice, which nobody uses.
    #[expect(unsafe_code, reason = "std maps nothing")]
    let region = unsafe { libc::mmap(std::ptr::null_mut(), len, libc::PROT_NONE, flags, -1, 0) };
    assert_ne!(region, libc::MAP_FAILED);
    let mut split = 1;
    while split + 1 < pages {
        // SAFETY: the page is one of the region.
        #[expect(unsafe_code, reason = "std maps nothing")]
        let code = unsafe { libc::mprotect(region.byte_add(split * PAGE), PAGE, libc::PROT_READ) };
        if code != 0 {
            break;
        }
        split += 2;
    }
    (region, split)
}

impl Drop for Held {
    fn drop(&mut self) {
        match self {
            Self::Descriptors(files) => {
                set(libc::RLIMIT_NOFILE, u64::MAX);
                files.clear();
            }
            Self::Limit(resource) => set(*resource, u64::MAX),
            Self::Region(region, len) => {
                // SAFETY: it was mapped in this length, and nobody has an address in it.
                #[expect(unsafe_code, reason = "std maps nothing")]
                let code = unsafe { libc::munmap(*region, *len) };
                assert_eq!(code, 0);
            }
            Self::Files(paths) => paths.iter().for_each(|path| std::fs::remove_file(path).unwrap()),
        }
    }
}
