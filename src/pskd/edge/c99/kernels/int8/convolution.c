struct convolution {
    struct window window;
    const uint16_t *weights;    /* [pairs of output channels][kernel rows][kernel columns][input
                                   channels], filled up to a multiple of 8 with zeros: the first
                                   of a pair in the low byte, the second, 128 larger, above */
    const int8_t *taps;         /* depthwise, instead: [kernel rows x kernel columns][channels],
                                   the former filled up to a multiple of 3 with zeros */
    const int32_t *bias;        /* in units of the sums */
    const int32_t *multipliers; /* of each output channel; over 2^shift they turn sums to codes */
    int32_t shortcut_multiplier;
    int zero, zero_shortcut; /* codes that mean 0 */
    struct rescale rescale;
};

/* One pixel of the output: from sums, and the shortcut if there is one, to codes. */
static void finish(const struct convolution *c, const int32_t *restrict sums,
                   const int8_t *shortcut, int8_t *restrict out)
{
    const struct rescale r = c->rescale; /* a copy, which no output can overwrite */
    const int n = c->window.channels[1];
    if (!shortcut) {
        for (int k = 0; k < n; ++k) {
            out[k] = rescale(&r, (int64_t)sums[k] * c->multipliers[k]);
        }
        return;
    }
    for (int k = 0; k < n; ++k) {
        const int64_t beside = (int64_t)(shortcut[k] - c->zero_shortcut) * c->shortcut_multiplier;
        out[k] = rescale(&r, (int64_t)sums[k] * c->multipliers[k] + beside);
    }
}
