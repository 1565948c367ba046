/* Put in front of the C library: syncs that do nothing (ANNALS_NO_SYNC), and an n-th write that is a short one
   (ANNALS_SHORT_WRITE=n). */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static int skips(void) { return getenv("ANNALS_NO_SYNC") != NULL; }

#define SYNC(name, parameters, arguments) \
    int name parameters { \
        int (*real) parameters = (int (*) parameters)dlsym(RTLD_NEXT, #name); \
        return skips() ? 0 : real arguments; \
    }

SYNC(fsync, (int fd), (fd))
SYNC(fdatasync, (int fd), (fd))
SYNC(msync, (void *at, size_t length, int flags), (at, length, flags))
SYNC(syncfs, (int fd), (fd))
SYNC(sync_file_range, (int fd, off64_t at, off64_t length, unsigned flags), (fd, at, length, flags))

static atomic_long writes;

ssize_t pwrite64(int fd, const void *bytes, size_t length, off64_t at) {
    ssize_t (*real)(int, const void *, size_t, off64_t) =
        (ssize_t (*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64");
    const char *nth = getenv("ANNALS_SHORT_WRITE");
    if (nth != NULL && atomic_fetch_add(&writes, 1) + 1 == atol(nth) && length > 1)
        length /= 2;
    return real(fd, bytes, length, at);
}
