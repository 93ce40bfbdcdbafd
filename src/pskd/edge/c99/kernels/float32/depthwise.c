/* Adds the products of n channels under three taps. */
static void three(const float *before, const float *const inputs[3], const float *weights, int n,
                  float *sums)
{
    const float *const x0 = inputs[0], *const x1 = inputs[1], *const x2 = inputs[2];
    const float *const w0 = weights, *const w1 = w0 + n, *const w2 = w1 + n;
    for (int k = 0; k < n; ++k) {
        sums[k] = before[k] + x0[k] * w0[k] + x1[k] * w1[k] + x2[k] * w2[k];
    }
}

/* Each channel with a kernel of its own, three taps at a time so that a sum is read and written
   once for the three. */
static void depthwise(const struct convolution *c, const float *in, const float *shortcut,
                      float *restrict border, float *restrict sums, float *out)
{
    const struct window *const w = &c->window;
    const int n = w->channels[1], taps = w->kernel[0] * w->kernel[1];
    for (int k = 0; k < n; ++k) {
        border[k] = 0.0f;
    }
    for (int place = 0; place < w->rows[1] * w->columns[1]; ++place) {
        const int row = place / w->columns[1] * w->stride[0] - w->padding[0];
        const int column = place % w->columns[1] * w->stride[1] - w->padding[1];
        for (int tap = 0; tap < taps; tap += 3) {
            const float *seen[3];
            for (int t = 0; t < 3; ++t) {
                const int i = (tap + t) / w->kernel[1], j = (tap + t) % w->kernel[1];
                const float *const x = pixel(w, in, row + i, column + j);
                seen[t] = x ? x : border;
            }
            three(tap ? sums : c->bias, seen, c->weights + tap * n, n, sums);
        }
        finish(c, sums, shortcut ? shortcut + place * n : NULL, out + place * n);
    }
}
