/* A fixed set of threads that run one step together: the caller and its workers take the step's shares, numbered
   0 .. n_threads - 1, from one counter until none is left.

   Nobody waits for a thread that has not begun: on a busy machine, where a worker may not get a core for milliseconds, the
   caller does its share for it. The counter and the number of the step lie in one word, so a worker that comes late can
   never take a share of a step that is over. A worker spins for a while (the next step of a model comes within
   microseconds) and then sleeps in the kernel, so an idle Program costs nothing. */
#ifndef EDGERT_POOL_H
#define EDGERT_POOL_H

#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "step.h"

#define POOL_SPINS 2000 /* 20 to 80 us: longer than any pause between two steps, far shorter than a scheduler tick */

#if defined(__x86_64__) || defined(__i386__)
#define pool_relax() __builtin_ia32_pause()
#elif defined(__aarch64__)
#define pool_relax() __asm__ __volatile__("yield")
#else
#define pool_relax() ((void)0)
#endif

typedef struct edgert_pool {
    const edgert_step *_Atomic step;
    char *scratch;
    size_t scratch_stride;
    int n_threads;
    _Atomic uint64_t ticket; /* number of the step << 32 | next share to take */
    _Atomic int done;        /* shares finished */
    _Atomic int generation;  /* low word of the step's number, for workers to sleep on; -1 after stopping */
    _Atomic int sleepers;
    pid_t process;           /* threads do not survive a fork: in the child the caller takes all shares */
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

/* Take shares of the current step until none is left. scratch: this thread's own. */
static void pool_take_shares(edgert_pool *pool, char *scratch)
{
    uint64_t ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    while ((int)(uint32_t)ticket < pool->n_threads) {
        /* If the exchange succeeds this was the step of that ticket: a new one is stored only after all shares are done. */
        const edgert_step *step = atomic_load_explicit(&pool->step, memory_order_acquire);
        if (!atomic_compare_exchange_weak_explicit(&pool->ticket, &ticket, ticket + 1, memory_order_acq_rel, memory_order_acquire))
            continue;
        step->kernel(step->params, step->tensors, scratch, (int)(uint32_t)ticket, pool->n_threads);
        atomic_fetch_add_explicit(&pool->done, 1, memory_order_release);
        ticket = atomic_load_explicit(&pool->ticket, memory_order_acquire);
    }
}

static void *pool_worker(void *argument)
{
    pool_worker_args args = *(pool_worker_args *)argument;
    free(argument);
    int seen = 0;
    for (;;) {
        seen = pool_wait_next(args.pool, seen);
        if (seen < 0) return NULL;
        pool_take_shares(args.pool, args.pool->scratch + args.index * args.pool->scratch_stride);
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
    for (int t = 1; t < pool->n_threads && pool->process == getpid(); t++) pthread_join(pool->threads[t], NULL);
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
    pool->n_threads = n_threads;
    pool->process = getpid();
    atomic_store(&pool->ticket, (uint64_t)n_threads); /* nothing to take yet */
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
    if (started == n_threads) return pool;
    pool->n_threads = started;
    pool_stop(pool);
    return NULL;
}

static void pool_run(edgert_pool *pool, const edgert_step *step)
{
    int generation = atomic_load_explicit(&pool->generation, memory_order_relaxed);
    generation = generation == INT_MAX ? 1 : generation + 1;
    uint64_t number = (atomic_load_explicit(&pool->ticket, memory_order_relaxed) >> 32) + 1;
    atomic_store_explicit(&pool->done, 0, memory_order_relaxed);
    atomic_store_explicit(&pool->step, step, memory_order_release);
    atomic_store_explicit(&pool->ticket, number << 32, memory_order_release);
    pool_announce(pool, generation);
    pool_take_shares(pool, pool->scratch);
    for (int spin = 0; atomic_load_explicit(&pool->done, memory_order_acquire) < pool->n_threads; spin++)
        if (spin < POOL_SPINS) pool_relax(); else sched_yield();
}

#endif
