/* Copies one part of a longer vector. */
static void concatenate(const number *part, int size, number *out)
{
    for (int i = 0; i < size; ++i) {
        out[i] = part[i];
    }
}
