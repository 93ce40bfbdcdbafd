/* What the kernel sees at one place of the output, with zeros beyond the borders and behind the
   last tap, up to a multiple of 4. */
static void gather(const struct window *w, const float *in, int place, float *restrict patch)
{
    const int row = place / w->columns[1] * w->stride[0] - w->padding[0];
    const int column = place % w->columns[1] * w->stride[1] - w->padding[1];
    int size = 0;
    for (int i = 0; i < w->kernel[0]; ++i) {
        for (int j = 0; j < w->kernel[1]; ++j, size += w->channels[0]) {
            const float *const seen = pixel(w, in, row + i, column + j);
            for (int k = 0; k < w->channels[0]; ++k) {
                patch[size + k] = seen ? seen[k] : 0.0f;
            }
        }
    }
    for (; size % 4; ++size) {
        patch[size] = 0.0f;
    }
}

/* Adds the products of four numbers of each of four patches: a sum is read and written once for
   the four, a weight read once for the four patches. */
static void multiply(const float *restrict x, const float *const rows[4], int n,
                     float *restrict sums)
{
    const float *const w0 = rows[0], *const w1 = rows[1], *const w2 = rows[2], *const w3 = rows[3];
    const float *const y = x + PATCH, *const z = y + PATCH, *const v = z + PATCH;
    for (int k = 0; k < n; ++k) {
        float *const s = sums + k;
        const float a = w0[k], b = w1[k], c = w2[k], d = w3[k];
        s[0] = s[0] + x[0] * a + x[1] * b + x[2] * c + x[3] * d;
        s[WIDEST] = s[WIDEST] + y[0] * a + y[1] * b + y[2] * c + y[3] * d;
        s[2 * WIDEST] = s[2 * WIDEST] + z[0] * a + z[1] * b + z[2] * c + z[3] * d;
        s[3 * WIDEST] = s[3 * WIDEST] + v[0] * a + v[1] * b + v[2] * c + v[3] * d;
    }
}

/* All input channels to all output channels, at four places at a time; places beyond the last
   repeat it. */
static void convolve(const struct convolution *c, const float *in, const float *shortcut,
                     float *restrict patches, float *restrict sums, float *out)
{
    const struct window *const w = &c->window;
    const int places = w->rows[1] * w->columns[1], n = w->channels[1];
    const int size = w->kernel[0] * w->kernel[1] * w->channels[0];
    for (int first = 0; first < places; first += 4) {
        for (int p = 0; p < 4; ++p) {
            gather(w, in, first + p < places ? first + p : places - 1, patches + p * PATCH);
            for (int k = 0; k < n; ++k) {
                sums[p * WIDEST + k] = c->bias[k];
            }
        }
        for (int i = 0; i < size; i += 4) {
            const float *rows[4];
            for (int j = 0; j < 4; ++j) {
                rows[j] = c->weights + (i + j < size ? i + j : size - 1) * n;
            }
            multiply(patches + i, rows, n, sums);
        }
        for (int p = 0; p < 4 && first + p < places; ++p) {
            const int at = (first + p) * n;
            finish(c, sums + p * WIDEST, shortcut ? shortcut + at : NULL, out + at);
        }
    }
}
