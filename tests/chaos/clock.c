/* A wall clock that may be wrong, for one process: LD_PRELOAD. The file CHAOS_CLOCK holds, as
 * eight bytes, by how many nanoseconds it is ahead; it is mapped, so that a change is seen at
 * once and costs nothing to look for. Monotonic clocks are left alone.
 *
 * Debian 12's libfaketime 0.9.10 can't be used: with the monotonic clock left alone, Python's
 * sleep fails with EINVAL, and librdkafka hangs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000LL
/* Waits name their end by either clock; the monotonic one begins at the machine's start. */
#define REALTIME_FROM 1000000000LL

static const volatile int64_t none = 0, *ahead = &none;

__attribute__((constructor)) static void map_file(void) {
  const char *path = getenv("CHAOS_CLOCK");
  int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
  if (file < 0) return;
  void *mapped = mmap(NULL, sizeof *ahead, PROT_READ, MAP_SHARED, file, 0);
  if (mapped != MAP_FAILED) ahead = mapped;
  close(file);
}

static void shift(struct timespec *time, int64_t by) {
  int64_t nanoseconds = time->tv_nsec + by % SECOND;
  time->tv_sec += by / SECOND + (nanoseconds >= SECOND) - (nanoseconds < 0);
  time->tv_nsec = (nanoseconds + SECOND) % SECOND;
}

static void *next(const char *name) {
  /* Of a condition variable's functions there is a second set, for programs of 2002. */
  void *found = dlvsym(RTLD_NEXT, name, "GLIBC_2.3.2");
  return found ? found : dlsym(RTLD_NEXT, name);
}

int clock_gettime(clockid_t clock, struct timespec *time) {
  static int (*real)(clockid_t, struct timespec *);
  if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
  int failed = real(clock, time);
  if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) shift(time, *ahead);
  return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
  struct timespec time;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &time);
  now->tv_sec = time.tv_sec;
  now->tv_usec = time.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *now) {
  struct timespec time;
  clock_gettime(CLOCK_REALTIME, &time);
  if (now) *now = time.tv_sec;
  return time.tv_sec;
}

int timespec_get(struct timespec *time, int base) {
  return base == TIME_UTC && !clock_gettime(CLOCK_REALTIME, time) ? base : 0;
}

/* The kernel ends waits by the right clock. */
static const struct timespec *true_end(const struct timespec *end, struct timespec *shifted) {
  if (!end || end->tv_sec < REALTIME_FROM) return end;
  *shifted = *end;
  shift(shifted, -*ahead);
  return shifted;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict end) {
  static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  struct timespec shifted;
  if (!real) real = next("pthread_cond_timedwait");
  return real(condition, mutex, true_end(end, &shifted));
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex,
                  const struct timespec *restrict end) {
  static int (*real)(cnd_t *, mtx_t *, const struct timespec *);
  struct timespec shifted;
  if (!real) real = next("cnd_timedwait");
  return real(condition, mutex, true_end(end, &shifted));
}

int sem_timedwait(sem_t *restrict semaphore, const struct timespec *restrict end) {
  static int (*real)(sem_t *, const struct timespec *);
  struct timespec shifted;
  if (!real) real = next("sem_timedwait");
  return real(semaphore, true_end(end, &shifted));
}
