/* Where a kernel moves over its input. Pairs of sizes are {input, output}, others {rows, columns}. */
struct window {
    int rows[2], columns[2], channels[2];
    int kernel[2], stride[2], padding[2];
};

/* The channels at one pixel of the input; none beyond its borders. */
static const number *pixel(const struct window *w, const number *in, int row, int column)
{
    const int inside = row >= 0 && row < w->rows[0] && column >= 0 && column < w->columns[0];
    return inside ? in + (row * w->columns[0] + column) * w->channels[0] : NULL;
}
