// SPDX-License-Identifier: GPL-2.0
/* mark 1 begins a bracket of instructions that count.c counts, mark 2 ends it. No C library: it costs few instructions. */
__attribute__((noreturn, used)) static void mark(long *stack)
{
	const char *word = stack[0] == 2 ? (const char *)stack[2] : "";

	if (*word == '1')
		asm volatile(".byte 0x0f, 0x1f, 0x80, 1, 0x00, 0x4b, 0x4d");
	else if (*word == '2')
		asm volatile(".byte 0x0f, 0x1f, 0x80, 2, 0x00, 0x4b, 0x4d");
	for (;;)
		asm volatile("syscall" : : "a"(60), "D"(0) : "rcx", "r11", "memory");
}

asm(".globl _start\n_start:\n\tmov %rsp, %rdi\n\tand $-16, %rsp\n\tcall mark\n");
