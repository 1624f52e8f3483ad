/*
 * A load generator for POST /v1/responses (or, with --chat, for POST /v1/chat/completions).
 *
 * Every connection asks again as soon as its answer has ended. After a warm-up a window opens, in which all is counted;
 * after it no request is sent any more, and what still runs has --drain to end, then it is cut. The result is one JSON
 * object on standard output: rates and CPU seconds of the window, latencies of the answers that began in it; failures,
 * and the slowest first event counted from the connect, of the whole run. The exit status is 1 when an answer failed.
 */
#define _GNU_SOURCE
#include "answer.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 256
#define MAX_WATCHED 4
#define MAX_FAILURES 100 /* then the run ends: a broken server is not worth a window */
#define EXCERPT 400

struct options {
    uint16_t port;
    uint32_t connections;
    uint64_t warmup, window, drain, spread, answers;
    const char *model;
    bool store;
    struct expectation want;
    pid_t watched[MAX_WATCHED];
    size_t watched_count;
};

enum state { CLOSED, CONNECTING, WAITING, IDLE };

struct conn {
    int fd;
    enum state state;
    uint64_t begin_at, sent_at;
    uint64_t asked_at; /* sent_at, but for the first request of a connection the begin of its connect */
    struct buf in;
    struct answer answer;
};

/* The counters at one moment; the difference of two is what a window saw. */
struct snapshot {
    uint64_t at, answers, deltas, bytes, own_cpu, cpu[MAX_WATCHED];
};

enum phase { WARMING, MEASURING, DRAINING, ENDED };

struct load {
    const struct options *options;
    int epoll;
    enum phase phase;
    uint64_t phase_end;
    struct conn *conns;
    uint32_t
        unbegun; /* connections that wait for their first request: all before `conns + unbegun` in order of begin_at */
    uint32_t active;
    struct buf request;
    struct tally tally;
    uint64_t answers, failures, slowest_start, verdicts[VERDICTS];
    struct samples first_event, first_delta, answer;
    struct snapshot opened, shut;
};

/* ---- CPU time ---- */

static uint64_t clock_ns(clockid_t clock) {
    struct timespec t;
    return clock_gettime(clock, &t) < 0 ? 0 : (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

/* User and system time of all threads of a process, in nanoseconds, without a tick's rounding; 0 when it is gone. */
static uint64_t cpu_of(pid_t pid) {
    clockid_t clock;
    return clock_getcpuclockid(pid, &clock) != 0 ? 0 : clock_ns(clock);
}

static struct snapshot snapshot_take(const struct load *l, uint64_t now) {
    struct snapshot s = {.at = now,
                         .answers = l->answers,
                         .deltas = l->tally.deltas,
                         .bytes = l->tally.bytes,
                         .own_cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID)};
    for (size_t i = 0; i < l->options->watched_count; i++)
        s.cpu[i] = cpu_of(l->options->watched[i]);
    return s;
}

/* ---- connections ---- */

static void conn_close(struct load *l, struct conn *c) {
    close(c->fd);
    l->active -= c->state == WAITING || c->state == CONNECTING;
    c->state = CLOSED;
    buf_clear(&c->in);
}

static void conn_fail(struct load *l, struct conn *c, enum verdict verdict) {
    if (l->failures++ == 0) {
        const struct buf *body = &c->answer.body;
        size_t length = buf_length(body) < EXCERPT ? buf_length(body) : EXCERPT;
        fprintf(stderr, "first failure: %s, HTTP status %d, after %llu events and %u deltas: %.*s\n",
                VERDICT_NAMES[verdict], c->answer.status, (unsigned long long)c->answer.next_sequence, c->answer.deltas,
                (int)length, length > 0 ? buf_bytes(body) : "");
    }
    l->verdicts[verdict]++;
    conn_close(l, c);
}

/* A request is smaller than the buffer of any socket that has nothing to send: a part of it sent is a failure. */
static void conn_send(struct load *l, struct conn *c) {
    bool first = c->state == CONNECTING;
    l->active += !first;
    c->state = WAITING;
    answer_start(&c->answer);
    c->sent_at = now_ns();
    if (!first)
        c->asked_at = c->sent_at;
    ssize_t length = send(c->fd, buf_bytes(&l->request), buf_length(&l->request), MSG_NOSIGNAL);
    if (length != (ssize_t)buf_length(&l->request))
        conn_fail(l, c, BROKEN);
}

static void conn_open(struct load *l, struct conn *c) {
    c->fd = connect_to(l->options->port);
    c->state = CONNECTING;
    c->asked_at = now_ns();
    answer_start(&c->answer);
    l->active++;
    epoll_watch(l->epoll, EPOLL_CTL_ADD, c->fd, EPOLLOUT, c);
}

static bool may_ask(const struct load *l) {
    return l->phase < DRAINING && l->failures < MAX_FAILURES &&
           (l->options->answers == 0 || l->answers < l->options->answers);
}

/* Ends, because a send that fails closes the connection, and opening one waits. */
static void conn_next(struct load *l, struct conn *c) {
    while (may_ask(l) && (c->state == IDLE || c->state == CLOSED))
        (c->state == IDLE ? conn_send : conn_open)(l, c);
}

static void conn_connected(struct load *l, struct conn *c) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0) {
        conn_fail(l, c, BROKEN);
        return;
    }
    epoll_watch(l->epoll, EPOLL_CTL_MOD, c->fd, EPOLLIN, c);
    conn_send(l, c);
}

