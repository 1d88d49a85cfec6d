# SPDX-License-Identifier: GPL-2.0
# Builds the module against a kernel's build folder; see Kbuild for what it is made of.
#   make KDIR=/path/to/build [W=e] [CLIPPY=1] [modules|install|clean]

KDIR ?= /lib/modules/$(shell uname -r)/build

.PHONY: modules install clean

modules clean:
	$(MAKE) -C $(KDIR) M=$(CURDIR) $@

# To updates/, which depmod prefers to the kernel's own bcache.ko.
install: modules
	$(MAKE) -C $(KDIR) M=$(CURDIR) INSTALL_MOD_DIR=updates modules_install
