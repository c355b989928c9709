/* A network for one test case: its own interfaces, firewall, resolver files and DNS server, made with
 * unprivileged namespaces and gone when the case ends. */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdbool.h>
#include <stdint.h>

/* Moves the process of this case into user, network and mount namespaces of its own, with the loopback up
 * and every address of 192.0.2.0/24 and 2001:db8::/64 on it. Skips the case if that is not possible. Comes
 * first in a case: it needs a process with one thread. */
void network_begin(void);

/* Runs a command, which must succeed. Names of programs that are missing skip the case. */
void run(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Adds an nftables rule to the input or output of this network: firewall("input", "tcp dport 7000 drop"). */
void firewall(const char *hook, const char *rule);
void firewall_clear(void);

/* Puts a text in the place of a file of /etc, for this case only. */
void etc_file(const char *path, const char *text);

/* Starts the scripted DNS server (dns_server.py says what a zone is) and makes it the only source of
 * names, asked twice for two seconds. */
void dns_begin(const char *zone);

/* How many of the logged queries contain the text: "" for all; "AAAA good.test" and "tcp" for some. */
int dns_queries(const char *text);

/* Writes a file of /proc/sys. */
void sysctl(const char *path, const char *value);

/* A plain TCP listener at a literal address. */
int listen_at(const char *address, uint16_t port);

#endif