static void record_latencies(struct load *l, const struct conn *c, uint64_t now) {
    if (l->phase != MEASURING || c->sent_at < l->opened.at)
        return;
    sample_add(&l->answer, now - c->sent_at);
    if (!l->options->want.stream)
        return;
    sample_add(&l->first_event, c->answer.first_event - c->sent_at);
    if (c->answer.first_delta > 0)
        sample_add(&l->first_delta, c->answer.first_delta - c->sent_at);
}

static void conn_finish(struct load *l, struct conn *c, uint64_t now, bool closed) {
    l->answers++;
    l->verdicts[COMPLETE]++;
    record_latencies(l, c, now);
    if (c->answer.first_event > c->asked_at + l->slowest_start)
        l->slowest_start = c->answer.first_event - c->asked_at;
    if (closed || c->answer.closes) {
        conn_close(l, c);
        return;
    }
    c->state = IDLE;
    l->active--;
}

static void conn_receive(struct load *l, struct conn *c) {
    size_t before = buf_length(&c->in);
    bool closed = buf_receive(&c->in, c->fd) == IO_CLOSED;
    uint64_t now = now_ns();
    l->tally.bytes += buf_length(&c->in) - before;
    if (c->state == IDLE) { /* the server closes a connection that is kept alive */
        conn_close(l, c);
        return;
    }
    enum verdict verdict = answer_read(&c->answer, &l->options->want, &l->tally, &c->in, now, closed);
    if (verdict == READING)
        return;
    if (verdict == COMPLETE)
        conn_finish(l, c, now, closed);
    else
        conn_fail(l, c, verdict);
}

static void conn_ready(struct load *l, struct conn *c) {
    if (c->state == CONNECTING)
        conn_connected(l, c);
    else if (c->state != CLOSED)
        conn_receive(l, c);
    conn_next(l, c);
}

/* ---- the run ---- */

static void phase_enter(struct load *l, enum phase phase, uint64_t now) {
    l->phase = phase;
    l->tally.recording = phase == MEASURING;
    if (phase == MEASURING)
        l->opened = snapshot_take(l, now);
    if (phase == DRAINING)
        l->shut = snapshot_take(l, now);
    l->phase_end = now + (phase == MEASURING ? l->options->window : l->options->drain);
}

static void phase_advance(struct load *l, uint64_t now) {
    if (l->phase == WARMING && now >= l->phase_end)
        phase_enter(l, MEASURING, now);
    else if (l->phase == MEASURING && (now >= l->phase_end || !may_ask(l)))
        phase_enter(l, DRAINING, now);
    else if (l->phase == WARMING && !may_ask(l)) { /* over before the window: an empty one */
        phase_enter(l, MEASURING, now);
        phase_enter(l, DRAINING, now);
    } else if (l->phase == DRAINING && (l->active == 0 || now >= l->phase_end))
        l->phase = ENDED;
}

static void begin_due(struct load *l, uint64_t now) {
    for (; l->unbegun > 0 && l->conns[l->unbegun - 1].begin_at <= now; l->unbegun--)
        conn_next(l, &l->conns[l->unbegun - 1]);
}

