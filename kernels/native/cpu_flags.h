/* What this CPU (and its operating system) can run, asked once at load. */
#ifndef EDGERT_CPU_FLAGS_H
#define EDGERT_CPU_FLAGS_H

#if defined(__x86_64__)
static int cpu_has_avx2(void) { return __builtin_cpu_supports("avx2"); }
static int cpu_has_avx512vnni(void)
{
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni");
}
static int cpu_has_neon(void) { return 0; }
static int cpu_has_asimddp(void) { return 0; }
#elif defined(__aarch64__)
#include <asm/hwcap.h>
#include <sys/auxv.h>
static int cpu_has_avx2(void) { return 0; }
static int cpu_has_avx512vnni(void) { return 0; }
static int cpu_has_neon(void) { return (getauxval(AT_HWCAP) & HWCAP_ASIMD) != 0; }
static int cpu_has_asimddp(void) { return (getauxval(AT_HWCAP) & HWCAP_ASIMDDP) != 0; }
#else
static int cpu_has_avx2(void) { return 0; }
static int cpu_has_avx512vnni(void) { return 0; }
static int cpu_has_neon(void) { return 0; }
static int cpu_has_asimddp(void) { return 0; }
#endif

#endif
