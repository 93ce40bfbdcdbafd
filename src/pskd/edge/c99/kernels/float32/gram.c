/* Pixel (i, j): cosine of the sum of the angles at i and j, or sine of their difference. */
static void gram(const float *angles, int n, int summation, int difference, float *out)
{
    for (int i = 0; i < n; ++i) {
        for (int j = 0; j < n; ++j) {
            const float *const a = angles + 6 * i, *const b = angles + 6 * j;
            for (int axis = 0; summation && axis < 3; ++axis) {
                *out++ = a[axis] * b[axis] - a[3 + axis] * b[3 + axis];
            }
            for (int axis = 0; difference && axis < 3; ++axis) {
                *out++ = a[3 + axis] * b[axis] - a[axis] * b[3 + axis];
            }
        }
    }
}
