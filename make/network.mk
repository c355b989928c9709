# Tests in networks of their own: programs over the harness, run by tests/network/*.t.

NETWORK_TESTS = $(patsubst tests/network/%.t,$(BUILD)/tests/network/%,$(wildcard tests/network/*.t))
TEST_PREREQUISITES += $(NETWORK_TESTS)

$(BUILD)/tests/network/network.o: tests/network/network.c tests/network/network.h tests/c/harness.h $(HEADER)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -c -o $@ $<

$(BUILD)/tests/network/%: tests/network/%.c $(BUILD)/tests/network/network.o $(BUILD)/tests/harness.o $(BUILD)/lib/.linked
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -o $@ $< $(BUILD)/tests/network/network.o $(BUILD)/tests/harness.o $(SHARED_LINK)
