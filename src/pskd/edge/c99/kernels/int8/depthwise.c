/* Each channel with a kernel of its own. */
static void depthwise(const struct convolution *c, const int8_t *in, const int8_t *shortcut,
                      int32_t *restrict sums, int8_t *out)
{
    const struct window *const w = &c->window;
    const int n = w->channels[1];
    for (int place = 0; place < w->rows[1] * w->columns[1]; ++place) {
        const int row = place / w->columns[1] * w->stride[0] - w->padding[0];
        const int column = place % w->columns[1] * w->stride[1] - w->padding[1];
        const int8_t *weights = c->weights;
        for (int k = 0; k < n; ++k) {
            sums[k] = c->bias[k];
        }
        for (int i = 0; i < w->kernel[0]; ++i) {
            for (int j = 0; j < w->kernel[1]; ++j, weights += n) {
                const int8_t *const seen = pixel(w, in, row + i, column + j);
                for (int k = 0; seen && k < n; ++k) {
                    sums[k] += (int16_t)(seen[k] - c->zero) * (int16_t)weights[k];
                }
            }
        }
        finish(c, sums, shortcut ? shortcut + place * n : NULL, out + place * n);
    }
}
