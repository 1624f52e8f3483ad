/*
 * One HTTP answer as the load generator reads it, and what it checks in it.
 *
 * Responses: every frame's sequence_number is one more than the last, the stream has the deltas it should have and ends
 * with response.completed. Chat Completions: the deltas, and [DONE]. Not streamed: the status of the answer. Sans-I/O:
 * bytes come in through `answer_read`, with the time of the recv that brought them.
 */
#ifndef ANSWER_H
#define ANSWER_H

#include "net.h"

enum verdict {
    READING,
    COMPLETE,
    BAD_STATUS,    /* not 200 */
    BROKEN,        /* not HTTP, or cut */
    SEQUENCE_GAP,  /* a sequence_number is missing or repeated */
    WRONG_DELTAS,  /* more or fewer deltas than expected */
    NOT_COMPLETED, /* no response.completed, [DONE] or completed body */
    VERDICTS,
};

extern const char *const VERDICT_NAMES[VERDICTS];

/* What is to be read: which API, streamed or not, and how many deltas (0: any number). */
struct expectation {
    bool chat, stream;
    uint32_t deltas;
};

/* Measured values, in nanoseconds. */
struct samples {
    uint64_t *at;
    size_t length, room;
};

/* What all answers of a run add to. `added` has a sample for each delta that carries the time of its sending. */
struct tally {
    uint64_t deltas, bytes;
    bool recording; /* samples are kept only while the window is open */
    struct samples added;
};

struct answer {
    enum verdict verdict;
    bool in_body, chunked, closes;
    int status;
    uint64_t left; /* of the body, or of the current HTTP chunk */
    struct buf body;
    size_t scanned; /* of `body`, without an end of a frame */
    uint64_t next_sequence;
    uint32_t deltas;
    bool gap, completed;
    uint64_t first_event, first_delta; /* 0 until then */
};

void sample_add(struct samples *s, uint64_t value);

void answer_start(struct answer *a);
/* Reads from `in` what it can and returns the verdict so far; `closed` says that no more bytes will come. */
enum verdict answer_read(struct answer *a, const struct expectation *want, struct tally *tally, struct buf *in,
                         uint64_t now, bool closed);

#endif
