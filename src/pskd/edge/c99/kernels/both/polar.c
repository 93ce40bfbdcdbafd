/* Square root of 0..1 by Heron's method: from above, it falls until it stands still. */
static float square_root(float x)
{
    double root = 1.0, next = 0.5 * (1.0 + (double)x);
    while (x > 0.0f && next < root) {
        root = next;
        next = 0.5 * (root + (double)x / root);
    }
    return x > 0.0f ? (float)root : 0.0f;
}

/* Cosines, then sines, of the three axes' angles at each of n times: stretches of samples are
   averaged and scaled to -1..1, which is read as the cosine. */
static void polar(const float *acceleration, const uint16_t *bounds, int n, float *angles)
{
    for (int axis = 0; axis < STUDENT_CHANNELS; ++axis, acceleration += STUDENT_SAMPLES) {
        float *const out = angles + axis;
        float low = SAMPLE_LIMIT, high = -SAMPLE_LIMIT;
        for (int i = 0; i < n; ++i) {
            const float share = 1.0f / (float)(bounds[i + 1] - bounds[i]);
            float mean = 0.0f;
            for (int t = bounds[i]; t < bounds[i + 1]; ++t) {
                mean += sample(acceleration[t]) * share;
            }
            out[6 * i] = mean;
            low = mean < low ? mean : low;
            high = mean > high ? mean : high;
        }
        const float flat = low == high ? 1.0f : 0.0f, span = high - low + flat;
        for (int i = 0; i < n; ++i) {
            const float u = (out[6 * i] - low) / span, v = (high - out[6 * i] + flat) / span;
            out[6 * i] = u - v;
            out[6 * i + 3] = 2.0f * square_root(u * v);
        }
    }
}
