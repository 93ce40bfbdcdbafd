/* How totals become codes. */
struct rescale {
    int shift; /* a total / 2^shift, halves upward, is a code less the code that means 0 */
    int zero;  /* which is this */
    int least; /* code that is given */
};

/* More than any total, so that what is shifted is not negative; what is left fits 31 bits. */
static int64_t offset(const struct rescale *r)
{
    return (int64_t)1 << (r->shift < 32 ? r->shift + 30 : 62);
}

/* Clamps before the offset is taken off, so that 32 bits are enough; only `total` changes within
   a loop, and there are no branches. */
static int8_t rescale(const struct rescale *r, int64_t total)
{
    const int64_t start = offset(r) + ((int64_t)1 << (r->shift - 1));
    const int32_t zero = r->zero - (int32_t)(offset(r) >> r->shift);
    const int32_t low = r->least - zero, high = 127 - zero;
    int32_t code = (int32_t)((uint64_t)(total + start) >> r->shift);
    code = code < low ? low : code;
    code = code > high ? high : code;
    return (int8_t)(code + zero);
}
