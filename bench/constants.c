/*
 * Measures what a host needs for each page and each request of a transfer: the constants of the estimate in
 * docs/performance.md, "What 1 TiB takes on an array of 60 GB/s".
 *
 * cc -O2 -pthread -o constants bench/constants.c && ./constants DIR
 *
 * DIR is on the disk, on a filesystem with direct I/O. Takes up to 1.5 GiB of /dev/shm and 512 MiB of DIR. Prints medians of
 * seven; the CPU time is that of all threads, user and system.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ 22
#define MADV_POPULATE_WRITE 23
#endif

enum { ROUNDS = 7, PAGE = 4096, PIECE = 1 << 20, HEADS = 256, HEAD = 16, SLOTS = 16 };
static const size_t SIZE = (size_t)512 << 20;

static int memory, other, disk;
static char *mapping, *buffers;
static int pipes[2];
static volatile uint64_t sink;

struct cost {
    double wall, cpu;
};

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static void must(int fine, const char *what) {
    if (!fine) fail(what);
}

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int compare(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static double median(double *values) {
    qsort(values, ROUNDS, sizeof *values, compare);
    return values[ROUNDS / 2];
}

/* Runs the preparation, untimed, and the work, so many times, and returns medians of the time and of the CPU time. */
static struct cost measure(void (*prepare)(void), void (*work)(void)) {
    double wall[ROUNDS], cpu[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        if (prepare) prepare();
        double began = seconds(CLOCK_MONOTONIC), used = seconds(CLOCK_PROCESS_CPUTIME_ID);
        work();
        wall[round] = seconds(CLOCK_MONOTONIC) - began;
        cpu[round] = seconds(CLOCK_PROCESS_CPUTIME_ID) - used;
    }
    return (struct cost){median(wall), median(cpu)};
}

static double per_page(double time) { return time / (double)(SIZE / PAGE) * 1e9; }

static void say(const char *what, struct cost cost) {
    printf("%-66s %7.3f s %7.3f CPU s %7.1f ns/page\n", what, cost.wall, cost.cpu, per_page(cost.cpu));
    fflush(stdout);
}

static char *slot(size_t offset) { return buffers + offset / PIECE % SLOTS * PIECE; }

static void read_by_copy(void) {
    for (size_t at = 0; at < SIZE; at += PIECE) must(pread(memory, slot(at), PIECE, at) == PIECE, "pread");
}

static void write_range(int file, size_t from, size_t to) {
    for (size_t at = from; at < to; at += PIECE) must(pwrite(file, slot(at), PIECE, at) == PIECE, "pwrite");
}

static void empty_other(void) { must(ftruncate(other, 0) == 0 && ftruncate(other, SIZE) == 0, "ftruncate"); }
static void write_other(void) { write_range(other, 0, SIZE); }

/* Two threads have a half each. */
static int files[2];
static void by_two(void *(*half)(void *)) {
    pthread_t thread;
    must(pthread_create(&thread, NULL, half, &files[1]) == 0, "pthread_create");
    half(NULL);
    pthread_join(thread, NULL);
}
static void *write_half(void *which) {
    size_t half = (size_t)(which != NULL);
    write_range(files[half], half * (SIZE / 2), (half + 1) * (SIZE / 2));
    return NULL;
}
static void write_halves(void) { by_two(write_half); }
static void empty_both(void) {
    for (int half = 0; half < 2; half++) {
        must(ftruncate(files[half], 0) == 0 && ftruncate(files[half], SIZE) == 0, "ftruncate");
    }
}
static void *read_half(void *which) {
    size_t from = which ? SIZE / 2 : 0;
    static char *own[2];
    char **buffer = &own[which != NULL];
    if (!*buffer) *buffer = malloc(PIECE);
    for (size_t at = from; at < from + SIZE / 2; at += PIECE)
        must(pread(memory, *buffer, PIECE, at) == PIECE, "pread");
    return NULL;
}
static void read_halves(void) { by_two(read_half); }

