/* A faulty file system, for tests: preloaded (LD_PRELOAD), it makes 1 in ONE_IN of the calls on files
 * below FAULTY_ROOT fail with EIO, take long, or read less than there is, as a bad network mount does.
 * The draw is seeded with FAULTY_SEED, and the number of faults is written to FAULTY_LOG at the end.
 * With FULL_AFTER instead, the disk is full after that many writes below FAULTY_ROOT.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REAL(name) ((typeof(&name))real(#name))

static _Atomic unsigned long drawn, faults, written;

static void *real(const char *name) { return dlsym(RTLD_NEXT, name); }

static int below(const char *path) {
    const char *root = getenv("FAULTY_ROOT");
    return root && path && strncmp(path, root, strlen(root)) == 0;
}

static int below_descriptor(int descriptor) {
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

/* 0: no fault, 1: an error, 2: a short read; a slow call is slow here and no fault for the caller. */
static int fault(void) {
    static unsigned long one_in, seed;
    if (!getenv("ONE_IN")) return 0;
    if (!one_in) {
        seed = strtoul(getenv("FAULTY_SEED"), NULL, 10);
        one_in = strtoul(getenv("ONE_IN"), NULL, 10);
    }
    unsigned long x = (atomic_fetch_add(&drawn, 1) + 1) * 0x9E3779B97F4A7C15ul + seed;
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ul;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBul;
    x ^= x >> 31;
    if (x % one_in) return 0;
    atomic_fetch_add(&faults, 1);
    switch (x / one_in % 3) {
    case 0: usleep(30000); return 0;
    case 1: return 2;
    default: return 1;
    }
}

__attribute__((destructor)) static void tell(void) {
    const char *log = getenv("FAULTY_LOG");
    FILE *file = log ? fopen(log, "a") : NULL;
    if (file) {
        fprintf(file, "%lu %lu\n", faults, drawn);
        fclose(file);
    }
}

#define FAIL_IF(hit) do { if ((hit) && fault() == 1) { errno = EIO; return -1; } } while (0)

static int opened(const char *name, const char *path, int flags, mode_t mode) {
    FAIL_IF(below(path));
    return ((int (*)(const char *, int, ...))real(name))(path, flags, mode);
}

#define OPEN(name)                                     \
    int name(const char *path, int flags, ...) {       \
        va_list rest;                                  \
        va_start(rest, flags);                         \
        mode_t mode = va_arg(rest, mode_t);            \
        va_end(rest);                                  \
        return opened(#name, path, flags, mode);       \
    }
OPEN(open)
OPEN(open64)

ssize_t read(int descriptor, void *buffer, size_t count) {
    int found = below_descriptor(descriptor) ? fault() : 0;
    if (found == 1) {
        errno = EIO;
        return -1;
    }
    /* Every other short read looks like the file's end. */
    if (found == 2) count = atomic_load(&faults) % 2 ? 0 : (count + 1) / 2;
    return REAL(read)(descriptor, buffer, count);
}

ssize_t write(int descriptor, const void *buffer, size_t count) {
    const char *limit = getenv("FULL_AFTER");
    if (limit && below_descriptor(descriptor) && atomic_fetch_add(&written, 1) >= strtoul(limit, NULL, 10)) {
        errno = ENOSPC;
        return -1;
    }
    FAIL_IF(below_descriptor(descriptor));
    return REAL(write)(descriptor, buffer, count);
}

int fsync(int descriptor) {
    FAIL_IF(below_descriptor(descriptor));
    return REAL(fsync)(descriptor);
}

int link(const char *source, const char *target) {
    FAIL_IF(below(target));
    return REAL(link)(source, target);
}

int unlink(const char *path) {
    FAIL_IF(below(path));
    return REAL(unlink)(path);
}

int mkdir(const char *path, mode_t mode) {
    FAIL_IF(below(path));
    return REAL(mkdir)(path, mode);
}

int stat64(const char *path, struct stat64 *status) {
    FAIL_IF(below(path));
    return REAL(stat64)(path, status);
}

int fstat64(int descriptor, struct stat64 *status) {
    FAIL_IF(below_descriptor(descriptor));
    return REAL(fstat64)(descriptor, status);
}

DIR *opendir(const char *path) {
    if (below(path) && fault() == 1) {
        errno = EIO;
        return NULL;
    }
    return REAL(opendir)(path);
}
