// Recognition on a stream, sample by sample: what pskd.stream.Recognizer does in Python, with the
// same results. A sensor of the same device is never late on purpose, so that none is waited for.
import { Resampler, STEPS } from "./resampler.mjs";

export const IDLE = "idle", UNKNOWN = "unknown";

const GAP_SECONDS = 0.25, GAP_STEPS = 5, MAX_GAP_SECONDS = 1;
const MIN_STEP = 5e-5; // s; a sample that follows sooner is a duplicate
const JUMP_SECONDS = 1; // of late samples: the clock was set back
const GAPS = 20; // before the first window are worth a notice

/** Says of each sample whether it is used, and whether a new part begins with it. */
class Intake {
  constructor(counts) {
    this.counts = counts;
    this.restart();
  }

  restart() {
    this.used = -Infinity;
    this.late = null; // first and last time of a run of late samples
    this.steps = []; // the last ones of the part
  }

  /** "drop", "go on" or "begin". */
  judge(time, values) {
    const { counts } = this;
    counts.samples++;
    if (![time, ...values].every(Number.isFinite)) {
      counts.not_finite++;
      return "drop";
    }
    if (time === this.used) {
      counts.duplicates++;
      return "drop";
    }
    if (time < this.used) {
      counts.late++;
      this.late = this.late && time >= this.late[1] ? [this.late[0], time] : [time, time];
      if (time - this.late[0] < JUMP_SECONDS) return "drop";
      counts.clock_jumps++;
      this.restart();
    }
    this.late = null;
    const step = time - this.used;
    if (step < MIN_STEP) {
      counts.duplicates++;
      return "drop";
    }
    this.used = time;
    if (step === Infinity) return "begin";
    const usual = this.steps.length ? mean(this.steps) : Infinity;
    if (step > GAP_SECONDS && step > Math.min(GAP_STEPS * usual, MAX_GAP_SECONDS)) {
      counts.gaps++;
      this.steps = [];
      return "begin";
    }
    this.steps.push(step);
    if (this.steps.length > STEPS) this.steps.shift();
    return "go on";
  }
}

const mean = (values) => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Joins a window with those before, and says which action begins. */
class Decider {
  constructor(settings, classes, hop) {
    Object.assign(this, { settings, classes, kept: Math.exp(-hop / settings.smoothing_seconds) });
    this.reset();
  }

  reset() {
    this.probabilities = this.named = null;
    this.windows = 0;
    this.reported = false;
    this.reportedAt = -Infinity;
  }

  decide(window, { logits, probabilities }, end) {
    const { settings, classes } = this;
    const idle = settings.idle_g > 0 && movement(window) < settings.idle_g;
    const unknown =
      settings.rejection !== "none" &&
      score(settings.rejection, logits, probabilities) < settings.threshold;
    const fresh =
      idle || unknown ? classes.map(() => 1 / classes.length) : Array.from(probabilities);
    const smoothed = (this.probabilities = this.smooth(fresh));
    const most = Math.max(...smoothed);
    const name = idle ? IDLE : unknown ? UNKNOWN : classes[smoothed.indexOf(most)];
    const action = this.report(name, [IDLE, UNKNOWN].includes(name), end);
    const { reported } = this;
    return { name, probability: most, probabilities: smoothed, action, reported };
  }

  smooth(fresh) {
    const { probabilities: old, kept, settings } = this;
    if (!old || settings.smoothing === "none") return fresh;
    if (settings.smoothing === "exponential")
      return fresh.map((p, k) => (1 - kept) * p + kept * old[k]);
    const left = (1 - kept) / (old.length - 1);
    const joint = fresh.map((p, k) => (left + (kept - left) * old[k]) * p);
    const total = joint.reduce((sum, p) => sum + p, 0);
    return total > 0 ? joint.map((p) => p / total) : fresh;
  }

  report(name, none, end) {
    if (name !== this.named) {
      this.named = name;
      this.windows = 0;
      this.reported = false;
    }
    this.windows++;
    const early = end - this.reportedAt < this.settings.refractory_seconds;
    if (none || this.reported || early || this.windows < this.settings.agree) return null;
    this.reported = true;
    this.reportedAt = end;
    return name;
  }
}

/** Root mean square distance of the samples from their mean. */
function movement(window) {
  let total = 0;
  for (let axis = 0; axis < 3; axis++) {
    const values = window.map((sample) => sample[axis]);
    const middle = mean(values);
    total += mean(values.map((value) => (value - middle) ** 2));
  }
  return Math.sqrt(total);
}

