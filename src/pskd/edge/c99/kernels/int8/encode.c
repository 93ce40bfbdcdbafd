/* The code nearest to a number, if there is one step of the code to per_unit of it. */
static int8_t encode(float x, float per_unit, int zero)
{
    const float least = (float)(-128 - zero), most = (float)(127 - zero), steps = x * per_unit;
    const float within = steps < least ? least : (steps > most ? most : steps);
    return (int8_t)((int)(within < 0.0f ? within - 0.5f : within + 0.5f) + zero);
}
