// SPDX-License-Identifier: GPL-2.0
/*
 * `mark 1` and `mark 2` of mark.c as a command of the shell itself (enable -f FILE mark): a process for each would cost a
 * million instructions, which is more than some of the work between them. Declared here, as bash's headers are not at hand.
 */
struct word {
	char *text;
	int flags;
};
struct words {
	struct words *next;
	struct word *word;
};
struct builtin {
	const char *name;
	int (*run)(struct words *);
	int flags;
	const char *const *long_doc;
	const char *short_doc;
	void *handle;
};

static int run(struct words *words)
{
	if (words && words->word->text[0] == '1')
		__asm__ volatile(".byte 0x0f, 0x1f, 0x80, 1, 0x00, 0x4b, 0x4d");
	else
		__asm__ volatile(".byte 0x0f, 0x1f, 0x80, 2, 0x00, 0x4b, 0x4d");
	return 0;
}

static const char *const doc[] = { "mark 1|2", 0 };
struct builtin mark_struct = { "mark", run, 1 /* enabled */, doc, "mark 1|2", 0 };