/* Windows of one mapping are entered into the page table and dropped. */
static void unmap_all(void) { must(madvise(mapping, SIZE, MADV_DONTNEED) == 0, "madvise"); }
static void map_all(void) { must(madvise(mapping, SIZE, MADV_POPULATE_READ) == 0, "MADV_POPULATE_READ"); }
/* The same by a mapping for each window, which other threads of the process have to wait for. */
static char *window(size_t at) {
    char *start = mmap(NULL, PIECE, PROT_READ, MAP_SHARED | MAP_POPULATE, memory, (off_t)at);
    must(start != MAP_FAILED, "mmap");
    return start;
}
static void map_windows(size_t from, size_t to) {
    for (size_t at = from; at < to; at += PIECE) must(munmap(window(at), PIECE) == 0, "munmap");
}
static void map_all_windows(void) { map_windows(0, SIZE); }
static void *map_half(void *which) {
    map_windows(which ? SIZE / 2 : 0, which ? SIZE : SIZE / 2);
    return NULL;
}
static void *drop_half(void *which) {
    size_t from = which ? SIZE / 2 : 0;
    for (size_t at = from; at < from + SIZE / 2; at += PIECE) {
        must(madvise(mapping + at, PIECE, MADV_POPULATE_READ) == 0, "MADV_POPULATE_READ");
        must(madvise(mapping + at, PIECE, MADV_DONTNEED) == 0, "MADV_DONTNEED");
    }
    return NULL;
}
static void map_halves(void) { by_two(map_half); }
static void drop_halves(void) { by_two(drop_half); }
static void map_nothing(void) {
    for (size_t at = 0; at < SIZE; at += PIECE) {
        char *start = mmap(NULL, PIECE, PROT_READ, MAP_SHARED, memory, (off_t)at);
        must(start != MAP_FAILED && munmap(start, PIECE) == 0, "mmap");
    }
}
static char *windows[512];
static void keep_windows(void) {
    for (size_t at = 0; at < SIZE; at += PIECE) windows[at / PIECE] = window(at);
}
static void drop_windows(void) {
    for (size_t at = 0; at < SIZE; at += PIECE) must(munmap(windows[at / PIECE], PIECE) == 0, "munmap");
}

static void fill_by_faults(void) {
    char *target = mmap(NULL, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0);
    must(target != MAP_FAILED, "mmap");
    must(madvise(target, SIZE, MADV_POPULATE_WRITE) == 0, "MADV_POPULATE_WRITE");
    munmap(target, SIZE);
}

/* The first bytes of 256 pages at a time go through a pipe. */
static void look(void) {
    static char heads[HEADS * HEAD];
    struct iovec parts[HEADS];
    for (size_t at = 0; at < SIZE; at += HEADS * PAGE) {
        for (size_t page = 0; page < HEADS; page++) parts[page] = (struct iovec){mapping + at + page * PAGE, HEAD};
        must(writev(pipes[1], parts, HEADS) == sizeof heads, "writev");
        must(read(pipes[0], heads, sizeof heads) == sizeof heads, "read");
        for (size_t page = 0; page < HEADS; page++) sink += heads[page * HEAD];
    }
}

static void read_all_words(void) {
    uint64_t sum = 0;
    for (size_t at = 0; at < SIZE; at += PIECE) {
        must(pread(other, buffers, PIECE, at) == PIECE, "pread");
        const uint64_t *words = (const uint64_t *)buffers;
        for (size_t word = 0; word < PIECE / sizeof *words; word++) sum |= words[word];
    }
    sink += sum;
}
static void read_other(void) {
    for (size_t at = 0; at < SIZE; at += PIECE) must(pread(other, buffers, PIECE, at) == PIECE, "pread");
}
static void make_zeros(void) {
    empty_other();
    memset(buffers, 0, (size_t)SLOTS * PIECE);
    write_other();
}

static void find_hole(void) { must(lseek(memory, 0, SEEK_HOLE) == (off_t)SIZE, "SEEK_HOLE"); }

/* Past the page cache, one request at a time: the CPU time is what counts. */
static void write_from_buffers(void) { write_range(disk, 0, SIZE); }
static void write_from_mapping(void) {
    for (size_t at = 0; at < SIZE; at += PIECE)
        must(pwrite(disk, mapping + at, PIECE, at) == PIECE, "pwrite from the mapping");
}
static void write_small(void) {
    for (size_t at = 0; at < SIZE / 8; at += 16 * PAGE)
        must(pwrite(disk, slot(at), 16 * PAGE, at) == 16 * PAGE, "pwrite");
}
static void sync_disk(void) { must(fsync(disk) == 0, "fsync"); }
static void empty_disk(void) { must(ftruncate(disk, 0) == 0 && ftruncate(disk, SIZE) == 0, "ftruncate"); }
static void renew_disk(void) {
    empty_disk();
    write_from_buffers();
}

