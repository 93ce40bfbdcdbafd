/* What the kernel sees at one place of the output, less the code of 0; 0 beyond the borders and
   behind the last tap, up to a length that processors with vectors like. */
static void gather(const struct window *w, const int8_t *in, int zero, int place, int size,
                   int16_t *restrict patch)
{
    int16_t *const end = patch + size;
    const int row = place / w->columns[1] * w->stride[0] - w->padding[0];
    const int column = place % w->columns[1] * w->stride[1] - w->padding[1];
    for (int i = 0; i < w->kernel[0]; ++i) {
        for (int j = 0; j < w->kernel[1]; ++j, patch += w->channels[0]) {
            const int8_t *const seen = pixel(w, in, row + i, column + j);
            for (int k = 0; k < w->channels[0]; ++k) {
                patch[k] = seen ? (int16_t)(seen[k] - zero) : 0;
            }
        }
    }
    while (patch < end) {
        *patch++ = 0;
    }
}

/* All input channels to all output channels, four places at a time so that each weight is read
   once for the four; places beyond the last repeat it. */
static void convolve(const struct convolution *c, const int8_t *in, const int8_t *shortcut,
                     int16_t *restrict patches, int32_t *restrict sums, int8_t *out)
{
    const struct window *const w = &c->window;
    const int places = w->rows[1] * w->columns[1], n = w->channels[1];
    const int size = (w->kernel[0] * w->kernel[1] * w->channels[0] + 7) / 8 * 8;
    const int16_t *const x0 = patches, *const x1 = x0 + size;
    const int16_t *const x2 = x1 + size, *const x3 = x2 + size;
    for (int first = 0; first < places; first += 4) {
        for (int p = 0; p < 4; ++p) {
            const int place = first + p < places ? first + p : places - 1;
            gather(w, in, c->zero, place, size, patches + p * size);
        }
        const int8_t *weights = c->weights;
        for (int k = 0; k < n; ++k, weights += size) {
            int32_t s0 = c->bias[k], s1 = s0, s2 = s0, s3 = s0;
            for (int i = 0; i < size; ++i) {
                s0 += x0[i] * weights[i];
                s1 += x1[i] * weights[i];
                s2 += x2[i] * weights[i];
                s3 += x3[i] * weights[i];
            }
            sums[k] = s0;
            sums[n + k] = s1;
            sums[2 * n + k] = s2;
            sums[3 * n + k] = s3;
        }
        for (int p = 0; p < 4 && first + p < places; ++p) {
            const int at = (first + p) * n;
            finish(c, sums + p * n, shortcut ? shortcut + at : NULL, out + at);
        }
    }
}
