/*
 * http_server: serves the files below one folder over HTTP/1.1. Each connection is a handler
 * written as a straight line of blocking calls; threads or fibers run it.
 */
#define _POSIX_C_SOURCE 200809L
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sock.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { LINE = 8192, HEADERS = 100, PATH = 4096, PIECE = 1 << 20, GRACE_MS = 1000 };

struct site {
    int root;            /* an open folder: names are looked up from here and never leave it */
    int64_t patience_ms; /* for a whole request, and for each piece of an answer */
};

struct request {
    int head_only;       /* HEAD instead of GET */
    int keep_alive;      /* another request may follow on this connection */
    int needs_host, has_host;
    int has_body;        /* we serve no request that needs one, so it ends the connection */
    char target[PATH];   /* the path as it was sent */
    char path[PATH];     /* the same without %XX */
};

static sock_t server;

static void stop(int signal_number)
{
    (void)signal_number;
    sock_cancel(server);
}

static int usage(FILE *out)
{
    fputs("usage: http_server [-m MODEL] [-r ROOT] [-t MS] [HOST] PORT\n"
          "\n"
          "Serves the files below the folder ROOT over HTTP. Without HOST it listens on every\n"
          "address of this machine; PORT 0 takes any free port. Symbolic links are not followed.\n"
          "Stops on SIGINT and SIGTERM.\n"
          "\n"
          "  -m MODEL  threads or fibers (default fibers)\n"
          "  -r ROOT   the folder to serve (default: the current one)\n"
          "  -t MS     how long a client may take for a request (default 10000)\n",
          out);
    return out == stdout ? 0 : 2;
}

static int fail(const char *reason)
{
    fprintf(stderr, "http_server: %s\n", reason);
    return 1;
}

static const char *reason_phrase(int status)
{
    switch (status) {
    case 200: return "OK";
    case 301: return "Moved Permanently";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 414: return "URI Too Long";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 505: return "HTTP Version Not Supported";
    default: return "Internal Server Error";
    }
}

static const char *content_type(const char *path)
{
    static const char *const types[][2] = {
        {".html", "text/html; charset=utf-8"}, {".css", "text/css; charset=utf-8"},
        {".js", "text/javascript; charset=utf-8"}, {".json", "application/json"},
        {".txt", "text/plain; charset=utf-8"}, {".md", "text/plain; charset=utf-8"},
        {".svg", "image/svg+xml"}, {".png", "image/png"}, {".jpg", "image/jpeg"},
        {".gif", "image/gif"}, {".ico", "image/x-icon"}, {".wasm", "application/wasm"},
        {".pdf", "application/pdf"}};
    const char *dot = strrchr(path, '.');

    for (size_t i = 0; dot != NULL && i < sizeof types / sizeof *types; i++)
        if (strcasecmp(dot, types[i][0]) == 0)
            return types[i][1];
    return "application/octet-stream";
}

/* Sends status line and headers. `more` holds further header lines, each with its line end. */
static int64_t send_head(sock_t client, const struct request *request, int status, int64_t length,
                         const char *more, ...)
{
    char headers[2 * PATH] = "", date[64];
    time_t now = time(NULL);
    struct tm utc;
    va_list arguments;

    va_start(arguments, more);
    vsnprintf(headers, sizeof headers, more, arguments);
    va_end(arguments);
    strftime(date, sizeof date, "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&now, &utc));
    return sock_printf(client,
                       "HTTP/1.1 %d %s\r\nDate: %s\r\nContent-Length: %lld\r\n%s"
                       "Connection: %s\r\n\r\n",
                       status, reason_phrase(status), date, (long long)length, headers,
                       request->keep_alive ? "keep-alive" : "close");
}

static int64_t send_message(sock_t client, const struct request *request, int status,
                            const char *location)
{
    char body[64];
    int length = snprintf(body, sizeof body, "%d %s\n", status, reason_phrase(status));
    int64_t sent = send_head(client, request, status, length,
                             "Content-Type: text/plain\r\n%s%s%s%s",
                             status == 405 ? "Allow: GET, HEAD\r\n" : "",
                             location != NULL ? "Location: /" : "",
                             location != NULL ? location : "", location != NULL ? "/\r\n" : "");

    return sent < 0 || request->head_only ? sent : sock_write(client, body, (size_t)length);
}

static int is_token(const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++)
        if (!isalnum((unsigned char)text[i]) && strchr("!#$%&'*+-.^_`|~", text[i]) == NULL)
            return 0;
    return length > 0;
}

static int hex_digit(char c)
{
    static const char digits[] = "0123456789abcdef";
    const char *at = c != '\0' ? strchr(digits, tolower((unsigned char)c)) : NULL;

    return at != NULL ? (int)(at - digits) : -1;
}

