# make docs: the HTML reference in build/docs/html.

DOXYGEN ?= doxygen
REFERENCE = $(BUILD)/docs

.PHONY: docs

docs: $(REFERENCE)/html/index.html ## write the HTML reference into build/docs/html

$(REFERENCE)/html/index.html: make/docs.mk $(wildcard docs/reference/*) man/header.py $(HEADER) include/sock.hpp $(wildcard docs/*.md)
	rm -rf $(REFERENCE)
	mkdir -p $(REFERENCE)/source
	docs/reference/chapters --introduction $(HEADER) > $(REFERENCE)/source/introduction.md
	docs/reference/chapters $(HEADER) > $(REFERENCE)/source/sock.h
	{ cat docs/reference/Doxyfile; echo 'PROJECT_NUMBER = $(VERSION)'; echo 'OUTPUT_DIRECTORY = $(REFERENCE)'; \
	    echo 'INPUT += $(REFERENCE)/source'; echo 'STRIP_FROM_PATH = . $(REFERENCE)/source'; echo 'STRIP_FROM_INC_PATH += $(REFERENCE)/source'; \
	    echo 'USE_MDFILE_AS_MAINPAGE = $(REFERENCE)/source/introduction.md'; } | $(DOXYGEN) -
	# Doxygen keeps the backslash of a bar in a table's cell.
	find $(REFERENCE)/html -name 'md_*.html' -exec sed -i 's/\\|/|/g' {} +
