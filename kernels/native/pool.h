/* A fixed set of threads that run one kernel together: the caller is thread 0, the others wait for the next step.

   A worker spins for a while (the next step of a model comes within microseconds) and then sleeps in the kernel, so an
   idle Program costs nothing. Steps are announced by a counter that only the caller increments; the caller returns when
   every worker has counted itself out. */
#ifndef EDGERT_POOL_H
#define EDGERT_POOL_H

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "step.h"

#define POOL_SPINS 20000 /* about 50 us: longer than any pause between two steps, shorter than a scheduler tick */

#if defined(__x86_64__) || defined(__i386__)
#define pool_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define pool_relax() __asm__ __volatile__("yield")
#else
#define pool_relax() ((void)0)
#endif

typedef struct edgert_pool {
    const edgert_step *step;
    char *scratch;
    size_t scratch_stride;
    int n_threads;
    _Atomic int generation; /* the futex workers sleep on; -1 after stopping */
    _Atomic int sleepers;
    _Atomic int pending;
    pthread_t *threads;
} edgert_pool;

typedef struct { edgert_pool *pool; int index; } pool_worker_args;

static inline long pool_futex(_Atomic int *address, int op, int value)
{
    return syscall(SYS_futex, (int *)address, op | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static int pool_wait_next(edgert_pool *pool, int seen)
{
    int now;
    for (int spin = 0; spin < POOL_SPINS; spin++) {
        now = atomic_load_explicit(&pool->generation, memory_order_acquire);
        if (now != seen) return now;
        pool_relax();
    }
    atomic_fetch_add(&pool->sleepers, 1);
    while ((now = atomic_load(&pool->generation)) == seen) pool_futex(&pool->generation, FUTEX_WAIT, seen);
    atomic_fetch_sub(&pool->sleepers, 1);
    return now;
}

static void *pool_worker(void *argument)
{
    pool_worker_args args = *(pool_worker_args *)argument;
    edgert_pool *pool = args.pool;
    free(argument);
    int seen = 0;
    for (;;) {
        seen = pool_wait_next(pool, seen);
        if (seen < 0) return NULL;
        const edgert_step *step = pool->step;
        step->kernel(step->params, step->tensors, pool->scratch + args.index * pool->scratch_stride, args.index,
                     pool->n_threads);
        atomic_fetch_sub_explicit(&pool->pending, 1, memory_order_release);
    }
}

static inline void pool_announce(edgert_pool *pool, int generation)
{
    atomic_store(&pool->generation, generation);
    if (atomic_load(&pool->sleepers)) pool_futex(&pool->generation, FUTEX_WAKE, INT_MAX);
}

static void pool_stop(edgert_pool *pool)
{
    if (!pool) return;
    pool_announce(pool, -1);
    for (int t = 1; t < pool->n_threads; t++) pthread_join(pool->threads[t], NULL);
    free(pool->threads);
    free(pool);
}

/* Start n_threads - 1 workers. NULL when the system refuses one. Signals stay with the caller's own threads. */
static edgert_pool *pool_start(int n_threads, char *scratch, size_t scratch_stride)
{
    edgert_pool *pool = calloc(1, sizeof *pool);
    if (!pool) return NULL;
    pool->scratch = scratch;
    pool->scratch_stride = scratch_stride;
    pool->threads = calloc(n_threads, sizeof *pool->threads);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int started = 1;
    for (; pool->threads && started < n_threads; started++) {
        pool_worker_args *args = malloc(sizeof *args);
        if (!args) break;
        args->pool = pool;
        args->index = started;
        if (pthread_create(&pool->threads[started], NULL, pool_worker, args)) { free(args); break; }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pool->n_threads = started;
    if (started == n_threads) return pool;
    pool_stop(pool);
    return NULL;
}

static void pool_run(edgert_pool *pool, const edgert_step *step)
{
    pool->step = step;
    atomic_store_explicit(&pool->pending, pool->n_threads - 1, memory_order_relaxed);
    int next = atomic_load_explicit(&pool->generation, memory_order_relaxed) + 1;
    pool_announce(pool, next == INT_MAX ? 1 : next);
    step->kernel(step->params, step->tensors, pool->scratch, 0, pool->n_threads);
    for (int spin = 0; atomic_load_explicit(&pool->pending, memory_order_acquire); spin++)
        if (spin < POOL_SPINS) pool_relax(); else sched_yield();
}

#endif
