# The program of failing cases that tests/harness/harness.t runs.

TEST_PREREQUISITES += $(BUILD)/tests/harness/failing

$(BUILD)/tests/harness/failing: tests/harness/failing.c $(BUILD)/tests/harness.o $(BUILD)/lib/.linked
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -o $@ $< $(BUILD)/tests/harness.o $(SHARED_LINK)
