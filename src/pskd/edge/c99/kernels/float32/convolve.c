/* What the kernel sees at one place of the output, with zeros beyond the borders. */
static void gather(const struct window *w, const float *in, int place, float *restrict patch)
{
    const int row = place / w->columns[1] * w->stride[0] - w->padding[0];
    const int column = place % w->columns[1] * w->stride[1] - w->padding[1];
    for (int i = 0; i < w->kernel[0]; ++i) {
        for (int j = 0; j < w->kernel[1]; ++j, patch += w->channels[0]) {
            const float *const seen = pixel(w, in, row + i, column + j);
            for (int k = 0; k < w->channels[0]; ++k) {
                patch[k] = seen ? seen[k] : 0.0f;
            }
        }
    }
}

/* All input channels to all output channels, four places at a time so that each weight is read
   once for the four; places beyond the last repeat it. */
static void convolve(const struct convolution *c, const float *in, const float *shortcut,
                     float *restrict patches, float *restrict sums, float *out)
{
    const struct window *const w = &c->window;
    const int places = w->rows[1] * w->columns[1], n = w->channels[1];
    const int size = w->kernel[0] * w->kernel[1] * w->channels[0];
    for (int first = 0; first < places; first += 4) {
        for (int p = 0; p < 4; ++p) {
            gather(w, in, first + p < places ? first + p : places - 1, patches + p * size);
            for (int k = 0; k < n; ++k) {
                sums[p * n + k] = c->bias[k];
            }
        }
        const float *weights = c->weights;
        for (int i = 0; i < size; ++i, weights += n) {
            const float x0 = patches[i], x1 = patches[size + i];
            const float x2 = patches[2 * size + i], x3 = patches[3 * size + i];
            for (int k = 0; k < n; ++k) {
                sums[k] += x0 * weights[k];
                sums[n + k] += x1 * weights[k];
                sums[2 * n + k] += x2 * weights[k];
                sums[3 * n + k] += x3 * weights[k];
            }
        }
        for (int p = 0; p < 4 && first + p < places; ++p) {
            const int at = (first + p) * n;
            finish(c, sums + p * n, shortcut ? shortcut + at : NULL, out + at);
        }
    }
}
