/*
 * A disk that fails, and what it holds: put before a server by LD_PRELOAD, `durability/power_loss.rs` is its user.
 *
 * The real files are what the operating system shows (its page cache). Of each file in FAILING_DISK_DATA this library
 * remembers in FAILING_DISK_IMAGE which pages were written and not synced, and a sync copies them to the image:
 *
 *   ids        which file is which: lines "INODE ID", the last one counts; ID 0 is a file that was removed
 *   ID.disk    what the disk has of it
 *   ID.dirty   one byte for each page of 4,096: 1 where the file has what the disk may lack
 *   names      which files the disk knows by name: lines "NAME ID", written by a sync of the folder
 *   fail       made by the test: the next sync of a file whose name ends as this file says fails with EIO, and forgets
 *              which pages were dirty, as Linux does; so that a later sync succeeds and leaves them out
 *
 * With FAILING_DISK_EXIT_AFTER=N the process ends instead of its Nth write to one of these files. Nothing is really synced.
 * Indices, locks and sockets are left alone, and one process at a time uses it.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, FILES_MAX = 256, PAGES_MAX = 1 << 18, ENDED = 137, NAME_BYTES = 256 };

static struct tracked {
    ino_t inode;
    int id; /* 0: not in use */
    unsigned char *dirty;
} files[FILES_MAX];

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char data[PATH_MAX], image[PATH_MAX];
static int last_id;
static long writes_left = -1;

static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static ssize_t (*real_write)(int, const void *, size_t);
static int (*real_rename)(const char *, const char *);
static int (*real_unlink)(const char *);

static void fail(const char *what) {
    char text[512];
    int bytes = snprintf(text, sizeof text, "failing_disk: %s: %s\n", what, strerror(errno));
    if (real_write && real_write(2, text, (size_t)bytes) < 0) {
        _exit(99);
    }
    _exit(99);
}