static int wait_ms(const struct load *l, uint64_t now) {
    uint64_t until = l->phase_end;
    if (l->unbegun > 0 && l->conns[l->unbegun - 1].begin_at < until)
        until = l->conns[l->unbegun - 1].begin_at;
    return until <= now ? 0 : (int)((until - now) / NS_PER_MS) + 1;
}

static void run(struct load *l) {
    struct epoll_event events[EVENTS];
    uint64_t now = now_ns();
    for (; l->phase != ENDED; now = now_ns()) {
        begin_due(l, now);
        int count = epoll_wait(l->epoll, events, EVENTS, wait_ms(l, now));
        for (int i = 0; i < count; i++)
            conn_ready(l, events[i].data.ptr);
        phase_advance(l, now_ns());
    }
    l->verdicts[READING] = l->active;
}

static int later_first(const void *a, const void *b) {
    uint64_t left = ((const struct conn *)a)->begin_at, right = ((const struct conn *)b)->begin_at;
    return (left < right) - (left > right);
}

/* First requests are spread at random, the same each run: streams that share a phase would wait for each other. */
static void load_open(struct load *l) {
    const struct options *o = l->options;
    uint64_t now = now_ns();
    l->epoll = epoll_create1(EPOLL_CLOEXEC);
    l->conns = must(calloc(o->connections, sizeof *l->conns));
    srandom(1);
    for (uint32_t i = 0; i < o->connections; i++)
        l->conns[i].begin_at = now + (o->spread > 0 ? (uint64_t)random() * 1000 % o->spread : 0);
    qsort(l->conns, o->connections, sizeof *l->conns, later_first);
    l->unbegun = o->connections;
    l->phase_end = now + o->warmup;
}

static void build_request(struct buf *request, const struct options *o) {
    static const char *const PATHS[2] = {"/v1/responses", "/v1/chat/completions"};
    struct buf body = {0};
    buf_printf(&body, "{\"model\":\"%s\",", o->model);
    if (o->want.chat)
        buf_puts(&body, "\"messages\":[{\"role\":\"user\",\"content\":\"Name some things.\"}],");
    else
        buf_printf(&body, "\"input\":\"Name some things.\",\"store\":%s,", o->store ? "true" : "false");
    buf_printf(&body, "\"stream\":%s}", o->want.stream ? "true" : "false");
    buf_printf(request,
               "POST %s HTTP/1.1\r\nhost: 127.0.0.1:%u\r\ncontent-type: application/json\r\naccept: %s\r\n"
               "content-length: %zu\r\n\r\n",
               PATHS[o->want.chat], o->port, o->want.stream ? "text/event-stream" : "application/json",
               buf_length(&body));
    buf_put(request, buf_bytes(&body), buf_length(&body));
    buf_free(&body);
}

/* ---- the result ---- */

static int ascending(const void *a, const void *b) {
    uint64_t left = *(const uint64_t *)a, right = *(const uint64_t *)b;
    return (left > right) - (left < right);
}

/* Nearest rank, in milliseconds; the samples are sorted and not empty. */
static double percentile(const struct samples *s, double share) {
    size_t rank = (size_t)(share * (double)s->length);
    return (double)s->at[rank < s->length ? rank : s->length - 1] / NS_PER_MS;
}

static void print_samples(const char *name, struct samples *s) {
    if (s->length == 0) {
        printf(",\"%s\":null", name);
        return;
    }
    qsort(s->at, s->length, sizeof *s->at, ascending);
    printf(",\"%s\":{\"count\":%zu,\"p50\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f}", name, s->length,
           percentile(s, 0.5), percentile(s, 0.9), percentile(s, 0.99), percentile(s, 1));
}

static double seconds(uint64_t from, uint64_t to) { return (double)(to - from) / NS_PER_S; }

