/*
 * A disk that fails, for one process: loaded before the C library, it stands between a program and the files below one
 * directory.
 *
 *   FAULTS_BELOW  the directory (absolute, without links)
 *   FAULTS        what goes wrong, separated by commas, counted from the start of the process:
 *                   read_only        nothing can be opened for writing, made, renamed or removed
 *                   full=N           no space is left after N bytes
 *                   fail_sync=N      the N-th sync fails; what it should have made durable is lost, and later syncs succeed
 *                   slow_sync=MS     every sync takes that long
 *                   tear=N           after N bytes the write is cut short and the process killed
 *   FAULTS_LOG    a directory for what a power cut would take back: before anything is changed, what was there is
 *                 written to the file `undo` in it; a sync notes which of it became durable. power.rs reads it.
 *
 * Only what goes through the C library is seen. The database makes its temporary files there but renames them by itself:
 * such a rename is durable at once here.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define FILES_MAX 65536
#define SECTOR 512
#define NEVER UINT64_MAX

enum kind { WRITE = 1, SYNC = 2, CREATE = 3, RENAME = 4, UNLINK = 5, LOST = 6 };

/* One record of the log; `length` bytes follow. */
struct record {
    uint32_t kind;
    uint32_t length;
    uint64_t inode;  /* of the file; of the directory for CREATE, RENAME and UNLINK */
    uint64_t offset; /* WRITE: where the old bytes lay; SYNC, LOST: which part of the log it concerns; else the file's inode */
    uint64_t size;   /* WRITE: how large the file was; RENAME, UNLINK: the number under which the old file was kept, or 0 */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char below[PATH_MAX], log_dir[PATH_MAX];
static size_t below_length;
static int log_file = -1;
static uint64_t kept;
static unsigned char watched[FILES_MAX];
static int read_only;
static uint64_t full = NEVER, tear = NEVER, fail_sync = NEVER, slow_sync;
static uint64_t written, syncs;

static uint64_t number(const char *faults, const char *name, uint64_t otherwise) {
    const char *at = faults ? strstr(faults, name) : NULL;
    return at ? strtoull(at + strlen(name), NULL, 10) : otherwise;
}

__attribute__((constructor)) static void begin(void) {
    const char *directory = getenv("FAULTS_BELOW"), *faults = getenv("FAULTS"), *log = getenv("FAULTS_LOG");
    if (!directory) return;
    below_length = strlen(directory);
    memcpy(below, directory, below_length + 1);
    read_only = faults && strstr(faults, "read_only") != NULL;
    full = number(faults, "full=", NEVER);
    tear = number(faults, "tear=", NEVER);
    fail_sync = number(faults, "fail_sync=", NEVER);
    slow_sync = number(faults, "slow_sync=", 0);
    if (!log) return;
    strcpy(log_dir, log);
    char path[PATH_MAX + 8];
    snprintf(path, sizeof path, "%s/undo", log);
    log_file = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

static int is_below(const char *path) {
    return below_length && !strncmp(path, below, below_length) && (path[below_length] == '/' || !path[below_length]);
}

static int is_watched(int file) {
    return file >= 0 && file < FILES_MAX && watched[file];
}

static void note(enum kind kind, uint64_t inode, uint64_t offset, uint64_t size, const void *bytes, size_t length) {
    if (log_file < 0) return;
    struct record record = {kind, (uint32_t)length, inode, offset, size};
    struct iovec parts[2] = {{&record, sizeof record}, {(void *)bytes, length}};
    if (syscall(SYS_writev, log_file, parts, length ? 2 : 1) != (long)(sizeof record + length)) abort();
}

static int is_zero(const char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++)
        if (bytes[i]) return 0;
    return 1;
}

/* Notes that a range of a file held nothing but zeros. */
static void keep_zeros(uint64_t inode, uint64_t size, uint64_t from, uint64_t to) {
    uint64_t sectors = (to - from + SECTOR - 1) / SECTOR;
    if (sectors) note(WRITE, inode, from, size, &sectors, sizeof sectors);
}

/* Keeps what lies in a range of a file, by whole sectors. */
static void keep_range(int file, uint64_t from, uint64_t to) {
    if (log_file < 0) return;
    struct stat status;
    if (fstat(file, &status)) abort();
    uint64_t inode = status.st_ino, size = status.st_size;
    note(WRITE, inode, from, size, NULL, 0);
    /* The file may be open for writing only. */
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    int reader = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0);
    if (reader < 0) abort();
    uint64_t zeros = from -= from % SECTOR;
    to = (to + SECTOR - 1) / SECTOR * SECTOR;
    while (from < to) {
        char old[8 * SECTOR] = {0};
        off_t data = syscall(SYS_lseek, reader, from, SEEK_DATA);
        if (data < 0 || (uint64_t)data >= to) break;
        if ((uint64_t)data > from) from = data - data % SECTOR;
        size_t length = to - from < sizeof old ? to - from : sizeof old;
        if (syscall(SYS_pread64, reader, old, length, from) < 0) abort();
        if (!is_zero(old, length)) {
            keep_zeros(inode, size, zeros, from);
            note(WRITE, inode, from, size, old, length);
            zeros = from + length;
        }
        from += length;
    }
    keep_zeros(inode, size, zeros, to);
    syscall(SYS_close, reader);
}

