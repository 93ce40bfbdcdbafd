/* A sample as it is used: 0 if it is not a number, no further from 0 than the limit. */
static float sample(float g)
{
    if (g >= -SAMPLE_LIMIT && g <= SAMPLE_LIMIT) {
        return g;
    }
    return g > 0.0f ? SAMPLE_LIMIT : (g < 0.0f ? -SAMPLE_LIMIT : 0.0f);
}
