// A signal brought to another rate as it comes: what pskd.signal.resample does in Python.
export const STEPS = 16; // that the usual step and the local rate are the mean of
const HALF_WIDTH = 6; // of the anti-alias filter, in periods of the output
const CUTOFF = 0.4; // of it, as a share of the output's rate

/** A part without gaps at an even rate: output k is the signal at start + k / rate. */
export class Resampler {
  constructor(rate) {
    Object.assign(this, { rate, made: 0, taken: 0, times: [], values: [] });
  }

  /** Takes a later sample; gives the outputs that it settles. */
  push(time, value) {
    if (!this.taken++) this.start = time;
    this.times.push(time);
    this.values.push(value);
    const given = [];
    for (;;) {
      const at = this.start + this.made / this.rate;
      const count = Math.floor((time - this.start) * this.rate + 1e-6) + 1;
      if (this.taken <= STEPS || this.made >= count || at > time) break;
      if (this.filters(at) && at + HALF_WIDTH / this.rate > time) break;
      given.push(this.give(at));
    }
    if (given.length) this.forget();
    return given;
  }

  /** What is left: the last sample is held for a step. */
  finish() {
    if (this.taken < 2) return [];
    const end = this.times.at(-1);
    const step = (end - this.start) / (this.taken - 1);
    const count = Math.floor((end + step - this.start) * this.rate + 1e-6);
    const given = [];
    while (this.made < count) given.push(this.give(this.start + this.made / this.rate));
    return given;
  }

  give(at) {
    this.made++;
    return this.filters(at) ? this.filtered(at) : this.between(at);
  }

  /** Whether the rate around a time is so much higher that it would alias. */
  filters(at) {
    const most = this.times.length - 1;
    const last = Math.min(Math.max(firstFrom(this.times, at), Math.min(STEPS, most)), most);
    const first = Math.max(last - STEPS, 0);
    return (last - first) / (this.times[last] - this.times[first]) > 1.5 * this.rate;
  }

  between(at) {
    const { times, values } = this;
    const after = Math.min(Math.max(firstAfter(times, at), 1), times.length - 1);
    const share = (at - times[after - 1]) / (times[after] - times[after - 1]);
    const weight = Math.min(Math.max(share, 0), 1);
    const blend = (axis) => values[after - 1][axis] * (1 - weight) + values[after][axis] * weight;
    return Float32Array.of(blend(0), blend(1), blend(2));
  }

  /** Mean of the samples around a time under a sinc in a Hann window. */
  filtered(at) {
    const { times, values } = this;
    const half = HALF_WIDTH / this.rate;
    const sum = [0, 0, 0];
    let total = 0;
    for (let k = firstFrom(times, at - half); k < times.length && times[k] <= at + half; k++) {
      const away = times[k] - at;
      const before = k ? times[k] - times[k - 1] : times[1] - times[0];
      const angle = Math.PI * 2 * CUTOFF * this.rate * away;
      const sinc = angle ? Math.sin(angle) / angle : 1;
      const weight = sinc * Math.cos((Math.PI * away) / (2 * half)) ** 2 * before;
      for (let axis = 0; axis < 3; axis++) sum[axis] += weight * values[k][axis];
      total += weight;
    }
    return Float32Array.from(sum, (value) => value / total);
  }

  forget() {
    const next = this.start + this.made / this.rate;
    const reach = firstFrom(this.times, next - HALF_WIDTH / this.rate) - 1;
    const needed = Math.min(reach, firstFrom(this.times, next) - STEPS);
    if (needed < 64) return; // seldom, so that little is moved
    this.times.splice(0, needed);
    this.values.splice(0, needed);
  }
}

/** Index of the first of some ascending times that is `at` or later. */
function firstFrom(times, at) {
  let low = 0, high = times.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (times[middle] < at) low = middle + 1;
    else high = middle;
  }
  return low;
}

function firstAfter(times, at) {
  const index = firstFrom(times, at);
  return times[index] === at ? index + 1 : index;
}
