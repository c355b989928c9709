# The example programs, each built by the Makefile that lies beside them, and the demonstration.

EXAMPLE_NAMES = $(basename $(notdir $(wildcard c_examples/*.c)))
EXAMPLE_PROGRAMS = $(EXAMPLE_NAMES:%=$(BUILD)/examples/%)
TEST_PREREQUISITES += $(EXAMPLE_PROGRAMS)

.PHONY: examples demo

examples: $(EXAMPLE_PROGRAMS) ## build the example programs

demo: all $(EXAMPLE_PROGRAMS) ## build everything and show it at work
	@c_examples/demo.sh $(BUILD)/examples

# Paths as they are seen from the examples' folder.
UP = $(if $(filter /%,$(BUILD)),,../)

$(BUILD)/examples/%: c_examples/%.c c_examples/Makefile $(HEADER) $(BUILD)/lib/.linked
	@$(MAKE) --no-print-directory -B -C c_examples OUT=$(UP)$(BUILD)/examples SOCK_CFLAGS="-I../include" \
	    SOCK_LIBS="-L$(UP)$(BUILD)/lib -Wl,-rpath,'$(SHARED_FOLDER)' -lsock" $(UP)$@
