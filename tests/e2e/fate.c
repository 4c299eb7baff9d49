/* What a machine may do to a process, as a test says in a shared file: flushes that take long, a disk that takes no
   writes, a wall clock that is set. Loaded with LD_PRELOAD; RELAY_FATE names the file of three longs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

struct fate {
    volatile long flush_milliseconds, write_errno, clock_seconds;
};

static struct fate none, *fate = &none;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("RELAY_FATE");
    int file = path ? open(path, O_RDONLY) : -1;
    if (file < 0) return;
    void *shared = mmap(NULL, sizeof(struct fate), PROT_READ, MAP_SHARED, file, 0);
    if (shared != MAP_FAILED) fate = shared;
    close(file);
}

static void flushing(void) {
    long wait = fate->flush_milliseconds;
    struct timespec span = {wait / 1000, wait % 1000 * 1000000};
    if (wait) nanosleep(&span, NULL);
}

int fsync(int file) {
    flushing();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fsync"))(file);
}

int fdatasync(int file) {
    flushing();
    return ((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"))(file);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t at) {
    if (fate->write_errno) {
        errno = (int)fate->write_errno;
        return -1;
    }
    return ((ssize_t(*)(int, const void *, size_t, off64_t))dlsym(RTLD_NEXT, "pwrite64"))(file, bytes, count, at);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t at) { return pwrite64(file, bytes, count, at); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    int done = ((int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime"))(clock, now);
    if (!done && clock == CLOCK_REALTIME) now->tv_sec += fate->clock_seconds;
    return done;
}