static void print_result(struct load *l) {
    const struct snapshot *a = &l->opened, *b = &l->shut;
    double length = seconds(a->at, b->at), rate = length > 0 ? 1 / length : 0;
    printf("{\"seconds\":%.4f,\"answers\":%llu,\"answers_per_s\":%.1f,\"deltas\":%llu,\"deltas_per_s\":%.1f,"
           "\"megabytes_per_s\":%.2f,\"own_cpu_s\":%.4f,\"cpu_s\":[",
           length, (unsigned long long)(b->answers - a->answers), (double)(b->answers - a->answers) * rate,
           (unsigned long long)(b->deltas - a->deltas), (double)(b->deltas - a->deltas) * rate,
           (double)(b->bytes - a->bytes) / 1e6 * rate, seconds(a->own_cpu, b->own_cpu));
    for (size_t i = 0; i < l->options->watched_count; i++)
        printf("%s%.4f", i > 0 ? "," : "", seconds(a->cpu[i], b->cpu[i]));
    printf("],\"slowest_start_ms\":%.4f", (double)l->slowest_start / NS_PER_MS);
    print_samples("first_event_ms", &l->first_event);
    print_samples("first_delta_ms", &l->first_delta);
    print_samples("answer_ms", &l->answer);
    print_samples("added_ms", &l->tally.added);
    for (int i = 0; i < VERDICTS; i++)
        printf("%s\"%s\":%llu", i > 0 ? "," : ",\"verdicts\":{", VERDICT_NAMES[i], (unsigned long long)l->verdicts[i]);
    printf("}}\n");
}

/* ---- command line ---- */

static const char USAGE[] = "usage: load --port N --model NAME [options]; times are milliseconds\n"
                            "  --connections N   requests at a time, each on a connection of its own (1)\n"
                            "  --warmup N --window N --drain N   (1000, 5000, 10000)\n"
                            "  --spread N        the first requests are spread over N (0: all at once)\n"
                            "  --answers N       end after so many answers (0: at the end of the window)\n"
                            "  --deltas N        each stream must have so many deltas (0: any number)\n"
                            "  --store           ask for a stored response\n"
                            "  --plain           do not ask for a stream\n"
                            "  --chat            talk to /v1/chat/completions\n"
                            "  --watch PID       report the CPU time of this process, up to four times\n";

static const struct option OPTIONS[] = {
    {"port", required_argument, NULL, 'p'},
    {"model", required_argument, NULL, 'm'},
    {"warmup", required_argument, NULL, 'w'},
    {"connections", required_argument, NULL, 'c'},
    {"window", required_argument, NULL, 'i'},
    {"drain", required_argument, NULL, 'd'},
    {"spread", required_argument, NULL, 's'},
    {"answers", required_argument, NULL, 'a'},
    {"deltas", required_argument, NULL, 'e'},
    {"store", no_argument, NULL, 'S'},
    {"plain", no_argument, NULL, 'P'},
    {"chat", no_argument, NULL, 'C'},
    {"watch", required_argument, NULL, 'W'},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static uint64_t duration(const char *option, const char *text) {
    return (uint64_t)number_option(option, text, 0, 3600000) * NS_PER_MS;
}

static void watch(struct options *o, const char *text) {
    if (o->watched_count == MAX_WATCHED)
        number_option("--watch, a fifth time,", "", 0, 0);
    o->watched[o->watched_count++] = (pid_t)number_option("--watch", text, 1, 1L << 30);
}

static void read_option(struct options *o, int option, const char *text) {
    switch (option) {
    case 'p': o->port = (uint16_t)number_option("--port", text, 1, 65535); break;
    case 'm': o->model = text; break;
    case 'c': o->connections = (uint32_t)number_option("--connections", text, 1, 10000); break;
    case 'w': o->warmup = duration("--warmup", text); break;
    case 'i': o->window = duration("--window", text); break;
    case 'd': o->drain = duration("--drain", text); break;
    case 's': o->spread = duration("--spread", text); break;
    case 'a': o->answers = (uint64_t)number_option("--answers", text, 0, 1L << 40); break;
    case 'e': o->want.deltas = (uint32_t)number_option("--deltas", text, 0, 1L << 30); break;
    case 'S': o->store = true; break;
    case 'P': o->want.stream = false; break;
    case 'C': o->want.chat = true; break;
    case 'W': watch(o, text); break;
    default: fputs(USAGE, option == 'h' ? stdout : stderr); exit(option == 'h' ? 0 : 2);
    }
}

int main(int count, char **arguments) {
    struct options options = {
        .connections = 1, .warmup = NS_PER_S, .window = 5 * NS_PER_S, .drain = 10 * NS_PER_S, .want.stream = true};
    for (int option; (option = getopt_long(count, arguments, "", OPTIONS, NULL)) != -1;)
        read_option(&options, option, optarg);
    if (options.port == 0 || options.model == NULL || strlen(options.model) > 200)
        read_option(&options, '?', NULL);
    struct load load = {.options = &options};
    build_request(&load.request, &options);
    load_open(&load);
    run(&load);
    print_result(&load);
    return load.failures > 0;
}
