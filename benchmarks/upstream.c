/*
 * A fake upstream: POST /v1/chat/completions over HTTP/1.1 keep-alive, fast enough never to be what is measured.
 *
 * The requested model says how the answer comes:
 *
 *   burst-N      N deltas in one write and one HTTP chunk
 *   chunks-N     N deltas in one write, each an HTTP chunk of its own (as real servers send them)
 *   paced-MS-N   N deltas, one every MS milliseconds, each a write of its own, with the time of that write in its text
 *   sat-MS-N     the same; the name tells a saturating load from a paced one in logs
 *   once         a short answer; with "stream": true the same as burst-20
 *
 * Without "stream": true any of them is one JSON body, at once. A paced stream keeps an absolute schedule: what fell
 * due while the reader was slow, or this program late, leaves in one write and is counted as `late`. GET /stats has the
 * counters; they are printed on SIGTERM too. The first line on standard output is the port.
 */
#define _GNU_SOURCE
#include "net.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define EVENTS 256
#define MODEL_SIZE 64
#define ONCE_DELTAS 20
#define MAX_DELTAS 1000000
#define MAX_INTERVAL_MS 60000
#define PROMPT_TOKENS 12
#define NOT_QUEUED SIZE_MAX
#define TIMER_REST 50000 /* ns */
#define WORD_STEP 13     /* prime to the number of words: no word follows itself */

static const char *const WORDS[] = {
    "harbour",  "lantern", "meadow", "copper", "whistle", "granite", "orchard", "velvet", "compass", "thunder",
    "saffron",  "willow",  "anchor", "marble", "cinder",  "feather", "glacier", "hollow", "ivory",   "juniper",
    "kettle",   "ladder",  "mirror", "nutmeg", "oyster",  "pebble",  "quarry",  "ribbon", "shadow",  "timber",
    "umbrella", "violet",  "walnut", "yonder", "zephyr",  "amber",   "bramble", "candle", "drizzle", "ember",
    "falcon",   "garnet",  "hazel",  "island", "jasper",  "kernel",  "lagoon",  "mallow", "nimble",  "opal",
    "parsley",  "quiver",  "raven",  "silver", "thistle",
};
#define WORD_COUNT (sizeof WORDS / sizeof *WORDS)

struct mode {
    const char *name;
    bool has_interval, has_count, chunk_each;
};

static const struct mode MODES[] = {
    {"burst", false, true, false}, {"chunks", false, true, true}, {"paced", true, true, false},
    {"sat", true, true, false},    {"once", false, false, false},
};

struct request {
    char model[MODEL_SIZE];
    bool stream, include_usage;
    const struct mode *mode;
    uint64_t interval;
    uint32_t deltas;
};

struct conn {
    int fd;
    bool wants_write, streaming;
    struct buf in, out;
    struct request request;
    uint64_t number, started, due;
    uint32_t sent;
    size_t slot; /* place in the queue of streams that wait for their time, or NOT_QUEUED */
    char prefix[256];
};

struct stats {
    uint64_t requests, answers, deltas, late, closed_early, connections, open;
};

/* The streams that wait, a heap by `due`: the earliest is first. */
struct queue {
    struct conn **at;
    size_t length, room;
};

struct server {
    int epoll, listener, timer, signals;
    struct queue queue;
    struct stats stats;
};

/* ---- the queue ---- */

static void queue_set(struct queue *q, size_t slot, struct conn *c) {
    q->at[slot] = c;
    c->slot = slot;
}

static void queue_up(struct queue *q, size_t slot) {
    struct conn *c = q->at[slot];
    for (; slot > 0 && q->at[(slot - 1) / 2]->due > c->due; slot = (slot - 1) / 2)
        queue_set(q, slot, q->at[(slot - 1) / 2]);
    queue_set(q, slot, c);
}

static void queue_down(struct queue *q, size_t slot) {
    struct conn *c = q->at[slot];
    for (size_t child; (child = 2 * slot + 1) < q->length; slot = child) {
        if (child + 1 < q->length && q->at[child + 1]->due < q->at[child]->due)
            child++;
        if (q->at[child]->due >= c->due)
            break;
        queue_set(q, slot, q->at[child]);
    }
    queue_set(q, slot, c);
}

