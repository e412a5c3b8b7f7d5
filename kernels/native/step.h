/* What a kernel is to the executor. Every kernel of every tier, and every Numba kernel, has this signature:

   params    what bind() computed at load: shapes, packed weights, multipliers; never written
   tensors   the step's inputs, then its outputs; NULL where an optional input is absent
   scratch   this thread's own working memory, 64-byte aligned, as many bytes as the step asked for
   thread    0 .. n_threads - 1; the kernel does its share of the work and no other. n_threads is 1 unless the step is parallel */
#ifndef EDGERT_STEP_H
#define EDGERT_STEP_H

typedef void (*edgert_kernel)(const void *params, char *const *tensors, char *scratch, int thread, int n_threads);

typedef struct {
    edgert_kernel kernel;
    const void *params;
    char *const *tensors;
    int parallel;
} edgert_step;

#endif
