/* The last layer: sums that are not rounded, but turned to float logits. */
static void classify(const int8_t *in, int size, int zero, const int8_t *weights,
                     const int32_t *bias, const float *scales, float *logits)
{
    for (int k = 0; k < STUDENT_CLASSES; ++k, weights += size) {
        int32_t sum = bias[k];
        for (int i = 0; i < size; ++i) {
            sum += (in[i] - zero) * weights[i];
        }
        logits[k] = (float)sum * scales[k];
    }
}
