#define LOWEST -3.4e38f /* no number is lower */

struct convolution {
    struct window window;
    const float *weights; /* [kernel rows][kernel columns][input channels][output channels];
                             depthwise: [kernel rows x kernel columns][channels], the former
                             filled up to a multiple of 3 with zeros */
    const float *bias;
    int relu;
};

/* One pixel of the output: the sums of its channels, the shortcut if there is one, the ReLU. */
static void finish(const struct convolution *c, const float *sums, const float *shortcut,
                   float *restrict out)
{
    const float least = c->relu ? 0.0f : LOWEST;
    for (int k = 0; k < c->window.channels[1]; ++k) {
        const float sum = shortcut ? sums[k] + shortcut[k] : sums[k];
        out[k] = sum > least ? sum : least;
    }
}
