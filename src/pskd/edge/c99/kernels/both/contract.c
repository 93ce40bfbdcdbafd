/* A product and a sum are rounded one after the other, as the reference does it. */
#ifdef __clang__
#pragma STDC FP_CONTRACT OFF
#endif