static void path_in_image(char *path, const char *format, ...) {
    char name[NAME_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    if (snprintf(path, PATH_MAX, "%s/%s", image, name) >= PATH_MAX) {
        fail("a path is too long");
    }
}

static int ends_with(const char *text, const char *end) {
    size_t all = strlen(text), part = strlen(end);
    return all >= part && strcmp(text + all - part, end) == 0;
}

/* The name of a file that belongs to the image; NULL for every other path. */
static const char *name_of(const char *path) {
    size_t bytes = strlen(data);
    if (bytes == 0 || strncmp(path, data, bytes) != 0 || path[bytes] != '/') {
        return NULL;
    }
    const char *name = path + bytes + 1;
    if (*name == 0 || strchr(name, '/') || ends_with(name, "-shm") || ends_with(name, ".lock") ||
        ends_with(name, ".sock")) {
        return NULL;
    }
    return name;
}

static void map_dirty(struct tracked *file) {
    char path[PATH_MAX];
    path_in_image(path, "%d.dirty", file->id);
    int map = open(path, O_RDWR | O_CREAT, 0600);
    if (map < 0 || ftruncate(map, PAGES_MAX) < 0) {
        fail("the map of a file");
    }
    file->dirty = mmap(NULL, PAGES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED, map, 0);
    if (file->dirty == MAP_FAILED) {
        fail("the map of a file");
    }
    close(map);
}

static void write_down(ino_t inode, int id) {
    char path[PATH_MAX];
    path_in_image(path, "ids");
    FILE *ids = fopen(path, "a");
    if (!ids || fprintf(ids, "%llu %d\n", (unsigned long long)inode, id) < 0 || fclose(ids) != 0) {
        fail("ids");
    }
}

static struct tracked *find(ino_t inode) {
    for (int i = 0; i < FILES_MAX; i++) {
        if (files[i].id != 0 && files[i].inode == inode) {
            return &files[i];
        }
    }
    return NULL;
}

static struct tracked *add(ino_t inode, int id) {
    for (int i = 0; i < FILES_MAX; i++) {
        if (files[i].id == 0) {
            files[i].inode = inode;
            files[i].id = id;
            map_dirty(&files[i]);
            return &files[i];
        }
    }
    fail("too many files");
    return NULL;
}

static struct tracked *make(ino_t inode) {
    char path[PATH_MAX];
    struct tracked *file = add(inode, ++last_id);
    write_down(inode, file->id);
    path_in_image(path, "%d.disk", file->id);
    int disk = open(path, O_RDWR | O_CREAT, 0600);
    if (disk < 0) {
        fail("an image");
    }
    close(disk);
    return file;
}

/* The file behind a descriptor, with its name; NULL where it is not one of the image. */
static struct tracked *behind(int fd, char *name) {
    struct stat status;
    if (image[0] == 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        return NULL;
    }
    char link[64], path[PATH_MAX];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = readlink(link, path, sizeof path - 1);
    if (bytes < 0) {
        return NULL;
    }
    path[bytes] = 0;
    const char *own = name_of(path);
    if (!own) {
        return NULL;
    }
    snprintf(name, NAME_BYTES, "%s", own);
    struct tracked *file = find(status.st_ino);
    return file ? file : make(status.st_ino);
}

static void forget(const char *path) {
    struct stat status;
    if (image[0] == 0 || !name_of(path) || stat(path, &status) < 0) {
        return;
    }
    struct tracked *file = find(status.st_ino);
    if (file) {
        munmap(file->dirty, PAGES_MAX);
        file->id = 0;
        write_down(status.st_ino, 0);
    }
}

/* Copies the pages that are marked, or all of them. */
static void to_disk(int fd, struct tracked *file, int all) {
    char path[PATH_MAX], page[PAGE_BYTES];
    struct stat status;
    path_in_image(path, "%d.disk", file->id);
    int disk = open(path, O_WRONLY);
    if (disk < 0 || fstat(fd, &status) < 0 || status.st_size > (off_t)PAGES_MAX * PAGE_BYTES) {
        fail("an image");
    }
    off_t pages = (status.st_size + PAGE_BYTES - 1) / PAGE_BYTES;
    /* A page that cannot be read by this descriptor is read by another one. */
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int from = open(link, O_RDONLY);
    for (off_t i = 0; i < pages; i++) {
        if (!all && !file->dirty[i]) {
            continue;
        }
        file->dirty[i] = 0;
        ssize_t bytes = pread(from, page, sizeof page, i * PAGE_BYTES);
        if (bytes < 0 || real_pwrite(disk, page, (size_t)bytes, i * PAGE_BYTES) != bytes) {
            fail("a page");
        }
    }
    if (ftruncate(disk, status.st_size) < 0) {
        fail("an image");
    }
    close(from);
    close(disk);
}

/* Calls `each` for every file of the image that the folder shows. */
static void in_folder(void (*each)(const char *, struct stat *, void *), void *argument) {
    DIR *folder = opendir(data);
    if (!folder) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        char path[PATH_MAX];
        struct stat status;
        if (snprintf(path, sizeof path, "%s/%s", data, entry->d_name) < PATH_MAX && name_of(path) &&
            stat(path, &status) == 0 && S_ISREG(status.st_mode)) {
            each(path, &status, argument);
        }
    }
    closedir(folder);
}

static void write_name(const char *path, struct stat *status, void *names) {
    struct tracked *file = find(status->st_ino);
    file = file ? file : make(status->st_ino);
    fprintf(names, "%s %d\n", name_of(path), file->id);
}

static void names_to_disk(void) {
    char path[PATH_MAX];
    path_in_image(path, "names");
    FILE *names = fopen(path, "w");
    if (!names) {
        fail("names");
    }
    in_folder(write_name, names);
    if (fclose(names) != 0) {
        fail("names");
    }
}

/* What is there at the very beginning is on the disk. */
static void take_over(const char *path, struct stat *status, void *nothing) {
    (void)nothing;
    int fd = open(path, O_RDONLY);
    to_disk(fd, make(status->st_ino), 1);
    close(fd);
}