static void queue_add(struct queue *q, struct conn *c) {
    if (q->length == q->room) {
        q->room = q->room * 2 + 64;
        q->at = must(realloc(q->at, q->room * sizeof *q->at));
    }
    queue_set(q, q->length++, c);
    queue_up(q, c->slot);
}

static void queue_remove(struct queue *q, struct conn *c) {
    size_t slot = c->slot;
    struct conn *last = q->at[--q->length];
    c->slot = NOT_QUEUED;
    if (last == c)
        return;
    queue_set(q, slot, last);
    queue_up(q, slot);
    queue_down(q, last->slot);
}

/* ---- the words of an answer ---- */

static const char *word_at(const struct conn *c, uint32_t index) {
    return WORDS[(c->number * 7 + (uint64_t)index * WORD_STEP) % WORD_COUNT];
}

/* An HTTP chunk is written with a size of eight digits first, which is filled in when its end is known. */
static size_t chunk_begin(struct buf *out) {
    buf_puts(out, "00000000\r\n");
    return buf_length(out);
}

static void chunk_end(struct buf *out, size_t begin) {
    char digits[9];
    snprintf(digits, sizeof digits, "%08zx", buf_length(out) - begin);
    memcpy(out->data + out->start + begin - 10, digits, 8);
    buf_puts(out, "\r\n");
}

static void put_choice(struct conn *c, const char *delta, const char *finish) {
    buf_puts(&c->out, c->prefix);
    buf_puts(&c->out, "\"choices\":[{\"index\":0,\"delta\":{");
    buf_puts(&c->out, delta);
    buf_puts(&c->out, "},\"logprobs\":null,\"finish_reason\":");
    buf_puts(&c->out, finish);
    buf_puts(&c->out, "}]}\n\n");
}

static void put_delta(struct conn *c) {
    char delta[96];
    const char *word = word_at(c, c->sent++);
    if (c->request.interval > 0)
        snprintf(delta, sizeof delta, "\"content\":\" %s t=%llu\"", word, (unsigned long long)now_ns());
    else
        snprintf(delta, sizeof delta, "\"content\":\" %s\"", word);
    put_choice(c, delta, "null");
}

static void put_usage(struct buf *out, uint32_t deltas) {
    buf_printf(out, "\"usage\":{\"prompt_tokens\":%d,\"completion_tokens\":%u,\"total_tokens\":%u}", PROMPT_TOKENS,
               deltas, PROMPT_TOKENS + deltas);
}

static void put_end(struct conn *c) {
    size_t begin = chunk_begin(&c->out);
    put_choice(c, "", "\"stop\"");
    if (c->request.include_usage) {
        buf_puts(&c->out, c->prefix);
        buf_puts(&c->out, "\"choices\":[],");
        put_usage(&c->out, c->sent);
        buf_puts(&c->out, "}\n\n");
    }
    buf_puts(&c->out, "data: [DONE]\n\n");
    chunk_end(&c->out, begin);
    buf_puts(&c->out, "0\r\n\r\n");
}

static void put_deltas(struct conn *c, uint32_t count) {
    size_t begin = chunk_begin(&c->out);
    while (count-- > 0) {
        put_delta(c);
        if (c->request.mode->chunk_each && count > 0) {
            chunk_end(&c->out, begin);
            begin = chunk_begin(&c->out);
        }
    }
    chunk_end(&c->out, begin);
}

static void put_start(struct conn *c) {
    buf_puts(&c->out, "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n");
    size_t begin = chunk_begin(&c->out);
    put_choice(c, "\"role\":\"assistant\",\"content\":\"\"", "null");
    chunk_end(&c->out, begin);
}

static void put_body(struct conn *c, int status, const char *reason, const struct buf *body) {
    buf_printf(&c->out, "HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %zu\r\n\r\n", status,
               reason, buf_length(body));
    buf_put(&c->out, buf_bytes(body), buf_length(body));
}

