/* Hosts, ports and addresses: no text and no bytes make the parsers or the formatter misbehave, and what is written is read back. */
#include "fuzz.h"
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/un.h>

static void check_round_trip(const sock_address *address)
{
    char text[SOCK_ADDRESS_TEXT], small[8];
    sock_address again;
    int64_t length = sock_address_format(address, text, sizeof text);
    if (length == SOCK_EINVAL) return; /* an unknown family */
    MUST(length > 0 && (size_t)length == strlen(text));
    int64_t cut = sock_address_format(address, small, sizeof small);
    MUST((cut == length && length < (int64_t)sizeof small) || cut == SOCK_ETOOLONG);
    bool scoped = text[0] == '[' && strchr(text, '%') != NULL;
    bool zeros = strncmp(text, "unix:@", 6) == 0 && strchr(text + 6, '@') != NULL; /* maybe: those of an abstract name are shown so */
    bool named_otherwise = strcmp(text, "unix:") == 0 || strncmp(text, "unix:./@", 8) == 0;
    if (!scoped && !zeros && !named_otherwise && sock_address_parse(text, NULL, &again) == 0)
        MUST(sock_address_equal(address, &again) == 1);
    int port = sock_address_port(address);
    MUST(port == SOCK_ETYPE || (port >= 0 && port <= 65535));
}

static void parse_text(input in)
{
    sock_address address;
    char *host = take_text(&in, '\n'), *port = take_text(&in, '\n');
    memset(&address, 0x5a, sizeof address);
    int result = sock_address_parse(host, port, &address);
    MUST(result == 0 || result == SOCK_EINVAL || result == SOCK_ETOOLONG);
    if (result == 0) {
        MUST(address.length > 0 && address.length <= sizeof address.storage);
        check_round_trip(&address);
    } else {
        MUST(address.length == 0x5a5a5a5a5a5a5a5aULL);
    }
    free(host);
    free(port);
}

/* Whatever a program puts into a sock_address. */
static void format_bytes(input in)
{
    sock_address address;
    memset(&address, 0, sizeof address);
    address.length = take_number(&in, take_byte(&in) & 1 ? 8 : 1);
    for (size_t i = 0; i < sizeof address.storage; i++) address.storage[i] = take_byte(&in);
    check_round_trip(&address);
    int same = sock_address_equal(&address, &address);
    MUST(same == 0 || same == 1);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    input in = { data, size };
    if (take_byte(&in) & 1)
        format_bytes(in);
    else
        parse_text(in);
    return 0;
}
