/* A total / 2^shift, halves upward. The offset, more than any total, keeps what is shifted from
   being negative. */
static int32_t rescale(int64_t total, int shift)
{
    const int64_t offset = (int64_t)1 << 62, half = (int64_t)1 << (shift - 1);
    const uint64_t shifted = (uint64_t)(total + half + offset) >> shift;
    return (int32_t)((int64_t)shifted - (offset >> shift));
}

static int8_t clamp(int32_t code, int32_t least)
{
    return (int8_t)(code < least ? least : (code > 127 ? 127 : code));
}
