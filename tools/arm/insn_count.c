/* A plugin for qemu's user emulation: how often each block of guest instructions runs between two marks.
 *
 * The guest sets the marks with a system call that Linux does not have; everywhere else it fails and does nothing:
 *
 *     syscall(24301, 1)     counting begins
 *     syscall(24301, 2)     counting ends; the blocks are written, one a line: address, times run, instruction words
 *
 *     gcc -shared -fPIC -O2 -o libinsn_count.so insn_count.c
 *     qemu-aarch64 -plugin libinsn_count.so,out=FILE ...       (or QEMU_PLUGIN=libinsn_count.so,out=FILE)
 *
 * Counts are exact for a guest of one thread. qemu must be a dynamically linked one: a static one loads no plugins. */
#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is used of qemu's plugin interface, version 1; Debian packages no header for it. */
struct qemu_plugin_tb;
struct qemu_plugin_insn;
struct qemu_info_t;
typedef uint64_t plugin_id;
enum { INLINE_ADD_U64 = 0 };
extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id, void (*)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int op, void *counter, uint64_t step);
typedef void (*syscall_cb)(plugin_id, unsigned cpu, int64_t number, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                           uint64_t, uint64_t, uint64_t);
extern void qemu_plugin_register_vcpu_syscall_cb(plugin_id, syscall_cb);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { MARK = 24301, BEGIN = 1, END = 2 };

struct block {
    struct block *next;
    uint64_t address, runs, runs_at_begin;
    size_t length;
    uint32_t words[];
};
static struct block *blocks; /* all ever translated; the same code may be there twice */
static FILE *out;

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
    size_t length = qemu_plugin_tb_n_insns(tb);
    struct block *b = calloc(1, sizeof *b + length * sizeof b->words[0]);
    (void)id;
    if (!b) abort();
    b->address = qemu_plugin_tb_vaddr(tb);
    b->length = length;
    for (size_t i = 0; i < length; i++) memcpy(&b->words[i], qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), 4);
    b->next = __atomic_load_n(&blocks, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(&blocks, &b->next, b, 1, __ATOMIC_RELEASE, __ATOMIC_RELAXED)) {}
    qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &b->runs, 1);
}

static void write_blocks(void)
{
    for (struct block *b = blocks; b; b = b->next) {
        if (b->runs == b->runs_at_begin) continue;
        fprintf(out, "%" PRIx64 " %" PRIu64, b->address, b->runs - b->runs_at_begin);
        for (size_t i = 0; i < b->length; i++) fprintf(out, " %08" PRIx32, b->words[i]);
        fputc('\n', out);
    }
    fflush(out);
}

static void system_call(plugin_id id, unsigned cpu, int64_t number, uint64_t what, uint64_t a2, uint64_t a3,
                        uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)cpu, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number != MARK) return;
    if (what == BEGIN)
        for (struct block *b = blocks; b; b = b->next) b->runs_at_begin = b->runs;
    if (what == END) write_blocks();
}

__attribute__((visibility("default")))
int qemu_plugin_install(plugin_id id, const struct qemu_info_t *info, int argc, char **argv)
{
    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) || !(out = fopen(argv[0] + 4, "w"))) {
        fprintf(stderr, "insn_count: needs out=FILE, a file that can be written\n");
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, system_call);
    return 0;
}
