/* Dot products of a few tokens with a few rows, the inner loop of all that is computed here. */

#include <stdint.h>

typedef int64_t num;
typedef float vec __attribute__((vector_size(64), aligned(4), may_alias));

#define LANES 16 /* numbers in a vec */
#define TOKENS 4 /* computed together */
#define ROWS 4   /* of A computed together */
#define INLINE static inline __attribute__((always_inline))

INLINE float summed(vec v) {
    for (int step = LANES / 2; step; step /= 2)
        for (int i = 0; i < step; i++) v[i] += v[i + step];
    return v[0];
}

/* z[t][j] = w[t] (a[j] . x[t]) for `tokens` tokens and `rows` rows, both known when compiled. */
INLINE void dots(const int tokens, const int rows, const float *const *x, const float *w,
                 const float *a, num width, float *z, num stride) {
    vec sums[TOKENS][ROWS];
    for (int t = 0; t < tokens; t++)
        for (int j = 0; j < rows; j++) sums[t][j] = (vec){0};
    num c = 0;
    for (; c + LANES <= width; c += LANES) {
        vec row[ROWS];
        for (int j = 0; j < rows; j++) row[j] = *(const vec *)(a + j * width + c);
        for (int t = 0; t < tokens; t++) {
            const vec part = *(const vec *)(x[t] + c);
            for (int j = 0; j < rows; j++) sums[t][j] += part * row[j];
        }
    }
    for (int t = 0; t < tokens; t++)
        for (int j = 0; j < rows; j++) {
            float sum = summed(sums[t][j]);
            for (num i = c; i < width; i++) sum += x[t][i] * a[j * width + i];
            z[t * stride + j] = w[t] * sum;
        }
}

INLINE void down(const int tokens, const float *const *x, const float *w, const float *a, num rows,
                 num width, float *z, num stride) {
    num j = 0;
    for (; j + ROWS <= rows; j += ROWS)
        dots(tokens, ROWS, x, w, a + j * width, width, z + j, stride);
    for (; j < rows; j++) dots(tokens, 1, x, w, a + j * width, width, z + j, stride);
}
