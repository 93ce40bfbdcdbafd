struct pool {
    struct window window;
    int maximum; /* or the mean */
    int32_t multiplier;
    int zero; /* code that means 0 */
    struct rescale rescale;
};

/* Mean or maximum of each channel under a kernel. */
static void pool(const struct pool *p, const int8_t *in, int32_t *restrict sums,
                 int8_t *restrict out)
{
    const struct window *const w = &p->window;
    const int n = w->channels[1];
    for (int place = 0; place < w->rows[1] * w->columns[1]; ++place, out += n) {
        const int row = place / w->columns[1] * w->stride[0] - w->padding[0];
        const int column = place % w->columns[1] * w->stride[1] - w->padding[1];
        for (int k = 0; k < n; ++k) {
            sums[k] = p->maximum ? -255 : 0;
        }
        for (int i = 0; i < w->kernel[0]; ++i) {
            for (int j = 0; j < w->kernel[1]; ++j) {
                const int8_t *const seen = pixel(w, in, row + i, column + j);
                for (int k = 0; seen && k < n; ++k) {
                    const int32_t x = seen[k] - p->zero, larger = x > sums[k] ? x : sums[k];
                    sums[k] = p->maximum ? larger : sums[k] + x;
                }
            }
        }
        for (int k = 0; k < n; ++k) {
            out[k] = rescale(&p->rescale, (int64_t)sums[k] * p->multiplier);
        }
    }
}
