/*
 * smtp_send: hands one message from standard input to a mail server (RFC 5321).
 * A refusal is reported with the command that was refused and the server's own words.
 */
#define _POSIX_C_SOURCE 200809L
#include <errno.h>
#include <sock.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

/* Patience as in RFC 5321, section 4.5.3.2; the reply to the message itself may take longest. */
enum { OPEN_MS = 30000, REPLY_MS = 300000, FINAL_MS = 600000 };
enum { LINE = 1024, REPLY_LINES = 100 };

static sock_t server;

static int usage(FILE *out)
{
    fputs("usage: smtp_send HOST PORT FROM TO < MESSAGE\n"
          "\n"
          "Sends the message on standard input, headers and text, from the address FROM to the\n"
          "address TO through the mail server at HOST and PORT.\n",
          out);
    return out == stdout ? 0 : 2;
}

static int fail(const char *reason)
{
    fprintf(stderr, "smtp_send: %s\n", reason);
    return -1;
}

/* Reads a reply of one or more lines ("250-first", "250 last"); anything but the expected kind of
 * reply (its first digit) is printed as the refusal of this step. */
static int expect(char kind, const char *step)
{
    char line[LINE];
    char refusal[4 * LINE] = "";
    size_t used = 0;

    for (int lines = 0; lines < REPLY_LINES; lines++) {
        int64_t length = sock_read_line(server, line, sizeof line);
        if (length < 0)
            return fail(sock_last_error());
        if (length < 3 || (line[3] != '-' && line[3] != ' ' && line[3] != '\0'))
            return fail("the server does not speak SMTP");
        if (used < sizeof refusal)
            used += (size_t)snprintf(refusal + used, sizeof refusal - used, "%s%s",
                                     used > 0 ? "; " : "", line);
        if (line[3] != '-') {
            if (line[0] == kind)
                return 0;
            fprintf(stderr, "smtp_send: %s refused: %s\n", step, refusal);
            return -1;
        }
    }
    return fail("the server's reply has no end");
}

/* Sends one line that is also the name of the step in a refusal. */
static int command(char kind, const char *format, ...)
{
    char line[LINE];
    va_list arguments;

    va_start(arguments, format);
    int length = vsnprintf(line, sizeof line, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof line)
        return fail("an address is too long");
    if (sock_printf(server, "%s\r\n", line) < 0)
        return fail(sock_last_error());
    return expect(kind, line);
}

/* Our own address as an address literal, because there may be no name to give. */
static int greet(void)
{
    sock_address address;
    char text[SOCK_ADDRESS_TEXT];

    if (expect('2', "the connection") < 0)
        return -1;
    if (sock_local_address(server, &address) < 0 ||
        sock_address_format(&address, text, sizeof text) < 0)
        return fail(sock_last_error());
    char *host = text[0] == '[' ? text + 1 : text;
    host[strcspn(host, text[0] == '[' ? "%]" : ":")] = '\0';
    return command('2', "EHLO [%s%s]", text[0] == '[' ? "IPv6:" : "", host);
}

/* A line that begins with a dot gets another one, because a lone dot ends the message. A message
 * that cannot be read to its end is not ended, so that the server drops it. */
static int send_message(void)
{
    char *line = NULL;
    size_t capacity = 0;
    ssize_t length;
    int64_t sent = 0;

    while (sent >= 0 && (length = getline(&line, &capacity, stdin)) > 0) {
        size_t size = (size_t)length;
        if (line[size - 1] == '\n')
            size--;
        if (size > 0 && line[size - 1] == '\r')
            size--;
        struct iovec parts[3] = {{.iov_base = ".", .iov_len = line[0] == '.'},
                                 {.iov_base = line, .iov_len = size},
                                 {.iov_base = "\r\n", .iov_len = 2}};
        sent = sock_writev(server, parts, 3);
    }
    int error = ferror(stdin) ? errno : 0;
    free(line);
    if (error != 0)
        return fail(strerror(error));
    if (sent < 0 || sock_write(server, ".\r\n", 3) < 0)
        return fail(sock_last_error());
    sock_set_timeout(server, SOCK_READ, FINAL_MS);
    return expect('2', "the message");
}

/* Spaces, control characters or brackets would end the address and begin something else. */
static int is_address(const char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text <= ' ' || *text == '<' || *text == '>' || *text == 127)
            return 0;
    return 1;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    if (argc != 5 || !is_address(argv[3]) || !is_address(argv[4]) || argv[4][0] == '\0')
        return usage(stderr);

    server = sock_open(argv[1], argv[2],
                       SOCK_OPTIONS(.timeout_ms = OPEN_MS, .io_timeout_ms = REPLY_MS));
    if (server < 0)
        return -fail(sock_last_error());

    int accepted = greet() == 0 && command('2', "MAIL FROM:<%s>", argv[3]) == 0 &&
                   command('2', "RCPT TO:<%s>", argv[4]) == 0 && command('3', "DATA") == 0 &&
                   send_message() == 0;
    if (accepted && sock_printf(server, "QUIT\r\n") > 0) {
        char line[LINE];
        sock_read_line(server, line, sizeof line);
    }
    sock_close(server);
    return accepted ? 0 : 1;
}
