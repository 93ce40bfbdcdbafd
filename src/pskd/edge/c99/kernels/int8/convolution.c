struct convolution {
    struct window window;
    const int8_t *weights;      /* [output channels][kernel rows][kernel columns][input channels],
                                   each output channel filled up to a multiple of 8 with zeros;
                                   depthwise: [kernel rows][kernel columns][channels] */
    const int32_t *bias;        /* in units of the sums */
    const int32_t *multipliers; /* of each output channel; over 2^shift they turn sums to codes */
    int32_t shortcut_multiplier;
    int shift;
    int zero, zero_shortcut, zero_out; /* codes that mean 0 */
    int least;                         /* code of the output */
};

/* One pixel of the output: from sums, and the shortcut if there is one, to codes. */
static void finish(const struct convolution *c, const int32_t *sums, const int8_t *shortcut,
                   int8_t *restrict out)
{
    for (int k = 0; k < c->window.channels[1]; ++k) {
        int64_t total = (int64_t)sums[k] * c->multipliers[k];
        if (shortcut) {
            total += (int64_t)(shortcut[k] - c->zero_shortcut) * c->shortcut_multiplier;
        }
        out[k] = clamp(rescale(total, c->shift) + c->zero_out, c->least);
    }
}
