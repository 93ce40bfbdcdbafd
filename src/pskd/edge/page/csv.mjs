// Reads a recording from CSV text as pskd does: a header with t, x, y, z in any order and case,
// also ax, acc_x, ..., time, timestamp, t_ms, ...; seconds, unix time in any unit, or ISO 8601.
export const STANDARD_GRAVITY = 9.80665;
const MAX_BYTES = 50_000_000;
const AXIS = /^(?:a|acc_?|accel_?|acceleration_?|accelerometer_?)?([xyz])$/;
const TIME = /^(?:t|time|timestamp)(?:_(s|ms|us|ns))?$/;
const ISO = /^(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(\.\d+)?(?:Z|([+-])(\d\d)(?::?(\d\d))?)?$/;
const SECONDS = { s: 1, ms: 1e-3, us: 1e-6, ns: 1e-9 };

/** What is wrong with a recording, in words for its owner. */
export class RecordingError extends Error {}

/** A file's recording: { times [T] s, values [3 T] g, sample after sample, notes }. */
export async function readCsv(file, unit) {
  if (file.size > MAX_BYTES)
    throw new RecordingError(`${file.name} is larger than ${MAX_BYTES / 1e6} MB. Split it.`);
  try {
    const text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
    return parseCsv(text, unit);
  } catch (error) {
    if (error instanceof RecordingError) throw new RecordingError(`${file.name}: ${error.message}`);
    throw new RecordingError(`${file.name} is no text that can be read. Save it as CSV in UTF-8.`);
  }
}

export function parseCsv(text, unit = "auto") {
  const lines = text.split(/\r\n|\n|\r/);
  const cells = (line) => line.replaceAll('"', "").split(",");
  const header = cells(lines.find((line) => line.trim()) ?? "").map((c) => c.trim().toLowerCase());
  const columns = ["x", "y", "z"].map((axis) => column(header, AXIS, axis));
  const clocks = header.flatMap((name, index) => (TIME.test(name) ? [index] : []));
  if (clocks.length !== 1)
    throw new RecordingError(
      `${clocks.length ? "several columns" : "no column"} t in the header. ` +
        "Name the columns t,x,y,z.",
    );
  const [clock] = clocks;
  const times = [], values = [];
  let seen = false;
  lines.forEach((line, index) => {
    if (!line.trim()) return;
    if (!seen) { seen = true; return; }
    const row = cells(line);
    if (row.length !== header.length)
      throw at(index, `${row.length} cells, the header has ${header.length}`);
    const sample = columns.map((place) => number(row[place]));
    const time = moment(row[clock]);
    if (![time, ...sample].every((value) => Math.abs(value) < 1e20))
      throw at(index, "a value is no finite number");
    times.push(time);
    values.push(...sample);
  });
  if (times.length < 2) throw new RecordingError(`${times.length} samples, at least 2 are needed.`);
  const scale = SECONDS[TIME.exec(header[clock])[1] ?? unixUnit(times[0])];
  const seconds = Float64Array.from(times, (time) => time * scale);
  const back = seconds.findIndex((time, k) => k > 0 && time <= seconds[k - 1]);
  if (back > 0)
    throw new RecordingError(`sample ${back + 1} is not later than the one before. Sort by time.`);
  const usual = median(seconds.subarray(1).map((time, k) => time - seconds[k]));
  if (usual < 1e-4 || usual > 1)
    throw new RecordingError(
      `samples are ${usual} s apart, which no accelerometer's are. ` +
        "Name the column of times after its unit: t_s, t_ms, t_us or t_ns.",
    );
  return { times: seconds, ...inG(values, unit) };
}

function column(header, pattern, axis) {
  const found = header.flatMap((name, index) => (pattern.exec(name)?.[1] === axis ? [index] : []));
  if (found.length !== 1)
    throw new RecordingError(
      `${found.length ? "several columns" : "no column"} ${axis} in the header. ` +
        "Name the columns in the first line t,x,y,z.",
    );
  return found[0];
}

const at = (index, fault) => new RecordingError(`line ${index + 1}: ${fault}. Mend or remove it.`);

const number = (cell) => (cell.trim() ? Number(cell) : NaN);

function moment(cell) {
  const value = number(cell);
  if (!Number.isNaN(value)) return value;
  const found = ISO.exec(cell.trim());
  if (!found) return NaN;
  const [, date, time, fraction, sign, hours, minutes] = found; // without a zone: UTC
  const zone = sign ? `${sign}${hours}:${minutes ?? "00"}` : "Z";
  return Date.parse(`${date}T${time}${zone}`) / 1000 + Number(fraction ?? 0); // to the microsecond
}

/** Unix time in any unit is known by its size. */
function unixUnit(first) {
  const seconds = (unit) => Math.abs(first) * SECONDS[unit];
  return Object.keys(SECONDS).find((unit) => seconds(unit) > 9e8 && seconds(unit) < 5e9) ?? "s";
}

const median = (values) => Float64Array.from(values).sort()[values.length >> 1];

/** Most of the time gravity is most of it: the median of the norm tells g from m/s2. */
function inG(values, unit) {
  const norms = Float64Array.from({ length: values.length / 3 }, (_, k) =>
    Math.hypot(values[3 * k], values[3 * k + 1], values[3 * k + 2]),
  );
  const norm = median(norms);
  const ones = { g: 1, "m/s2": STANDARD_GRAVITY };
  const looks = Object.keys(ones).find((u) => norm > ones[u] / 2 && norm < ones[u] * 2);
  const shown = norm.toPrecision(3);
  if (unit !== "auto" && looks && looks !== unit)
    throw new RecordingError(
      `the median norm of the acceleration is ${shown}, which looks like ${looks}, not ${unit}.`,
    );
  if (unit === "auto" && !looks)
    throw new RecordingError(
      `the median norm of the acceleration is ${shown}, neither g nor m/s². ` +
        "Give it with gravity, and choose its unit.",
    );
  const chosen = unit === "auto" ? looks : unit;
  const notes = [];
  if (unit === "auto") notes.push(`Unit taken as ${looks}: the median norm is ${shown}.`);
  else if (!looks)
    notes.push(
      `The median norm of the acceleration is ${shown} ${unit}, where ` +
        `${ones[unit].toPrecision(3)} is usual: is gravity in it?`,
    );
  return { values: Float32Array.from(values, (value) => value / ones[chosen]), notes };
}