static uint64_t inode_of(const char *path) {
    struct stat status;
    return lstat(path, &status) ? 0 : status.st_ino;
}

static uint64_t parent_of(const char *path) {
    char parent[PATH_MAX];
    strncpy(parent, path, sizeof parent - 1);
    parent[sizeof parent - 1] = 0;
    char *slash = strrchr(parent, '/');
    if (slash) *slash = 0;
    return inode_of(parent);
}

/* Gives a file that is about to vanish another name, so that it can come back. */
static uint64_t keep_file(const char *path) {
    if (log_file < 0) return 0;
    char name[PATH_MAX + 32];
    uint64_t number = (uint64_t)getpid() << 32 | ++kept;
    snprintf(name, sizeof name, "%s/%lu", log_dir, (unsigned long)number);
    return syscall(SYS_linkat, AT_FDCWD, path, AT_FDCWD, name, 0) ? 0 : number;
}

static int denied(int error) {
    errno = error;
    return -1;
}

/* How much of a write is done; the caller holds the lock. */
static size_t allowed(size_t length) {
    if (tear != NEVER && written + length >= tear) return tear > written ? tear - written : 0;
    if (full != NEVER && written + length > full) return full > written ? full - written : 0;
    return length;
}

static ssize_t write_at(int file, const struct iovec *parts, int count, off_t offset) {
    struct stat status;
    size_t length = 0;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    char *bytes = malloc(length ? length : 1), *to = bytes;
    for (int i = 0; i < count; i++) to = mempcpy(to, parts[i].iov_base, parts[i].iov_len);

    pthread_mutex_lock(&lock);
    size_t granted = allowed(length);
    int torn = tear != NEVER && written + length >= tear;
    ssize_t done = -1;
    if (granted || !length || torn) {
        off_t at = offset;
        if (at < 0) {
            if (fstat(file, &status)) abort();
            at = fcntl(file, F_GETFL) & O_APPEND ? status.st_size : lseek(file, 0, SEEK_CUR);
        }
        keep_range(file, at, at + granted);
        done = offset < 0 ? syscall(SYS_write, file, bytes, granted) : syscall(SYS_pwrite64, file, bytes, granted, offset);
        if (done > 0) written += done;
        if (torn) kill(getpid(), SIGKILL);
    } else {
        errno = ENOSPC;
    }
    pthread_mutex_unlock(&lock);
    int error = errno;
    free(bytes);
    errno = error;
    return done;
}

ssize_t write(int file, const void *bytes, size_t length) {
    if (!is_watched(file)) return syscall(SYS_write, file, bytes, length);
    struct iovec part = {(void *)bytes, length};
    return write_at(file, &part, 1, -1);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    if (!is_watched(file)) return syscall(SYS_writev, file, parts, count);
    return write_at(file, parts, count, -1);
}

ssize_t pwrite64(int file, const void *bytes, size_t length, off_t offset) {
    if (!is_watched(file)) return syscall(SYS_pwrite64, file, bytes, length, offset);
    struct iovec part = {(void *)bytes, length};
    return write_at(file, &part, 1, offset);
}

ssize_t pwrite(int file, const void *bytes, size_t length, off_t offset) {
    return pwrite64(file, bytes, length, offset);
}

int ftruncate64(int file, off_t length) {
    if (!is_watched(file)) return (int)syscall(SYS_ftruncate, file, length);
    struct stat status;
    pthread_mutex_lock(&lock);
    if (fstat(file, &status)) abort();
    keep_range(file, length < status.st_size ? length : status.st_size, status.st_size);
    int done = (int)syscall(SYS_ftruncate, file, length);
    pthread_mutex_unlock(&lock);
    return done;
}

int ftruncate(int file, off_t length) {
    return ftruncate64(file, length);
}

