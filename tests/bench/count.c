// SPDX-License-Identifier: GPL-2.0
/*
 * A TCG plugin of QEMU 9.1 and later that counts the instructions of a guest between two marks.
 *
 * A mark is an instruction that does nothing, `nopl 0x4d4b00NN(%rax)` (mark.c): 1 begins a bracket, 2 ends it. Brackets
 * nest: several jobs may mark the same work, what counts is from the first begin to the last end. At the end of a bracket
 * the file out=FILE gets
 *	bracket N
 *	user COUNT
 *	ADDRESS COUNT		for each block of the kernel and its modules that ran
 *	end
 * Which module or function an address belongs to is decided afterwards (report.py). A block counts whole when it is
 * entered: one that a page fault leaves in the middle counts too much, in every run alike. Of an instruction with a
 * repeat prefix each turn counts, as in the guest's own clock under -icount.
 *
 * Debian ships no header of the plugin interface: what is used of it is declared here.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { CB_NO_REGS };

extern void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id, void (*cb)(plugin_id, struct qemu_plugin_tb *));
extern void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*cb)(unsigned int, void *), int flags, void *data);
extern void qemu_plugin_register_vcpu_insn_exec_cb(struct qemu_plugin_insn *insn, void (*cb)(unsigned int, void *), int flags, void *data);
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
extern uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t i);
extern size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
extern size_t qemu_plugin_insn_data(const struct qemu_plugin_insn *insn, void *to, size_t len);

EXPORT int qemu_plugin_version = 4;

/* A block as QEMU translated it. The same code may be translated again: each translation counts for itself. */
struct block {
	uint64_t start, instructions, count;
	struct block *next;
};

static struct block *blocks;
static FILE *out;
static unsigned int depth, brackets;

static void executed(unsigned int cpu, void *data)
{
	struct block *b = data;

	b->count += b->instructions;
}

static void begin(void)
{
	if (depth++)
		return;
	for (struct block *b = blocks; b; b = b->next)
		b->count = 0;
}

static void end(void)
{
	uint64_t user = 0;

	if (!depth || --depth)
		return;
	fprintf(out, "bracket %u\n", brackets++);
	for (struct block *b = blocks; b; b = b->next) {
		if (b->start >> 63 == 0)
			user += b->count;
		else if (b->count)
			fprintf(out, "%" PRIx64 " %" PRIu64 "\n", b->start, b->count);
	}
	fprintf(out, "user %" PRIu64 "\nend\n", user);
	fflush(out);
}

static void marked(unsigned int cpu, void *data)
{
	if ((uintptr_t)data == 1)
		begin();
	else
		end();
}

static void translated(plugin_id id, struct qemu_plugin_tb *tb)
{
	static const unsigned char head[] = { 0x0f, 0x1f, 0x80 }, tail[] = { 0x00, 0x4b, 0x4d };
	size_t n = qemu_plugin_tb_n_insns(tb);
	struct block *b = malloc(sizeof(*b));

	if (!b)
		abort();
	*b = (struct block){ .start = qemu_plugin_tb_vaddr(tb), .instructions = n, .next = blocks };
	blocks = b;
	qemu_plugin_register_vcpu_tb_exec_cb(tb, executed, CB_NO_REGS, b);
	if (b->start >> 63)
		return;
	for (size_t i = 0; i < n; i++) {
		struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
		unsigned char code[7];

		if (qemu_plugin_insn_size(insn) != sizeof(code))
			continue;
		qemu_plugin_insn_data(insn, code, sizeof(code));
		if (!memcmp(code, head, 3) && !memcmp(code + 4, tail, 3))
			qemu_plugin_register_vcpu_insn_exec_cb(insn, marked, CB_NO_REGS, (void *)(uintptr_t)code[3]);
	}
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv)
{
	if (argc != 1 || strncmp(argv[0], "out=", 4))
		return -1;
	out = fopen(argv[0] + 4, "w");
	if (!out)
		return -1;
	qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
	return 0;
}
