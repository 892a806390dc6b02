/* What the experts of a group of layers add, computed only for the tokens that use them.
 *
 * For every expert with a weight w for a token, and every layer of the group that it changes:
 * out[token] += w * B (A x[token]). Tokens are sorted by expert, so that factors are read once. */

#include <stdlib.h>

#include "dots.h"

#define RANKS 8 /* of B added together */

typedef struct {
    num experts, layers, width; /* features that enter all layers */
    const num *spans;           /* layers x experts x (first row, rows) of A */
    const float *a;             /* A of all layers below each other, (rows, width) */
    const num *firsts;          /* the first row of A of each layer */
    const float *const *b;      /* for each layer B transposed, (its rows, its features) */
    const num *features;        /* that leave each layer */
} group;

/* out[t] += sum over `ranks` ranks of z[t][j] b[j], `tokens` and `ranks` known when compiled. */
INLINE void sums(const int tokens, const int ranks, float *const *out, const float *z, num stride,
                 const float *b, num features) {
    num c = 0;
    for (; c + LANES <= features; c += LANES) {
        vec row[RANKS];
        for (int j = 0; j < ranks; j++) row[j] = *(const vec *)(b + j * features + c);
        for (int t = 0; t < tokens; t++) {
            vec sum = *(vec *)(out[t] + c);
            for (int j = 0; j < ranks; j++) sum += z[t * stride + j] * row[j];
            *(vec *)(out[t] + c) = sum;
        }
    }
    for (; c < features; c++)
        for (int t = 0; t < tokens; t++)
            for (int j = 0; j < ranks; j++) out[t][c] += z[t * stride + j] * b[j * features + c];
}

INLINE void up(const int tokens, float *const *out, const float *z, num stride, const float *b,
               num ranks, num features) {
    num j = 0;
    for (; j + RANKS <= ranks; j += RANKS)
        sums(tokens, RANKS, out, z + j, stride, b + j * features, features);
    for (; j + 2 <= ranks; j += 2)
        sums(tokens, 2, out, z + j, stride, b + j * features, features);
    for (; j < ranks; j++) sums(tokens, 1, out, z + j, stride, b + j * features, features);
}

/* One expert in one layer, for up to TOKENS tokens at once. */
INLINE void layer(const int tokens, const group *g, num number, num expert, const float *const *x,
                  const float *w, const num *at, float *out, float *z) {
    const num *span = g->spans + 2 * (number * g->experts + expert);
    const num first = span[0], ranks = span[1], features = g->features[number];
    float *rows[TOKENS];
    for (int t = 0; t < tokens; t++) rows[t] = out + at[t] * features;
    down(tokens, x, w, g->a + (g->firsts[number] + first) * g->width, ranks, g->width, z, ranks);
    up(tokens, rows, z, ranks, g->b[number] + first * features, ranks, features);
}

static void tokens_of(const group *g, num expert, const num *at, const float *w, num uses,
                      const float *x, float *const *outs, float *z) {
    for (num number = 0; number < g->layers; number++) {
        if (!g->spans[2 * (number * g->experts + expert) + 1]) continue;
        const float *from[TOKENS];
        num u = 0;
        for (; u + TOKENS <= uses; u += TOKENS) {
            for (int t = 0; t < TOKENS; t++) from[t] = x + at[u + t] * g->width;
            layer(TOKENS, g, number, expert, from, w + u, at + u, outs[number], z);
        }
        for (; u + 2 <= uses; u += 2) {
            for (int t = 0; t < 2; t++) from[t] = x + at[u + t] * g->width;
            layer(2, g, number, expert, from, w + u, at + u, outs[number], z);
        }
        for (; u < uses; u++) {
            from[0] = x + at[u] * g->width;
            layer(1, g, number, expert, from, w + u, at + u, outs[number], z);
        }
    }
}

/* Add to outs, for each layer (tokens, its features), what x, (tokens, width), and the weights
 * alpha, (tokens, experts), say. Returns 0 if there is no memory, else 1. */
int selfmoe_add(const group *g, num tokens, const float *x, const float *alpha, float *const *outs) {
    const num n = g->experts;
    num most = 0, uses = 0;
    for (num i = 0; i < g->layers * n; i++)
        if (g->spans[2 * i + 1] > most) most = g->spans[2 * i + 1];
    num *ends = calloc(n + 1, sizeof(num)); /* of each expert's tokens, once they are sorted */
    if (!ends) return 0;
    for (num t = 0; t < tokens; t++)
        for (num e = 0; e < n; e++) ends[e + 1] += alpha[t * n + e] != 0;
    for (num e = 0; e < n; e++) ends[e + 1] += ends[e];
    uses = ends[n];
    char *memory = malloc(uses * (sizeof(num) + sizeof(float)) + TOKENS * most * sizeof(float) + 1);
    if (!memory) {
        free(ends);
        return 0;
    }
    num *at = (num *)memory;
    float *w = (float *)(at + uses), *z = w + uses;
    for (num t = 0; t < tokens; t++)
        for (num e = 0; e < n; e++)
            if (alpha[t * n + e] != 0) {
                at[ends[e]] = t;
                w[ends[e]++] = alpha[t * n + e];
            }
    for (num e = 0, first = 0; e < n; first = ends[e++])
        if (ends[e] > first)
            tokens_of(g, e, at + first, w + first, ends[e] - first, x, outs, z);
    free(memory);
    free(ends);
    return 1;
}