static int sync_file(int file, long call) {
    if (!is_watched(file)) return (int)syscall(call, file);
    struct stat status;
    pthread_mutex_lock(&lock);
    if (fstat(file, &status)) abort();
    uint64_t concerned = log_file < 0 ? 0 : syscall(SYS_lseek, log_file, 0, SEEK_END);
    int fails = ++syncs == fail_sync;
    if (fails) note(LOST, status.st_ino, concerned, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    if (slow_sync) {
        struct timespec pause = {(time_t)(slow_sync / 1000), (long)(slow_sync % 1000) * 1000000};
        nanosleep(&pause, NULL);
    }
    if (fails) return denied(EIO);
    int done = (int)syscall(call, file);
    pthread_mutex_lock(&lock);
    if (!done) note(SYNC, status.st_ino, concerned, 0, NULL, 0);
    pthread_mutex_unlock(&lock);
    return done;
}

int fsync(int file) {
    return sync_file(file, SYS_fsync);
}

int fdatasync(int file) {
    return sync_file(file, SYS_fdatasync);
}

static int open_at(int directory, const char *path, int flags, mode_t mode) {
    int writes = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    if (!below_length || (directory != AT_FDCWD && path[0] != '/'))
        return (int)syscall(SYS_openat, directory, path, flags, mode);
    /* The working directory is elsewhere: only absolute paths lead below. */
    if (path[0] != '/' || !is_below(path)) {
        int file = (int)syscall(SYS_openat, directory, path, flags, mode);
        if (file >= 0 && file < FILES_MAX) watched[file] = 0;
        return file;
    }
    if (writes && read_only) return denied(EROFS);
    pthread_mutex_lock(&lock);
    int is_new = flags & O_CREAT && !inode_of(path);
    int file = -1;
    if (is_new && full != NEVER && written >= full) {
        errno = ENOSPC;
    } else {
        /* Emptied by a truncation that can be taken back. */
        file = (int)syscall(SYS_openat, directory, path, flags & ~O_TRUNC, mode);
    }
    if (file >= 0 && file < FILES_MAX) watched[file] = 1;
    if (file >= 0 && is_new) note(CREATE, parent_of(path), inode_of(path), 0, path, strlen(path));
    pthread_mutex_unlock(&lock);
    struct stat status;
    if (file >= 0 && flags & O_TRUNC && !fstat(file, &status) && status.st_size && ftruncate64(file, 0)) abort();
    return file;
}

#define MODE(last) \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, last); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    return open_at(AT_FDCWD, path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    return open_at(AT_FDCWD, path, flags, mode);
}

int openat(int directory, const char *path, int flags, ...) {
    MODE(flags)
    return open_at(directory, path, flags, mode);
}

int openat64(int directory, const char *path, int flags, ...) {
    MODE(flags)
    return open_at(directory, path, flags, mode);
}

int close(int file) {
    if (file >= 0 && file < FILES_MAX) watched[file] = 0;
    return (int)syscall(SYS_close, file);
}

int mkdir(const char *path, mode_t mode) {
    if (!is_below(path)) return (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    if (read_only) return denied(EROFS);
    pthread_mutex_lock(&lock);
    int done = (int)syscall(SYS_mkdirat, AT_FDCWD, path, mode);
    /* The directory itself lies in one that is not watched. */
    if (!done && path[below_length]) note(CREATE, parent_of(path), inode_of(path), 0, path, strlen(path));
    pthread_mutex_unlock(&lock);
    return done;
}

int rename(const char *from, const char *to) {
    if (!is_below(from)) return (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    if (read_only) return denied(EROFS);
    char both[2 * PATH_MAX];
    pthread_mutex_lock(&lock);
    uint64_t replaced = keep_file(to);
    uint64_t moved = inode_of(from);
    int done = (int)syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, 0);
    int length = snprintf(both, sizeof both, "%s%c%s", from, 0, to);
    if (!done) note(RENAME, parent_of(to), moved, replaced, both, length);
    pthread_mutex_unlock(&lock);
    return done;
}

int unlink(const char *path) {
    if (!is_below(path)) return (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (read_only) return denied(EROFS);
    pthread_mutex_lock(&lock);
    uint64_t inode = inode_of(path), old = keep_file(path);
    int done = (int)syscall(SYS_unlinkat, AT_FDCWD, path, 0);
    if (!done) note(UNLINK, parent_of(path), inode, old, path, strlen(path));
    pthread_mutex_unlock(&lock);
    return done;
}