/* Undoes %XX; path has as much room as target. Returns 0 or the status to answer with. */
static int decode_path(const char *target, char *path)
{
    for (; *target != '\0'; target++) {
        int byte = (unsigned char)*target;
        if (byte <= ' ' || byte >= 127)
            return 400;
        if (byte == '%') {
            int high = hex_digit(target[1]);
            int low = high < 0 ? -1 : hex_digit(target[2]);
            if (low < 0 || (byte = high * 16 + low) == 0)
                return 400;
            target += 2;
        }
        *path++ = (char)byte;
    }
    *path = '\0';
    return 0;
}

/* Methods that exist, but not here. */
static int is_known_method(const char *method)
{
    static const char *const methods[] = {"POST",  "PUT",     "DELETE", "PATCH",
                                          "TRACE", "OPTIONS", "CONNECT"};

    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++)
        if (strcmp(method, methods[i]) == 0)
            return 1;
    return 0;
}

/* Method, target and version with one space between. Returns 0 or the status to answer with. */
static int parse_request_line(char *line, struct request *request)
{
    char *method = line, *target = strchr(line, ' ');
    char *version = target != NULL ? strchr(target + 1, ' ') : NULL;

    if (version == NULL || !is_token(method, (size_t)(target - method)))
        return 400;
    *target++ = *version++ = '\0';
    if (strlen(version) != 8 || strncmp(version, "HTTP/", 5) != 0 || version[6] != '.' ||
        !isdigit((unsigned char)version[5]) || !isdigit((unsigned char)version[7]))
        return 400;
    if (version[5] != '1')
        return 505;
    request->keep_alive = request->needs_host = version[7] != '0';

    request->head_only = strcmp(method, "HEAD") == 0;
    if (!request->head_only && strcmp(method, "GET") != 0)
        return is_known_method(method) ? 405 : 501;

    if (strncasecmp(target, "http://", 7) == 0)
        target += 7 + strcspn(target + 7, "/?"); /* the proxies' form, which all must accept */
    else if (target[0] != '/')
        return 400;
    target[strcspn(target, "?")] = '\0';
    if (strlen(target) >= PATH)
        return 414;
    strcpy(request->target, target[0] != '\0' ? target : "/");
    return decode_path(request->target, request->path);
}

/* Whether a list like "keep-alive, Upgrade" has this word. */
static int has_word(const char *list, const char *word)
{
    size_t length;

    for (; *list != '\0'; list += length) {
        list += strspn(list, ", \t");
        length = strcspn(list, ", \t");
        if (length == strlen(word) && strncasecmp(list, word, length) == 0)
            return 1;
    }
    return 0;
}

static int parse_header(char *line, struct request *request)
{
    char *colon = strchr(line, ':');

    if (colon == NULL || !is_token(line, (size_t)(colon - line)))
        return 400;
    *colon = '\0';
    char *value = colon + 1 + strspn(colon + 1, " \t");
    size_t digits = strspn(value, "0123456789");

    if (strcasecmp(line, "Host") == 0) {
        if (request->has_host++)
            return 400;
    } else if (strcasecmp(line, "Connection") == 0) {
        if (has_word(value, "close"))
            request->keep_alive = 0;
        else if (has_word(value, "keep-alive"))
            request->keep_alive = 1;
    } else if (strcasecmp(line, "Content-Length") == 0) {
        if (digits == 0 || value[digits + strspn(value + digits, " \t")] != '\0')
            return 400;
        request->has_body |= strspn(value, "0") != digits;
    } else if (strcasecmp(line, "Transfer-Encoding") == 0) {
        request->has_body = 1;
    }
    return 0;
}

/* Reads one line. Returns 0, the status to answer with, or -1 if nobody waits for an answer. */
static int read_line(sock_t client, char *line, int too_long)
{
    int64_t size = sock_read_line(client, line, LINE);

    if (size == SOCK_ETOOLONG)
        return too_long;
    if (size == SOCK_ETIMEDOUT)
        return sock_buffered(client) > 0 || too_long == 431 ? 408 : -1;
    if (size < 0)
        return -1;
    return strlen(line) == (size_t)size ? 0 : 400;
}

/* Reads a request up to its empty line, within the deadline. Returns as read_line does. */
static int read_request(sock_t client, struct request *request)
{
    char line[LINE];
    int status = read_line(client, line, 414);

    if (status == 0 && line[0] == '\0')
        status = read_line(client, line, 414); /* an empty line before a request does no harm */
    if (status == 0)
        status = parse_request_line(line, request);
    for (int headers = 0; status == 0; headers++) {
        if ((status = read_line(client, line, 431)) != 0 || line[0] == '\0')
            break;
        status = headers < HEADERS ? parse_header(line, request) : 431;
    }
    if (status == 0 && request->needs_host && !request->has_host)
        status = 400;
    if (status != 0 || request->has_body)
        request->keep_alive = 0;
    return status;
}

/* Opens a path one name at a time: "..", which could leave the root, and symbolic links are
 * refused, and nothing can be exchanged between a check and its use. -1 with errno on failure. */
