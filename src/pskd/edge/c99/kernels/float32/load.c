/* The window, an axis after the other, to three numbers a time. */
static void load(const float *acceleration, float *out)
{
    for (int t = 0; t < STUDENT_SAMPLES; ++t) {
        for (int axis = 0; axis < STUDENT_CHANNELS; ++axis) {
            *out++ = sample(acceleration[axis * STUDENT_SAMPLES + t]);
        }
    }
}