__attribute__((constructor)) static void begin(void) {
    real_pwrite = (ssize_t(*)(int, const void *, size_t, off_t))dlsym(RTLD_NEXT, "pwrite64");
    real_write = (ssize_t(*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    real_rename = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    real_unlink = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
    const char *folder = getenv("FAILING_DISK_DATA"), *to = getenv("FAILING_DISK_IMAGE"),
               *exit_after = getenv("FAILING_DISK_EXIT_AFTER");
    if (!folder || !to || !realpath(folder, data) || !realpath(to, image)) {
        fail("FAILING_DISK_DATA and FAILING_DISK_IMAGE name folders");
    }
    writes_left = exit_after ? atol(exit_after) : -1;
    char path[PATH_MAX];
    path_in_image(path, "ids");
    FILE *ids = fopen(path, "r");
    if (!ids) {
        in_folder(take_over, NULL);
        names_to_disk();
        return;
    }
    unsigned long long inode;
    int id;
    while (fscanf(ids, "%llu %d", &inode, &id) == 2) {
        struct tracked *file = find((ino_t)inode);
        if (id == 0 && file) {
            munmap(file->dirty, PAGES_MAX);
            file->id = 0;
        } else if (id != 0) {
            add((ino_t)inode, id);
            last_id = id > last_id ? id : last_id;
        }
    }
    fclose(ids);
}

static void mark(int fd, off_t offset, ssize_t bytes) {
    char name[NAME_BYTES];
    struct tracked *file = behind(fd, name);
    if (!file || bytes <= 0) {
        return;
    }
    for (off_t page = offset / PAGE_BYTES; page * PAGE_BYTES < offset + bytes; page++) {
        if (page >= PAGES_MAX) {
            fail("a file is too long");
        }
        file->dirty[page] = 1;
    }
}

/* Ends the process where its time has come. */
static void count_write(int fd) {
    char name[NAME_BYTES];
    if (writes_left >= 0 && behind(fd, name) && writes_left-- == 0) {
        _exit(ENDED);
    }
}

ssize_t pwrite64(int fd, const void *bytes, size_t count, off_t offset) {
    pthread_mutex_lock(&lock);
    count_write(fd);
    ssize_t written = real_pwrite(fd, bytes, count, offset);
    int error = errno;
    mark(fd, offset, written);
    pthread_mutex_unlock(&lock);
    errno = error;
    return written;
}

ssize_t write(int fd, const void *bytes, size_t count) {
    struct stat status;
    if (image[0] == 0 || fstat(fd, &status) < 0 || !S_ISREG(status.st_mode)) {
        return real_write(fd, bytes, count);
    }
    pthread_mutex_lock(&lock);
    count_write(fd);
    ssize_t written = real_write(fd, bytes, count);
    int error = errno;
    if (written > 0) {
        mark(fd, lseek(fd, 0, SEEK_CUR) - written, written);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return written;
}

int rename(const char *from, const char *to) {
    pthread_mutex_lock(&lock);
    forget(to);
    int result = real_rename(from, to);
    pthread_mutex_unlock(&lock);
    return result;
}

int unlink(const char *path) {
    pthread_mutex_lock(&lock);
    forget(path);
    int result = real_unlink(path);
    pthread_mutex_unlock(&lock);
    return result;
}

/* Whether this sync is to fail; once. */
static int fails(const char *name) {
    char path[PATH_MAX], end[NAME_BYTES] = "";
    path_in_image(path, "fail");
    FILE *order = fopen(path, "r");
    if (!order) {
        return 0;
    }
    int is_meant = fscanf(order, "%255s", end) == 1 && ends_with(name, end);
    fclose(order);
    return is_meant && real_unlink(path) == 0;
}

static int sync_file(int fd) {
    char name[NAME_BYTES], path[PATH_MAX], link[64];
    int result = 0;
    pthread_mutex_lock(&lock);
    struct tracked *file = behind(fd, name);
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t bytes = file ? -1 : readlink(link, path, sizeof path - 1);
    if (file && fails(name)) {
        memset(file->dirty, 0, PAGES_MAX);
        result = -1;
    } else if (file) {
        to_disk(fd, file, 0);
    } else if (bytes > 0 && image[0] != 0) {
        path[bytes] = 0;
        if (strcmp(path, data) == 0) {
            names_to_disk();
        }
    }
    pthread_mutex_unlock(&lock);
    if (result < 0) {
        errno = EIO;
    }
    return result;
}

int fsync(int fd) {
    return sync_file(fd);
}

int fdatasync(int fd) {
    return sync_file(fd);
}
