# make install, uninstall and man. Folders follow PREFIX; DESTDIR is put before all of them, for packagers.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
MANDIR ?= $(PREFIX)/share/man
DOCDIR ?= $(PREFIX)/share/doc/libsock
INSTALL ?= install
STRIP ?= strip
PYTHON ?= python3

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
VERSION_MAJOR := $(firstword $(subst ., ,$(VERSION)))
SONAME := libsock.so.$(VERSION_MAJOR)
# The compiler's driver brings the unwinder itself, and -static has no libgcc_s; libc is never named.
PRIVATE_LIBRARIES = $(filter-out -lc -lgcc_s,$(STATIC_LIBRARIES))

# Where sudo finds no cargo, what `make` built before is installed.
ifeq ($(shell command -v $(firstword $(CARGO)) 2>/dev/null),)
ifneq ($(wildcard $(LIBRARY_SHARED)),)
CARGO = true
endif
endif

PACKAGED = $(BUILD)/packaging
INSTALLED = $(DESTDIR)$(LIBDIR)
INSTALLED_MANUAL = $(DESTDIR)$(MANDIR)
INSTALLED_EXAMPLES = $(DESTDIR)$(DOCDIR)/examples
EXAMPLES = $(wildcard c_examples/*.c c_examples/*.h c_examples/*.py c_examples/Makefile c_examples/README.md)

.PHONY: install uninstall man deb abi

man: $(BUILD)/man/.made ## write the manual pages from the header into build/man

$(BUILD)/man/.made: man/generate $(HEADER) packaging/debian/changelog
	rm -rf $(@D)
	$(PYTHON) man/generate $(HEADER) $(@D)
	@touch $@

$(PACKAGED)/libsock.a: $(LIBRARY_STATIC) packaging/static-library
	packaging/static-library $< $@

# Paths under the prefix are written relative to it, so that pkg-config --define-prefix and moved trees work.
$(PACKAGED)/sock.pc: packaging/sock.pc.in FORCE
	@mkdir -p $(@D)
	sed -e 's|@prefix@|$(PREFIX)|' -e 's|@libdir@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
	    -e 's|@includedir@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|' \
	    -e 's|@version@|$(VERSION)|' -e 's|@private@|$(PRIVATE_LIBRARIES)|' $< > $@

empty :=
space := $(empty) $(empty)

$(PACKAGED)/%.cmake: packaging/%.cmake.in FORCE
	@mkdir -p $(@D)
	sed -e 's|@version@|$(VERSION)|' -e 's|@major@|$(VERSION_MAJOR)|' -e 's|@soname@|$(SONAME)|' \
	    -e 's|@private_cmake@|$(subst $(space),;,$(patsubst -l%,%,$(PRIVATE_LIBRARIES)))|' \
	    -e "s|@prefix_from_here@|$$(realpath -ms --relative-to=$(LIBDIR)/cmake/sock $(PREFIX))|" \
	    -e "s|@includedir_from_prefix@|$$(realpath -ms --relative-to=$(PREFIX) $(INCLUDEDIR))|" \
	    -e "s|@pointer_bytes@|$$(echo __SIZEOF_POINTER__ | $(CC) -E -P -)|" $< > $@

# The loader looks in the system's folders through a cache.
REFRESHES_LOADER = $(if $(DESTDIR),,$(filter /usr /usr/local,$(PREFIX)))

install: $(LIBRARY_SHARED) $(HEADER) $(PACKAGED)/libsock.a $(PACKAGED)/sock.pc ## install under $(DESTDIR)$(PREFIX)
install: $(PACKAGED)/sock-config.cmake $(PACKAGED)/sock-config-version.cmake $(BUILD)/man/.made
	$(INSTALL) -d "$(INSTALLED)/pkgconfig" "$(INSTALLED)/cmake/sock" "$(DESTDIR)$(INCLUDEDIR)" \
	    "$(INSTALLED_MANUAL)/man3" "$(INSTALLED_MANUAL)/man7" "$(INSTALLED_EXAMPLES)"
	$(INSTALL) -m 644 include/sock.h include/sock.hpp "$(DESTDIR)$(INCLUDEDIR)"
	$(INSTALL) -m 644 $(LIBRARY_SHARED) "$(INSTALLED)/libsock.so.$(VERSION)"
	$(STRIP) --strip-unneeded "$(INSTALLED)/libsock.so.$(VERSION)"
	ln -sf libsock.so.$(VERSION) "$(INSTALLED)/$(SONAME)"
	ln -sf $(SONAME) "$(INSTALLED)/libsock.so"
	$(INSTALL) -m 644 $(PACKAGED)/libsock.a "$(INSTALLED)"
	$(INSTALL) -m 644 $(PACKAGED)/sock.pc "$(INSTALLED)/pkgconfig"
	$(INSTALL) -m 644 $(PACKAGED)/sock-config.cmake $(PACKAGED)/sock-config-version.cmake "$(INSTALLED)/cmake/sock"
	$(INSTALL) -m 644 $(BUILD)/man/man3/*.3 "$(INSTALLED_MANUAL)/man3"
	$(INSTALL) -m 644 $(BUILD)/man/man7/*.7 "$(INSTALLED_MANUAL)/man7"
	$(INSTALL) -m 644 $(EXAMPLES) "$(INSTALLED_EXAMPLES)"
	$(if $(REFRESHES_LOADER),-ldconfig)

# Only what install wrote, and the folders that it may have made, if they are empty now.
uninstall: $(BUILD)/man/.made ## remove what install wrote
	rm -f "$(DESTDIR)$(INCLUDEDIR)/sock.h" "$(DESTDIR)$(INCLUDEDIR)/sock.hpp" \
	    "$(INSTALLED)/libsock.so.$(VERSION)" "$(INSTALLED)/$(SONAME)" "$(INSTALLED)/libsock.so" \
	    "$(INSTALLED)/libsock.a" "$(INSTALLED)/pkgconfig/sock.pc" \
	    "$(INSTALLED)/cmake/sock/sock-config.cmake" "$(INSTALLED)/cmake/sock/sock-config-version.cmake"
	for file in $(notdir $(EXAMPLES)); do rm -f "$(INSTALLED_EXAMPLES)/$$file"; done
	for page in $$(cd $(BUILD)/man && echo man3/*.3 man7/*.7); do rm -f "$(INSTALLED_MANUAL)/$$page"; done
	-rmdir --ignore-fail-on-non-empty "$(INSTALLED_EXAMPLES)" "$(DESTDIR)$(DOCDIR)" "$(INSTALLED)/cmake/sock" \
	    "$(INSTALLED)/cmake" "$(INSTALLED)/pkgconfig" "$(INSTALLED_MANUAL)/man3" "$(INSTALLED_MANUAL)/man7"

deb: ## build the Debian packages into build/debian
	packaging/debian-package

abi: $(LIBRARY_SHARED) $(LIBRARY_STATIC) $(HEADER) ## rewrite the record of the ABI and the sizes, after an intended change
	packaging/abi/write
