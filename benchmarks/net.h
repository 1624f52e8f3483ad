/*
 * What the load generator and the fake upstream share: a byte buffer, sockets, the clock, HTTP heads.
 *
 * Both programs are one thread around one epoll, so nothing here locks. Linux only. Times are nanoseconds of
 * CLOCK_MONOTONIC, which all processes of a machine share: a stamp that one program writes, the other can subtract.
 */
#ifndef NET_H
#define NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NS_PER_MS 1000000ULL
#define NS_PER_S 1000000000ULL

/* Bytes `start` to `end` of `data` are the content; it grows as needed and never shrinks. All zero is an empty buffer.
 */
struct buf {
    char *data;
    size_t start, end, room;
};

enum io { IO_OK, IO_BLOCKED, IO_CLOSED };

uint64_t now_ns(void);

/* Says what went wrong, with errno's text when errno is set, and ends the program with status 2. */
_Noreturn void die(const char *what);
void *must(void *memory);

const char *buf_bytes(const struct buf *b);
size_t buf_length(const struct buf *b);
char *buf_reserve(struct buf *b, size_t length);
void buf_put(struct buf *b, const void *bytes, size_t length);
void buf_puts(struct buf *b, const char *text);
void buf_printf(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));
void buf_take(struct buf *b, size_t length);
void buf_clear(struct buf *b);
void buf_free(struct buf *b);

/* One recv, up to 256 KB, appended to `b`. */
enum io buf_receive(struct buf *b, int fd);
/* Sends what `b` holds; IO_OK when all is gone, IO_BLOCKED when some is left. */
enum io buf_send(struct buf *b, int fd);

/* Loopback sockets, non-blocking, TCP_NODELAY. Port 0 listens on a free port; `bound` gets the port taken. */
int listen_on(uint16_t port, uint16_t *bound);
int accept_from(int listener);
int connect_to(uint16_t port);

void epoll_watch(int epoll, int operation, int fd, uint32_t events, void *owner);

/* Length of an HTTP head with its blank line, 0 while it is not complete. */
size_t head_length(const struct buf *b);
/* Value of a header (`name` in lower case), or NULL; `length` gets its size. */
const char *head_value(const char *head, size_t head_size, const char *name, size_t *length);

/* A decimal number between `low` and `high` that is the whole of `text`; otherwise the program ends and names `option`.
 */
long number_option(const char *option, const char *text, long low, long high);

#endif