function score(rejection, logits, probabilities) {
  if (rejection === "probability") return Math.max(...probabilities);
  const most = Math.max(...logits);
  return most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
}

/** Python's round: a half goes to the even neighbour. */
function rounded(value) {
  const below = Math.floor(value);
  const over = value - below;
  return over > 0.5 || (over === 0.5 && below % 2) ? below + 1 : below;
}

/**
 * Recognises what is done in a stream. `predict` takes a window of x, then y, then z (Float32Array)
 * and gives { logits, probabilities }; `config` and `settings` are those of the student.
 */
export class Recognizer {
  constructor(predict, config, settings) {
    Object.assign(this, { predict, config, settings, notices: [] });
    this.rate = config.samples / config.window_seconds;
    this.hop = settings.hop_seconds ?? config.hop_seconds;
    this.stride = (this.hop * config.samples) / config.window_seconds; // in samples, not whole
    const names = "samples duplicates late not_finite gaps clock_jumps windows".split(" ");
    this.counts = Object.fromEntries(names.map((name) => [name, 0]));
    this.begin();
  }

  /** Takes values [3 n] in g, sample after sample, and times [n] in s; gives predictions. */
  push(values, times) {
    const found = [];
    for (let k = 0; k < times.length; k++) {
      const sample = Float32Array.from(values.subarray(3 * k, 3 * k + 3));
      const jumps = this.counts.clock_jumps;
      const verdict = this.intake.judge(times[k], sample);
      if (this.counts.clock_jumps > jumps)
        this.note("The clock of the device was set back: a new part of the stream began.");
      if (verdict === "drop") continue;
      if (verdict === "begin") {
        found.push(...this.cut(this.resampler.finish()));
        this.beginPart();
      }
      found.push(...this.cut(this.resampler.push(times[k], sample)));
    }
    if (this.counts.gaps >= GAPS && !this.counts.windows)
      this.note(
        `No window was full yet, for ${GAPS} gaps: samples come more than a second apart. ` +
          "Are their times in seconds?",
      );
    return found;
  }

  /** Ends the stream and gives what is left; what comes then begins anew. */
  finish() {
    const found = this.cut(this.resampler.finish());
    if (this.counts.samples && !this.counts.windows)
      this.note(
        `No window was ever full: the student needs ${this.config.window_seconds.toFixed(1)} s ` +
          "without a gap.",
      );
    this.begin();
    return found;
  }

  begin() {
    this.intake = new Intake(this.counts);
    this.decider = new Decider(this.settings, this.config.classes, this.hop);
    this.beginPart();
  }

  beginPart() {
    this.resampler = new Resampler(this.rate);
    this.decider.reset();
    this.held = []; // resampled samples from number `first` on
    this.first = this.index = 0;
  }

  cut(resampled) {
    const { samples } = this.config;
    const found = [];
    this.held.push(...resampled);
    for (;;) {
      const first = rounded(this.index * this.stride);
      const at = first - this.first;
      if (at + samples > this.held.length) {
        const needed = Math.min(at, this.held.length);
        this.held.splice(0, needed);
        this.first += needed;
        return found;
      }
      const start = this.resampler.start + first / this.rate;
      const window = this.held.slice(at, at + samples);
      if (!this.index++) this.check(window);
      this.counts.windows++;
      const end = start + this.config.window_seconds;
      const answer = this.predict(byAxis(window));
      found.push({ start, end, ...this.decider.decide(window, answer, end) });
    }
  }

  /** Notices, once a part, what makes predictions worthless. */
  check(window) {
    const { taken, start, times } = this.resampler; // the intake may be in the next part already
    const came = (taken - 1) / (times.at(-1) - start);
    if (came < 0.8 * this.rate)
      this.note(
        `Samples come ${came.toFixed(0)} times a second, and the student was trained on ` +
          `${this.rate.toFixed(1)}: it misses fast movements.`,
      );
    const norms = window.map((sample) => Math.hypot(...sample)).sort((a, b) => a - b);
    const norm = norms[norms.length >> 1];
    if (norm < 0.5 || norm > 2)
      this.note(
        `The median norm of the acceleration is ${norm.toPrecision(3)} g where 1 is usual: is the ` +
          "unit right, and is gravity in it?",
      );
  }

  note(text) {
    if (!this.notices.includes(text)) this.notices.push(text);
  }
}

const byAxis = (window) =>
  Float32Array.from([0, 1, 2].flatMap((axis) => window.map((sample) => sample[axis])));
