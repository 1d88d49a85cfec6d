# SPDX-License-Identifier: GPL-2.0
# For users: builds and installs the module for the running kernel; see Kbuild for what it is made of.
#   make [KDIR=/path/to/build] [W=e] [CLIPPY=1]
#   sudo make install
# For developers: everything else happens in the lab (scripts/lab), which makes itself on first use.
#   make demo     the module at work in a guest, with a picture
#   make test     the suite but for six long tests, and a slice of the next
#   make debug-lane   the whole suite on a kernel with KASAN, lockdep, kmemleak, KUnit, ...: built on first use
#   make soak     the long runs on that kernel: hundreds of detaches and set failures, ten minutes of everything at once;
#                 and controller-guest
#   make faults   the faults of the C driver, provoked with both drivers; makes the table in README.md
#   make sim      the controller on simulated disks: figures and plots
#   make bench    instructions per request beside those of the C driver; makes the table in docs/bench.md (PROFILE=ROW: by function)
#   make bench-latency   writeback and a user's latencies on the model of a slow disk, with both drivers; table in docs/bench.md
#   make bench-core   times of src/core on this machine (criterion)
#   make controller-guest   the controller in a guest, with default settings: ten minutes of its time with each law
#   make check    the part without a guest: format, lints, house rules, host tests
#   make lab-modules [KERNEL=7.3]   the module, built without a warning against a stock Debian kernel

KDIR ?= /lib/modules/$(shell uname -r)/build
KERNEL ?= 7.2
comma := ,

.PHONY: modules install clean check test debug-lane soak demo faults sim controller-guest bench bench-latency bench-core lab-modules kdir

modules clean:
	$(MAKE) -C $(KDIR) M=$(CURDIR) $@

# To updates/, which depmod prefers to the kernel's own bcache.ko.
install: modules
	$(MAKE) -C $(KDIR) M=$(CURDIR) INSTALL_MOD_DIR=updates modules_install

# Debian's header packages lack the Rust metadata: this makes a KDIR that has it.
kdir:
	scripts/lab kdir-$(KERNEL)

lab-modules:
	scripts/kbuild --kernel $(KERNEL) W=e modules

check:
	scripts/check

test: check
	scripts/run-tests
	scripts/debug-lane --slice

debug-lane:
	scripts/debug-lane

soak:
	scripts/soak

# A guest that shows the driver at work, and a picture of it in demo/.
demo:
	scripts/demo

# Half an hour: with C each fault has a guest of its own.
faults:
	scripts/faults

# The controller of the writeback rate on simulated disks, beside C's: figures, and plots in sim/ and docs/.
sim:
	scripts/sim --docs

# Instructions per request beside those of the C driver, in three boots: 5 to 15 minutes. Table and picture go to docs/.
# PROFILE=ROW: where a row's instructions are, from one boot. Files go to bench/.
bench:
	scripts/bench $(if $(PROFILE),--profile $(PROFILE),--seeds 1$(comma)2$(comma)3 --docs)

# Milliseconds instead of instructions: the guest's own, so that they are the same on every machine.
bench-latency:
	scripts/bench-latency

# Times of this machine: to compare two states of src/core while nothing else runs.
bench-core:
	scripts/bench-core

# The controller in guests, C's driver and this one, compared with the simulation: figures, and plots in controller-guest/ and
# docs/. Ten minutes.
controller-guest:
	CONTROLLER_OUT=$(CURDIR)/controller-guest scripts/run-tests -j1 -v controller_long
