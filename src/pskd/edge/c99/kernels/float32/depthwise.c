/* Each channel with a kernel of its own. */
static void depthwise(const struct convolution *c, const float *in, const float *shortcut,
                      float *restrict sums, float *out)
{
    const struct window *const w = &c->window;
    const int n = w->channels[1];
    for (int place = 0; place < w->rows[1] * w->columns[1]; ++place) {
        const int row = place / w->columns[1] * w->stride[0] - w->padding[0];
        const int column = place % w->columns[1] * w->stride[1] - w->padding[1];
        const float *weights = c->weights;
        for (int k = 0; k < n; ++k) {
            sums[k] = c->bias[k];
        }
        for (int i = 0; i < w->kernel[0]; ++i) {
            for (int j = 0; j < w->kernel[1]; ++j, weights += n) {
                const float *const seen = pixel(w, in, row + i, column + j);
                for (int k = 0; seen && k < n; ++k) {
                    sums[k] += seen[k] * weights[k];
                }
            }
        }
        finish(c, sums, shortcut ? shortcut + place * n : NULL, out + place * n);
    }
}