static void put_whole(struct conn *c) {
    struct buf body = {0};
    buf_printf(&body,
               "{\"id\":\"chatcmpl-%llu\",\"object\":\"chat.completion\",\"created\":1767225600,\"model\":\"%s\","
               "\"choices\":[{"
               "\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"",
               (unsigned long long)c->number, c->request.model);
    for (uint32_t i = 0; i < c->request.deltas; i++)
        buf_printf(&body, " %s", word_at(c, i));
    buf_puts(&body, "\"},\"logprobs\":null,\"finish_reason\":\"stop\"}],");
    put_usage(&body, c->request.deltas);
    buf_puts(&body, "}");
    put_body(c, 200, "OK", &body);
    buf_free(&body);
}

/* ---- connections ---- */

static void conn_close(struct server *s, struct conn *c) {
    s->stats.closed_early += c->streaming || buf_length(&c->out) > 0;
    s->stats.open--;
    if (c->slot != NOT_QUEUED)
        queue_remove(&s->queue, c);
    close(c->fd);
    buf_free(&c->in);
    buf_free(&c->out);
    free(c);
}

static void conn_watch(struct server *s, struct conn *c, bool wants_write) {
    if (c->wants_write == wants_write)
        return;
    c->wants_write = wants_write;
    epoll_watch(s->epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN | (wants_write ? EPOLLOUT : 0), c);
}

/* Sends what is pending. False when the connection is gone, and then `c` is freed. */
static bool conn_flush(struct server *s, struct conn *c) {
    enum io io = buf_send(&c->out, c->fd);
    if (io == IO_CLOSED) {
        conn_close(s, c);
        return false;
    }
    conn_watch(s, c, io == IO_BLOCKED);
    return true;
}

/* How many deltas have fallen due by `now`, and never more than are left. */
static uint32_t deltas_due(const struct conn *c, uint64_t now) {
    uint64_t due = c->request.interval == 0 ? c->request.deltas : (now - c->started) / c->request.interval;
    return (uint32_t)(due < c->request.deltas ? due : c->request.deltas) - c->sent;
}

/* Puts all that is due into the buffer, and the stream back into the queue when there is more to come. */
static void stream_advance(struct server *s, struct conn *c) {
    uint32_t due = deltas_due(c, now_ns());
    if (due > 0) {
        put_deltas(c, due);
        s->stats.deltas += due;
        s->stats.late += c->request.interval > 0 ? due - 1 : 0;
    }
    c->streaming = c->sent < c->request.deltas;
    if (c->streaming) {
        c->due = c->started + (c->sent + 1) * c->request.interval;
        queue_add(&s->queue, c);
    } else {
        put_end(c);
        s->stats.answers++;
    }
}

static void stream_start(struct server *s, struct conn *c) {
    c->sent = 0;
    c->started = now_ns();
    snprintf(
        c->prefix, sizeof c->prefix,
        "data: {\"id\":\"chatcmpl-%llu\",\"object\":\"chat.completion.chunk\",\"created\":1767225600,\"model\":\"%s\",",
        (unsigned long long)c->number, c->request.model);
    put_start(c);
    stream_advance(s, c);
}

/* ---- requests ---- */

static const char *skip(const char *p, const char *end, const char *characters) {
    while (p < end && strchr(characters, *p) != NULL)
        p++;
    return p;
}

/* Where the value of `"key":` begins, or NULL. The key comes with its quotes, so that text in a message cannot match
 * it. */
static const char *json_value(const char *body, size_t length, const char *quoted_key) {
    const char *end = body + length, *key = memmem(body, length, quoted_key, strlen(quoted_key));
    return key == NULL ? NULL : skip(key + strlen(quoted_key), end, " :\r\n\t");
}

static bool json_true(const char *body, size_t length, const char *quoted_key) {
    const char *value = json_value(body, length, quoted_key);
    return value != NULL && body + length - value >= 4 && memcmp(value, "true", 4) == 0;
}

static bool read_model(struct request *r, const char *body, size_t length) {
    const char *value = json_value(body, length, "\"model\"");
    if (value == NULL || *value != '"')
        return false;
    const char *stop = memchr(value + 1, '"', (size_t)(body + length - value - 1));
    if (stop == NULL || (size_t)(stop - value - 1) >= sizeof r->model)
        return false;
    memcpy(r->model, value + 1, (size_t)(stop - value - 1));
    r->model[stop - value - 1] = '\0';
    return true;
}

