#define _GNU_SOURCE
#include "answer.h"

#include <stdlib.h>
#include <string.h>

#define UNTIL_CLOSED UINT64_MAX
#define DATA "data: "
#define SEQUENCE "\"sequence_number\":"
#define STAMP " t="

const char *const VERDICT_NAMES[VERDICTS] = {
    [READING] = "unfinished", [COMPLETE] = "complete",         [BAD_STATUS] = "bad_status",       [BROKEN] = "broken",
    [SEQUENCE_GAP] = "gap",   [WRONG_DELTAS] = "wrong_deltas", [NOT_COMPLETED] = "not_completed",
};

/* One frame of a stream, without its blank line, and what reading it may touch. */
struct frame {
    const char *bytes;
    size_t length;
    uint64_t now;
    struct answer *answer;
    struct tally *tally;
};

void sample_add(struct samples *s, uint64_t value) {
    if (s->length == s->room) {
        s->room = s->room * 2 + 4096;
        s->at = must(realloc(s->at, s->room * sizeof *s->at));
    }
    s->at[s->length++] = value;
}

void answer_start(struct answer *a) {
    struct buf body = a->body;
    buf_clear(&body);
    *a = (struct answer){.body = body};
}

/* ---- frames ---- */

static bool begins(const struct frame *f, const char *text) {
    size_t length = strlen(text);
    return f->length >= length && memcmp(f->bytes, text, length) == 0;
}

static const char *after(const struct frame *f, const char *needle) {
    const char *found = memmem(f->bytes, f->length, needle, strlen(needle));
    return found == NULL ? NULL : found + strlen(needle);
}

static void count_delta(struct frame *f) {
    struct answer *a = f->answer;
    a->deltas++;
    f->tally->deltas++;
    if (a->first_delta == 0)
        a->first_delta = f->now;
    const char *stamp = f->tally->recording ? after(f, STAMP) : NULL;
    if (stamp != NULL)
        sample_add(&f->tally->added, f->now - strtoull(stamp, NULL, 10));
}

static void check_sequence(struct frame *f) {
    const char *number = after(f, SEQUENCE);
    if (number == NULL || strtoull(number, NULL, 10) != f->answer->next_sequence)
        f->answer->gap = true;
    f->answer->next_sequence++;
}

static void read_event(struct frame *f) {
    check_sequence(f);
    if (begins(f, "event: response.output_text.delta\n"))
        count_delta(f);
    else if (begins(f, "event: response.completed\n"))
        f->answer->completed = true;
}

static void read_chunk(struct frame *f) {
    const char *content = after(f, "\"content\":\"");
    if (content != NULL && *content != '"')
        count_delta(f);
    else if (begins(f, DATA "[DONE]"))
        f->answer->completed = true;
}

static void read_frame(struct frame *f, bool chat) {
    if (begins(f, ":")) /* a comment keeps a connection alive and is no event */
        return;
    if (f->answer->first_event == 0)
        f->answer->first_event = f->now;
    (chat ? read_chunk : read_event)(f);
}

/* The end of the first frame in the body, or NULL. What was searched once is not searched again. */
static const char *frame_end(struct answer *a) {
    const char *bytes = buf_bytes(&a->body), *end = bytes + buf_length(&a->body), *line = bytes + a->scanned;
    for (const char *stop; (stop = memchr(line, '\n', (size_t)(end - line))) != NULL && stop + 1 < end; line = stop + 1)
        if (stop[1] == '\n')
            return stop;
    a->scanned = (size_t)(line - bytes);
    return NULL;
}

static void read_frames(struct answer *a, const struct expectation *want, struct tally *tally, uint64_t now) {
    for (const char *stop; buf_length(&a->body) > 0 && (stop = frame_end(a)) != NULL; a->scanned = 0) {
        struct frame f = {buf_bytes(&a->body), (size_t)(stop - buf_bytes(&a->body)), now, a, tally};
        read_frame(&f, want->chat);
        buf_take(&a->body, f.length + 2);
    }
}

/* ---- the body ---- */

static void take_body(struct answer *a, struct buf *in) {
    size_t length = buf_length(in) < a->left ? buf_length(in) : (size_t)a->left;
    buf_put(&a->body, buf_bytes(in), length);
    buf_take(in, length);
    if (a->left != UNTIL_CLOSED)
        a->left -= length;
}

/* True when the body is whole. The empty line that ends an HTTP chunk is skipped as a line without a size. */
static bool read_chunked(struct answer *a, struct buf *in) {
    for (bool last = false; buf_length(in) > 0;) {
        if (a->left > 0) {
            take_body(a, in);
            continue;
        }
        const char *line = buf_bytes(in),
                   *stop = memmem(line, buf_length(in), last ? "\r\n\r\n" : "\r\n", last ? 4 : 2);
        if (stop == NULL)
            return false;
        if (last) {
            buf_take(in, (size_t)(stop - line) + 4);
            return true;
        }
        if (stop == line) {
            buf_take(in, 2);
            continue;
        }
        a->left = strtoull(line, NULL, 16);
        last = a->left == 0; /* its line stays, so that a cut before the last blank line is read again from here */
        if (!last)
            buf_take(in, (size_t)(stop - line) + 2);
    }
    return false;
}

static bool read_plain(struct answer *a, struct buf *in) {
    if (buf_length(in) > 0)
        take_body(a, in);
    return a->left == 0;
}

static bool read_head(struct answer *a, struct buf *in) {
    size_t head = head_length(in), length;
    if (head == 0)
        return false;
    const char *bytes = buf_bytes(in), *value;
    a->status = head > 12 && memcmp(bytes, "HTTP/1.1 ", 9) == 0 ? atoi(bytes + 9) : 0;
    value = head_value(bytes, head, "transfer-encoding", &length);
    a->chunked = value != NULL && length == 7 && memcmp(value, "chunked", 7) == 0;
    value = head_value(bytes, head, "connection", &length);
    a->closes = value != NULL && length == 5 && memcmp(value, "close", 5) == 0;
    value = head_value(bytes, head, "content-length", &length);
    a->left = a->chunked ? 0 : value != NULL ? strtoull(value, NULL, 10) : UNTIL_CLOSED;
    buf_take(in, head);
    a->in_body = true;
    return true;
}

static bool body_completed(const struct answer *a, bool chat) {
    static const char *const MARKS[2] = {"\"status\":\"completed\"", "\"chat.completion\""};
    return memmem(buf_bytes(&a->body), buf_length(&a->body), MARKS[chat], strlen(MARKS[chat])) != NULL;
}

static enum verdict judge(const struct answer *a, const struct expectation *want) {
    if (a->status != 200)
        return BAD_STATUS;
    if (!(want->stream ? a->completed : body_completed(a, want->chat)))
        return NOT_COMPLETED;
    if (want->stream && a->gap && !want->chat)
        return SEQUENCE_GAP;
    if (want->stream && want->deltas > 0 && a->deltas != want->deltas)
        return WRONG_DELTAS;
    return COMPLETE;
}

enum verdict answer_read(struct answer *a, const struct expectation *want, struct tally *tally, struct buf *in,
                         uint64_t now, bool closed) {
    if (!a->in_body && !read_head(a, in))
        return a->verdict = closed ? BROKEN : READING;
    bool whole = a->chunked ? read_chunked(a, in) : read_plain(a, in);
    if (want->stream && a->status == 200)
        read_frames(a, want, tally, now);
    if (closed && !whole)
        whole = a->left == UNTIL_CLOSED;
    if (whole)
        return a->verdict = judge(a, want);
    return a->verdict = closed ? BROKEN : READING;
}