static int temporary(const char *folder, int flags) {
    char path[4096];
    snprintf(path, sizeof path, "%s/mapped-ram-constants-%d", folder, getpid());
    int file = open(path, O_RDWR | O_CREAT | O_EXCL | flags, 0600);
    if (file < 0) fail(path);
    unlink(path);
    must(ftruncate(file, SIZE) == 0, "ftruncate");
    return file;
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: constants DIR\n");
        return 2;
    }
    memory = temporary("/dev/shm", 0);
    other = temporary("/dev/shm", 0);
    disk = temporary(arguments[1], O_DIRECT);
    must(pipe(pipes) == 0, "pipe");
    buffers = aligned_alloc(2 << 20, (size_t)SLOTS * PIECE);
    must(buffers != NULL, "aligned_alloc");
    madvise(buffers, (size_t)SLOTS * PIECE, MADV_HUGEPAGE);
    for (size_t byte = 0; byte < (size_t)SLOTS * PIECE; byte++) buffers[byte] = (char)(byte * 167 + byte / 4096 + 1);
    write_range(memory, 0, SIZE);
    mapping = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, memory, 0);
    must(mapping != MAP_FAILED, "mmap");

    printf("512 MiB each, medians of %d\n", ROUNDS);
    struct cost copy = measure(NULL, read_by_copy);
    say("copy: pread from /dev/shm", copy);
    say("copy: by two threads, halves", measure(NULL, read_halves));
    struct cost fresh = measure(empty_other, write_other), again = measure(NULL, write_other);
    say("tmpfs: pwrite into a new file", fresh);
    say("tmpfs: pwrite into pages that exist", again);
    say("tmpfs: allocation, the difference", (struct cost){fresh.wall - again.wall, fresh.cpu - again.cpu});
    files[0] = files[1] = other;
    say("tmpfs: pwrite into a new file by two threads", measure(empty_other, write_halves));
    int third = temporary("/dev/shm", 0);
    files[1] = third;
    say("tmpfs: pwrite into two new files by two threads", measure(empty_both, write_halves));
    close(third);
    say("tmpfs: pages made by MADV_POPULATE_WRITE of a mapping", measure(empty_other, fill_by_faults));
    struct cost zeros = measure(make_zeros, read_all_words), zeros_copied = measure(NULL, read_other);
    say("zero pages: copy", zeros_copied);
    struct cost words = {zeros.wall - zeros_copied.wall, zeros.cpu - zeros_copied.cpu};
    say("zero pages: the look at all of their words", words);
    must(ftruncate(other, 0) == 0, "ftruncate");
    say("SEEK_HOLE over all pages", measure(NULL, find_hole));
    say("mapping: mmap 1 MiB, populated, and munmap", measure(NULL, map_all_windows));
    say("mapping: the same by two threads, halves", measure(NULL, map_halves));
    say("mapping: mmap and munmap, without a page", measure(NULL, map_nothing));
    say("mapping: munmap alone", measure(keep_windows, drop_windows));
    say("mapping: MADV_POPULATE_READ of 1 MiB, MADV_DONTNEED, by two threads", measure(unmap_all, drop_halves));
    say("mapping: look at 16 bytes of each page through a pipe", measure(map_all, look));
    renew_disk();
    map_all();
    struct cost huge = measure(NULL, write_from_buffers), small = measure(map_all, write_from_mapping);
    say("disk: direct writes of 1 MiB from a buffer of huge pages", huge);
    say("disk: the same, into a new file of full size", measure(empty_disk, write_from_buffers));
    say("disk: direct writes of 1 MiB from the mapping of 4 KiB pages", small);
    say("disk: pins and pieces, the difference", (struct cost){small.wall - huge.wall, small.cpu - huge.cpu});
    struct cost requests = measure(NULL, write_small);
    double many = (double)(SIZE / 8 / (16 * PAGE)), few = (double)(SIZE / 8 / PIECE);
    printf("%-66s %7.1f us\n", "disk: CPU time of one more request (64 KiB against 1 MiB)",
           (requests.cpu - huge.cpu / 8) / (many - few) * 1e6);
    struct cost synced = measure(renew_disk, sync_disk);
    printf("%-66s %7.2f ms\n", "disk: fsync after direct writes into a new file of full size", synced.wall * 1e3);
    return 0;
}
