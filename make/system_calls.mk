# What tests/system_calls/trace.t runs under strace.

TEST_PREREQUISITES += $(BUILD)/tests/system_calls/exercise

$(BUILD)/tests/system_calls/exercise: tests/system_calls/exercise.c $(BUILD)/lib/.linked $(HEADER)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) -std=c11 -D_GNU_SOURCE $(WARNINGS) -Iinclude -o $@ $< $(SHARED_LINK)
