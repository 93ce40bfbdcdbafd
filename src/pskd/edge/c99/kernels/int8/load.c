/* The window, an axis after the other, to codes of three numbers a time. */
static void load(const float *acceleration, float per_unit, int zero, int8_t *out)
{
    for (int t = 0; t < STUDENT_SAMPLES; ++t) {
        for (int axis = 0; axis < STUDENT_CHANNELS; ++axis) {
            *out++ = encode(sample(acceleration[axis * STUDENT_SAMPLES + t]), per_unit, zero);
        }
    }
}
