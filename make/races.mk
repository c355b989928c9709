# The hunt for races: a few seconds of each kind in `make test`, ten minutes of each in `make check-races`.

RACES = $(BUILD)/tests/races/races
RACE_SOURCES = $(wildcard tests/races/*.c)
RACE_OBJECTS = $(RACE_SOURCES:tests/races/%.c=$(BUILD)/tests/races/%.o)
TEST_PREREQUISITES += $(RACES)

.PHONY: check-races

check-races: all $(RACES) ## the hunt for races: SOCK_TEST_SECONDS of each kind, else ten minutes
	SOCK_TEST_DEEP=1 $(RACES)

DEEP += check-races

check-deep-sample:: $(RACES)
	SOCK_TEST_SECONDS=10 $(RACES)

$(BUILD)/tests/races/%.o: tests/races/%.c tests/races/races.h tests/c/harness.h $(HEADER)
	@mkdir -p $(@D)
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -c -o $@ $<

$(RACES): $(RACE_OBJECTS) $(BUILD)/tests/harness.o $(BUILD)/lib/.linked
	$(CC) $(CFLAGS) $(TEST_CFLAGS) -o $@ $(filter %.o,$^) $(SHARED_LINK)