static int open_below(int root, const char *path)
{
    int at = fcntl(root, F_DUPFD_CLOEXEC, 0);
    char name[256];

    while (at >= 0) {
        path += strspn(path, "/");
        size_t length = strcspn(path, "/");
        if (length == 0)
            return at;
        int next = -1;
        errno = ENAMETOOLONG;
        if (length < sizeof name) {
            memcpy(name, path, length);
            name[length] = '\0';
            errno = EINVAL;
            if (strcmp(name, "..") != 0)
                next = openat(at, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        }
        int error = errno;
        close(at);
        errno = error;
        at = next;
        path += length;
    }
    return -1;
}

static int status_of_errno(void)
{
    switch (errno) {
    case EINVAL: return 400;
    case EACCES:
    case EPERM: return 403;
    case ENOENT:
    case ENOTDIR:
    case ELOOP:
    case ENXIO:
    case ENAMETOOLONG: return 404;
    default: return 500;
    }
}

/* In pieces, so that the time limit is for progress and not for the size of the file. */
static int64_t send_body(sock_t client, int file, int64_t size)
{
    int64_t sent = 0, piece = 1;

    while (sent < size && piece > 0) {
        int64_t left = size - sent;
        piece = sock_send_file(client, file, sent, left < PIECE ? left : PIECE);
        sent += piece > 0 ? piece : 0;
    }
    return sent == size ? size : -1; /* a file that has shrunk cannot keep our promise */
}

static int64_t answer(sock_t client, const struct site *site, const struct request *request)
{
    const char *path = request->path;
    int wants_folder = path[strlen(path) - 1] == '/';
    struct stat about;
    int file = open_below(site->root, path);

    if (file >= 0 && fstat(file, &about) == 0 && S_ISDIR(about.st_mode)) {
        if (!wants_folder) {
            close(file);
            path = request->target + strspn(request->target, "/");
            return send_message(client, request, 301, path);
        }
        int folder = file;
        path = "index.html";
        wants_folder = 0;
        file = open_below(folder, path);
        close(folder);
    }
    if (file < 0 || fstat(file, &about) < 0) {
        int status = status_of_errno();
        if (file >= 0)
            close(file);
        return send_message(client, request, status, NULL);
    }

    int64_t sent;
    if (!S_ISREG(about.st_mode) || wants_folder)
        sent = send_message(client, request, 404, NULL);
    else if ((sent = send_head(client, request, 200, about.st_size, "Content-Type: %s\r\n",
                               content_type(path))) >= 0 && !request->head_only)
        sent = send_body(client, file, about.st_size);
    close(file);
    return sent;
}

static void serve(sock_t client, void *context)
{
    const struct site *site = context;
    struct request request;
    int64_t sent;

    sock_set_timeout(client, SOCK_WRITE, site->patience_ms);
    do {
        memset(&request, 0, sizeof request);
        sock_set_deadline(client, SOCK_READ, site->patience_ms);
        int status = read_request(client, &request);
        if (status < 0)
            return;
        sent = status == 0 ? answer(client, site, &request)
                           : send_message(client, &request, status, NULL);
    } while (sent >= 0 && request.keep_alive);
}

int main(int argc, char **argv)
{
    int model = SOCK_FIBERS, option;
    const char *root = ".";
    char *end;
    struct site site = {.patience_ms = 10000};

    if (argc > 1 && strcmp(argv[1], "--help") == 0)
        return usage(stdout);
    while ((option = getopt(argc, argv, "m:r:t:")) != -1)
        switch (option) {
        case 'm':
            model = strcmp(optarg, "threads") == 0 ? SOCK_THREADS : SOCK_FIBERS;
            if (model == SOCK_FIBERS && strcmp(optarg, "fibers") != 0)
                return usage(stderr);
            break;
        case 'r':
            root = optarg;
            break;
        case 't':
            site.patience_ms = strtoll(optarg, &end, 10);
            if (site.patience_ms <= 0 || *end != '\0')
                return usage(stderr);
            break;
        default:
            return usage(stderr);
        }
    int arguments = argc - optind;
    if (arguments < 1 || arguments > 2)
        return usage(stderr);

    site.root = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (site.root < 0) {
        fprintf(stderr, "http_server: %s: %s\n", root, strerror(errno));
        return 1;
    }
    sock_t listener = sock_listen(arguments == 2 ? argv[optind] : NULL, argv[argc - 1], NULL);
    if (listener < 0)
        return fail(sock_last_error());
    server = sock_serve(listener, serve, &site, SOCK_SERVER_OPTIONS(.model = model));
    if (server < 0)
        return fail(sock_last_error());

    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);

    sock_address address;
    char text[SOCK_ADDRESS_TEXT];
    if (sock_local_address(listener, &address) < 0 ||
        sock_address_format(&address, text, sizeof text) < 0)
        return fail(sock_last_error());
    printf("listening on %s\n", text);
    fflush(stdout);

    sock_server_wait(server);
    return sock_server_stop(server, GRACE_MS) < 0 ? fail(sock_last_error()) : 0;
}
