/* Mean or maximum of each channel under a kernel. */
static void pool(const struct window *w, int maximum, const float *in, float *restrict sums,
                 float *restrict out)
{
    const int n = w->channels[1];
    const float share = 1.0f / (float)(w->kernel[0] * w->kernel[1]);
    for (int place = 0; place < w->rows[1] * w->columns[1]; ++place, out += n) {
        const int row = place / w->columns[1] * w->stride[0] - w->padding[0];
        const int column = place % w->columns[1] * w->stride[1] - w->padding[1];
        for (int k = 0; k < n; ++k) {
            sums[k] = maximum ? LOWEST : 0.0f;
        }
        for (int i = 0; i < w->kernel[0]; ++i) {
            for (int j = 0; j < w->kernel[1]; ++j) {
                const float *const seen = pixel(w, in, row + i, column + j);
                for (int k = 0; seen && k < n; ++k) {
                    const float larger = seen[k] > sums[k] ? seen[k] : sums[k];
                    sums[k] = maximum ? larger : sums[k] + seen[k];
                }
            }
        }
        for (int k = 0; k < n; ++k) {
            out[k] = maximum ? sums[k] : sums[k] * share;
        }
    }
}