/* Reads `-NUMBER`, moves `text` behind it. */
static bool read_number(const char **text, unsigned long high, unsigned long *number) {
    char *end;
    if (**text != '-')
        return false;
    *number = strtoul(*text + 1, &end, 10);
    bool good = end > *text + 1 && *number >= 1 && *number <= high;
    *text = end;
    return good;
}

static bool read_mode(struct request *r, const struct mode *mode) {
    const char *rest = r->model + strlen(mode->name);
    unsigned long interval = 0, deltas = ONCE_DELTAS;
    if (strncmp(r->model, mode->name, strlen(mode->name)) != 0 ||
        (mode->has_interval && !read_number(&rest, MAX_INTERVAL_MS, &interval)) ||
        (mode->has_count && !read_number(&rest, MAX_DELTAS, &deltas)) || *rest != '\0')
        return false;
    r->mode = mode;
    r->interval = interval * NS_PER_MS;
    r->deltas = (uint32_t)deltas;
    return true;
}

static bool read_request(struct request *r, const char *body, size_t length) {
    if (!read_model(r, body, length))
        return false;
    r->stream = json_true(body, length, "\"stream\"");
    r->include_usage = json_true(body, length, "\"include_usage\"");
    for (size_t i = 0; i < sizeof MODES / sizeof *MODES; i++)
        if (read_mode(r, &MODES[i]))
            return true;
    return false;
}

static void put_error(struct conn *c, int status, const char *reason, const char *message) {
    struct buf body = {0};
    buf_printf(&body,
               "{\"error\":{\"message\":\"%s\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":null}}",
               message);
    put_body(c, status, reason, &body);
    buf_free(&body);
}

static void serve_chat(struct server *s, struct conn *c, const char *body, size_t length) {
    s->stats.requests++;
    c->number = s->stats.requests;
    if (!read_request(&c->request, body, length))
        put_error(c, 404, "Not Found", "model is burst-N, chunks-N, paced-MS-N, sat-MS-N or once");
    else if (c->request.stream)
        stream_start(s, c);
    else {
        put_whole(c);
        s->stats.answers++;
    }
}

static void serve_models(struct server *s, struct conn *c, const char *body, size_t length) {
    (void)s, (void)body, (void)length;
    struct buf list = {0};
    buf_puts(&list, "{\"object\":\"list\",\"data\":[{\"id\":\"once\",\"object\":\"model\",\"created\":1767225600,"
                    "\"owned_by\":\"benchmark\"}]}");
    put_body(c, 200, "OK", &list);
    buf_free(&list);
}

static void put_stats(struct buf *out, const struct stats *t) {
    buf_printf(
        out,
        "{\"requests\":%llu,\"answers\":%llu,\"deltas\":%llu,\"late\":%llu,\"closed_early\":%llu,\"connections\":%llu,"
        "\"open\":%llu}",
        (unsigned long long)t->requests, (unsigned long long)t->answers, (unsigned long long)t->deltas,
        (unsigned long long)t->late, (unsigned long long)t->closed_early, (unsigned long long)t->connections,
        (unsigned long long)t->open);
}

static void serve_stats(struct server *s, struct conn *c, const char *body, size_t length) {
    (void)body, (void)length;
    struct buf text = {0};
    put_stats(&text, &s->stats);
    put_body(c, 200, "OK", &text);
    buf_free(&text);
}

struct route {
    const char *line;
    void (*serve)(struct server *, struct conn *, const char *, size_t);
};

static const struct route ROUTES[] = {
    {"POST /v1/chat/completions ", serve_chat}, {"GET /v1/models ", serve_models}, {"GET /stats ", serve_stats}};

static void route_request(struct server *s, struct conn *c, const char *head, const char *body, size_t length) {
    for (size_t i = 0; i < sizeof ROUTES / sizeof *ROUTES; i++)
        if (strncmp(head, ROUTES[i].line, strlen(ROUTES[i].line)) == 0) {
            ROUTES[i].serve(s, c, body, length);
            return;
        }
    put_error(c, 404, "Not Found", "no such route");
}

/* Answers the next request in the buffer. False when none is complete. */
static bool conn_serve(struct server *s, struct conn *c) {
    size_t head = head_length(&c->in), length = 0, digits;
    if (head == 0)
        return false;
    const char *start = buf_bytes(&c->in), *value = head_value(start, head, "content-length", &digits);
    if (value != NULL)
        length = strtoul(value, NULL, 10);
    if (buf_length(&c->in) < head + length)
        return false;
    route_request(s, c, start, start + head, length);
    buf_take(&c->in, head + length);
    return true;
}

