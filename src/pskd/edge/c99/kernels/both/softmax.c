/* e to the power of x, for x up to 0: x is n ln 2 + r, and e^r a polynomial. */
static float exponential(float x)
{
    if (!(x > -87.0f)) {
        return 0.0f; /* below the smallest normal number, or not a number */
    }
    const int n = (int)(0.5f - x * 1.44269504f);
    const float r = (x + (float)n * 0.693359375f) - (float)n * 2.12194440e-4f;
    float sum = 1.0f;
    for (int k = 7; k > 0; --k) {
        sum = 1.0f + sum * r / (float)k;
    }
    for (int k = 0; k < n; ++k) {
        sum *= 0.5f;
    }
    return sum;
}

static void softmax(const float *logits, float *probabilities)
{
    float peak = logits[0], sum = 0.0f;
    for (int k = 1; k < STUDENT_CLASSES; ++k) {
        peak = logits[k] > peak ? logits[k] : peak;
    }
    for (int k = 0; k < STUDENT_CLASSES; ++k) {
        probabilities[k] = exponential(logits[k] - peak);
        sum += probabilities[k];
    }
    for (int k = 0; k < STUDENT_CLASSES; ++k) {
        probabilities[k] /= sum;
    }
}
