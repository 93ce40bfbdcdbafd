/* What the kernel sees at one place of the output, less the code of 0; 0 beyond the borders and
   behind the last tap, up to a length that processors with vectors like. */
static void gather(const struct window *w, const int8_t *in, int zero, int place,
                   int16_t *restrict patch)
{
    const int row = place / w->columns[1] * w->stride[0] - w->padding[0];
    const int column = place % w->columns[1] * w->stride[1] - w->padding[1];
    int size = 0;
    for (int i = 0; i < w->kernel[0]; ++i) {
        for (int j = 0; j < w->kernel[1]; ++j, size += w->channels[0]) {
            const int8_t *const seen = pixel(w, in, row + i, column + j);
            for (int k = 0; k < w->channels[0]; ++k) {
                patch[size + k] = seen ? (int16_t)(seen[k] - zero) : 0;
            }
        }
    }
    for (; size % 8; ++size) {
        patch[size] = 0;
    }
}

/* Adds the products of three patches and the weights of two output channels, 8 times eighths of
   them: few enough sums that a processor with 16 registers keeps them all in these. All are 16 bits
   wide before they are multiplied, and their number a multiple of 8, which compilers turn to
   vectors without a remainder. */
static void multiply(const int16_t *restrict patches, const uint16_t *restrict weights,
                     int eighths, int32_t *restrict sums)
{
    int32_t a0 = sums[0], b0 = sums[1], a1 = a0, b1 = b0, a2 = a0, b2 = b0;
    for (int left = 8 * eighths; left > 0; --left, ++weights, ++patches) {
        const int16_t a = (int16_t)(((*weights & 255) ^ 128) - 128);
        const int16_t b = (int16_t)((*weights >> 8) - 128);
        const int16_t x0 = patches[0], x1 = patches[PATCH], x2 = patches[2 * PATCH];
        a0 += x0 * a;
        b0 += x0 * b;
        a1 += x1 * a;
        b1 += x1 * b;
        a2 += x2 * a;
        b2 += x2 * b;
    }
    sums[0] = a0;
    sums[1] = b0;
    sums[WIDEST] = a1;
    sums[WIDEST + 1] = b1;
    sums[2 * WIDEST] = a2;
    sums[2 * WIDEST + 1] = b2;
}

/* All input channels to all output channels, at three places at a time; places beyond the last
   repeat it. */
static void convolve(const struct convolution *c, const int8_t *in, const int8_t *shortcut,
                     int16_t *restrict patches, int32_t *restrict sums, int8_t *out)
{
    const struct window *const w = &c->window;
    const int places = w->rows[1] * w->columns[1], n = w->channels[1];
    const int eighths = (w->kernel[0] * w->kernel[1] * w->channels[0] + 7) / 8;
    for (int first = 0; first < places; first += 3) {
        for (int p = 0; p < 3; ++p) {
            const int place = first + p < places ? first + p : places - 1;
            gather(w, in, c->zero, place, patches + p * PATCH);
        }
        for (int k = 0; k < n; k += 2) {
            sums[k] = c->bias[k];
            sums[k + 1] = c->bias[k + 1];
            multiply(patches, c->weights + k / 2 * eighths * 8, eighths, sums + k);
        }
        for (int p = 0; p < 3 && first + p < places; ++p) {
            const int at = (first + p) * n;
            finish(c, sums + p * WIDEST, shortcut ? shortcut + at : NULL, out + at);
        }
    }
}