static void conn_ready(struct server *s, struct conn *c, uint32_t events) {
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR) && buf_receive(&c->in, c->fd) == IO_CLOSED) {
        conn_close(s, c);
        return;
    }
    while (!c->streaming && conn_serve(s, c))
        ;
    conn_flush(s, c);
}

/* ---- the loop ---- */

static void accept_all(struct server *s) {
    for (int fd; (fd = accept_from(s->listener)) >= 0;) {
        struct conn *c = must(calloc(1, sizeof *c));
        c->fd = fd;
        c->slot = NOT_QUEUED;
        s->stats.connections++;
        s->stats.open++;
        epoll_watch(s->epoll, EPOLL_CTL_ADD, fd, EPOLLIN, c);
    }
}

/* Sends every stream whose time has come. */
static void send_due(struct server *s) {
    uint64_t now = now_ns();
    while (s->queue.length > 0 && s->queue.at[0]->due <= now) {
        struct conn *c = s->queue.at[0];
        queue_remove(&s->queue, c);
        if (buf_length(&c->out) > 0) { /* the reader is slow: nothing may pile up here, look again one interval later */
            c->due = now + c->request.interval;
            queue_add(&s->queue, c);
            continue;
        }
        stream_advance(s, c);
        conn_flush(s, c);
    }
}

/* A rest between two rounds of sending: at 51,200 deltas a second it halves what this program costs, and nobody waits,
 * because a delta is stamped when it leaves. */
static void set_timer(struct server *s) {
    uint64_t due = s->queue.length > 0 ? s->queue.at[0]->due : 0; /* 0 disarms */
    uint64_t rested = now_ns() + TIMER_REST;
    if (due > 0 && due < rested)
        due = rested;
    struct itimerspec when = {.it_value = {(time_t)(due / NS_PER_S), (long)(due % NS_PER_S)}};
    timerfd_settime(s->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void run(struct server *s) {
    struct epoll_event events[EVENTS];
    for (;;) {
        set_timer(s);
        int count = epoll_wait(s->epoll, events, EVENTS, -1);
        for (int i = 0; i < count; i++) {
            void *owner = events[i].data.ptr;
            if (owner == &s->signals)
                return;
            if (owner == &s->listener)
                accept_all(s);
            else if (owner != &s->timer)
                conn_ready(s, owner, events[i].events);
        }
        send_due(s);
    }
}

static int signal_source(void) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static uint16_t server_open(struct server *s, uint16_t port) {
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    s->timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    s->signals = signal_source();
    s->listener = listen_on(port, &port);
    epoll_watch(s->epoll, EPOLL_CTL_ADD, s->listener, EPOLLIN, &s->listener);
    epoll_watch(s->epoll, EPOLL_CTL_ADD, s->timer, EPOLLIN, &s->timer);
    epoll_watch(s->epoll, EPOLL_CTL_ADD, s->signals, EPOLLIN, &s->signals);
    return port;
}

static uint16_t read_options(int count, char **arguments) {
    static const struct option OPTIONS[] = {
        {"port", required_argument, NULL, 'p'}, {"help", no_argument, NULL, 'h'}, {NULL, 0, NULL, 0}};
    long port = 0;
    for (int option; (option = getopt_long(count, arguments, "", OPTIONS, NULL)) != -1;) {
        if (option != 'p') {
            fprintf(option == 'h' ? stdout : stderr,
                    "usage: upstream [--port N]   (0, the default: a free port, printed)\n"
                    "models: burst-N chunks-N paced-MS-N sat-MS-N once\n");
            exit(option == 'h' ? 0 : 2);
        }
        port = number_option("--port", optarg, 0, 65535);
    }
    return (uint16_t)port;
}

int main(int count, char **arguments) {
    struct server server = {0};
    struct buf text = {0};
    printf("%u\n", server_open(&server, read_options(count, arguments)));
    fflush(stdout);
    run(&server);
    put_stats(&text, &server.stats);
    printf("%.*s\n", (int)buf_length(&text), buf_bytes(&text));
    return 0;
}
