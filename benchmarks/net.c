#define _GNU_SOURCE
#include "net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#define RECEIVE_SIZE (256 * 1024)
#define BACKLOG 4096 /* 256 clients that connect at once overflow 128 and then wait a second */

uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

_Noreturn void die(const char *what) {
    if (errno != 0)
        fprintf(stderr, "%s: %s\n", what, strerror(errno));
    else
        fprintf(stderr, "%s\n", what);
    exit(2);
}

void *must(void *memory) {
    if (memory == NULL)
        die("out of memory");
    return memory;
}

/* ---- buffers ---- */

const char *buf_bytes(const struct buf *b) { return b->data + b->start; }

size_t buf_length(const struct buf *b) { return b->end - b->start; }

/* Room for `length` more bytes at the end: move the content to the front first, grow only when that is not enough. */
char *buf_reserve(struct buf *b, size_t length) {
    if (b->end + length <= b->room)
        return b->data + b->end;
    if (b->start > 0) {
        memmove(b->data, b->data + b->start, buf_length(b));
        b->end -= b->start;
        b->start = 0;
    }
    if (b->end + length > b->room) {
        b->room = (b->end + length) * 2;
        b->data = must(realloc(b->data, b->room));
    }
    return b->data + b->end;
}

void buf_put(struct buf *b, const void *bytes, size_t length) {
    memcpy(buf_reserve(b, length), bytes, length);
    b->end += length;
}

void buf_puts(struct buf *b, const char *text) { buf_put(b, text, strlen(text)); }

void buf_printf(struct buf *b, const char *format, ...) {
    char text[1024];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (length < 0 || (size_t)length >= sizeof text)
        die("formatted text is too long");
    buf_put(b, text, (size_t)length);
}

void buf_take(struct buf *b, size_t length) {
    b->start += length;
    if (b->start == b->end)
        buf_clear(b);
}

void buf_clear(struct buf *b) { b->start = b->end = 0; }

void buf_free(struct buf *b) {
    free(b->data);
    *b = (struct buf){0};
}

static enum io io_error(void) { return errno == EAGAIN || errno == EINTR ? IO_BLOCKED : IO_CLOSED; }

enum io buf_receive(struct buf *b, int fd) {
    ssize_t length = recv(fd, buf_reserve(b, RECEIVE_SIZE), RECEIVE_SIZE, 0);
    if (length < 0)
        return io_error();
    b->end += (size_t)length;
    return length == 0 ? IO_CLOSED : IO_OK;
}

enum io buf_send(struct buf *b, int fd) {
    while (buf_length(b) > 0) {
        ssize_t length = send(fd, buf_bytes(b), buf_length(b), MSG_NOSIGNAL);
        if (length < 0)
            return io_error();
        buf_take(b, (size_t)length);
    }
    return IO_OK;
}

/* ---- sockets ---- */

static int tcp_socket(void) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("socket");
    return fd;
}

static void send_at_once(int fd) { setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)); }

static struct sockaddr_in loopback(uint16_t port) {
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

int listen_on(uint16_t port, uint16_t *bound) {
    int fd = tcp_socket();
    struct sockaddr_in address = loopback(port);
    socklen_t size = sizeof address;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    if (bind(fd, (struct sockaddr *)&address, size) < 0 || listen(fd, BACKLOG) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &size) < 0)
        die("listen");
    *bound = ntohs(address.sin_port);
    return fd;
}

int accept_from(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0)
        send_at_once(fd);
    return fd;
}

int connect_to(uint16_t port) {
    int fd = tcp_socket();
    struct sockaddr_in address = loopback(port);
    send_at_once(fd);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) < 0 && errno != EINPROGRESS)
        die("connect");
    return fd;
}

void epoll_watch(int epoll, int operation, int fd, uint32_t events, void *owner) {
    struct epoll_event event = {.events = events, .data.ptr = owner};
    if (epoll_ctl(epoll, operation, fd, &event) < 0)
        die("epoll_ctl");
}

/* ---- HTTP heads ---- */

size_t head_length(const struct buf *b) {
    if (buf_length(b) == 0)
        return 0;
    const char *end = memmem(buf_bytes(b), buf_length(b), "\r\n\r\n", 4);
    return end == NULL ? 0 : (size_t)(end - buf_bytes(b)) + 4;
}

const char *head_value(const char *head, size_t head_size, const char *name, size_t *length) {
    size_t name_length = strlen(name);
    const char *end = head + head_size;
    for (const char *line = head, *stop; (stop = memmem(line, (size_t)(end - line), "\r\n", 2)) != NULL;
         line = stop + 2) {
        if ((size_t)(stop - line) <= name_length || line[name_length] != ':' ||
            strncasecmp(line, name, name_length) != 0)
            continue;
        const char *value = line + name_length + 1;
        while (value < stop && *value == ' ')
            value++;
        *length = (size_t)(stop - value);
        return value;
    }
    return NULL;
}

/* ---- command line ---- */

long number_option(const char *option, const char *text, long low, long high) {
    char *end;
    errno = 0;
    long number = strtol(text, &end, 10);
    if (*text == '\0' || *end != '\0' || errno != 0 || number < low || number > high) {
        fprintf(stderr, "%s takes a number from %ld to %ld, not '%s'\n", option, low, high, text);
        exit(2);
    }
    return number;
}
