/* The gate of top-k routers: out = keep_k(softmax(theta x / sqrt(mean x^2 + 1e-6) / temperature)).
 *
 * One call in the place of a dozen small operations, each of which a processor busy with a model's
 * weights has to fetch anew. */

#include <math.h>

#include "dots.h"

/* Turn logits into probabilities. */
static void softmax(float *row, num n) {
    float most = row[0], sum = 0;
    for (num i = 1; i < n; i++) most = row[i] > most ? row[i] : most;
    for (num i = 0; i < n; i++) sum += row[i] = expf(row[i] - most);
    for (num i = 0; i < n; i++) row[i] /= sum;
}

/* Set all but the k largest to 0; of two alike the first is larger. What is no number stays none. */
static float keep(float *row, num n, num k) {
    float sum = 0;
    for (num round = 0; round < k; round++) {
        num best = -1;
        for (num i = 0; i < n; i++) /* those that are kept are marked by their sign */
            if (row[i] >= 0 && !signbit(row[i]) && (best < 0 || row[i] > row[best])) best = i;
        if (best < 0) { /* a softmax of what is no number is none anywhere */
            for (num i = 0; i < n; i++) row[i] = NAN;
            return NAN;
        }
        sum += row[best];
        row[best] = -row[best];
    }
    for (num i = 0; i < n; i++) row[i] = signbit(row[i]) ? -row[i] : 0;
    return sum;
}

/* x (tokens, width), theta (n, width), out (tokens, n). With `one` what is kept sums to 1. */
void selfmoe_choose(const float *x, const float *theta, float *out, num tokens, num n, num width,
                    num k, float temperature, int one) {
    for (num t = 0; t < tokens; t++) {
        const float *token = x + t * width;
        float *row = out + t * n, square;
        const float plain = 1;
        dots(1, 1, &token, &plain, token, width, &square, 1);
        const float scale = 1 / (sqrtf(square / width + 1e-6f) * temperature);
        down(1, &token, &scale, theta, n, width, row, n);
        softmax(row, n);
        const float sum = keep(row, n, k);
        for (num i = 0; one && i < n; i++) row[i] /= sum > 1e-30f ? sum : 1e-30f;
    }
}
