# Failing system calls and allocations on purpose: a shim between libsock.so and the C library.

FAULT_PROGRAMS = $(BUILD)/tests/faults/loop $(BUILD)/tests/faults/injected
TEST_PREREQUISITES += $(FAULT_PROGRAMS)

.PHONY: check-faults check-faults-sample

check-faults: all $(FAULT_PROGRAMS) ## the whole fault loop
	SOCK_TEST_DEEP=1 $(BUILD)/tests/faults/loop

check-faults-sample: all $(FAULT_PROGRAMS) ## a sample of the fault loop, the same for the same SOCK_TEST_SEED
	$(BUILD)/tests/faults/loop

DEEP += check-faults

# It comes before libsock and the C library in the order of symbols, so that its functions are the ones called.
$(BUILD)/tests/faults/libshim.so: tests/faults/shim.c tests/faults/shim.h
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -fPIC -shared -o $@ $<

$(BUILD)/tests/faults/scenarios.o: tests/faults/scenarios.c tests/faults/scenarios.h tests/c/harness.h $(HEADER)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -Itests/network -c -o $@ $<

$(BUILD)/tests/faults/%: tests/faults/%.c $(BUILD)/tests/faults/libshim.so $(BUILD)/tests/faults/scenarios.o \
    $(BUILD)/tests/network/network.o $(BUILD)/tests/harness.o $(BUILD)/lib/.linked
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -Itests/network -o $@ $< $(filter %.o,$^) -L$(@D) -lshim -Wl,-rpath,'$$ORIGIN' $(SHARED_LINK)
