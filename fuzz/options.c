/* Option structs of any content and any size: a documented code or a handle, no crash, nothing left open. */
#include "fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = { data, size };
    /* The library may read as many bytes as the first field says: as a program's struct, the memory has them. */
    union {
        sock_options options;
        uint8_t bytes[8192];
    } room;
    memset(&room, 0, sizeof room);
    uint8_t how = take_byte(&in);
    char *host = take_text(&in, '\n'), *local_host = take_text(&in, '\n'), *local_port = take_text(&in, '\n');
    char *device = take_text(&in, '\n');
    size_t claimed = how & 0x80 ? take_number(&in, 2) % sizeof room : sizeof(sock_options);
    size_t copied = in.size < sizeof room ? in.size : sizeof room;
    memcpy(&room, in.data, copied);
    room.options.size = claimed;
    /* Nobody listens at these: what gets that far is refused at once, or times out. */
    room.options.timeout_ms = 1;
    room.options.local_host = how & 0x40 ? local_host : NULL;
    room.options.local_port = how & 0x20 ? local_port : NULL;
    room.options.device = how & 0x10 ? device : NULL;
    const char *target = how & 8 ? "127.0.0.1" : "unix:/nonexistent/socket", *port = how & 8 ? "9" : NULL;
    int64_t result;
    switch (how % 3) {
    case 0: result = sock_open(target, port, &room.options); break;
    case 1:
        room.options.timeout_ms = 0;
        result = sock_listen(how & 8 ? "127.0.0.1" : "unix:/nonexistent/socket", how & 8 ? "0" : NULL, &room.options);
        break;
    default: {
        sock_address out[2];
        result = sock_resolve("127.0.0.1", "80", &room.options, out, 2);
        MUST(result <= 1);
    }
    }
    MUST(is_code(result));
    if (result > 1) MUST(sock_close(result) == 0);
    MUST(sock_live_handles() == 0);
    free(host);
    free(local_host);
    free(local_port);
    free(device);
    return 0;
}
