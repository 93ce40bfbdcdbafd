// Where samples come from. A source has prepare(), which may ask or refuse, then run(feed, ended)
// and stop(). It feeds { times [n] s, values [3 n] g, arrived [n] ms of performance.now() };
// what is replayed at once has no time of arrival.
import { STANDARD_GRAVITY } from "./csv.mjs";

const PATIENCE = 3000; // ms without a sample after which a device has no sensor
const BATCH = 1000; // samples at once, so that the page can be used in between

/** This device's accelerometer. */
export class Motion {
  constructor(tell) {
    this.tell = tell;
    // Where a phone lies on its back, the standard and Android say z = +9.81; iOS says -9.81.
    this.sign = isApplePhone() ? -1 : 1;
  }

  async prepare() {
    if (!window.isSecureContext)
      throw new Error(
        "Browsers give motion data to secure pages only. Open this page over https, or from this " +
          "very machine.",
      );
    if (typeof DeviceMotionEvent === "undefined")
      throw new Error("This browser gives no motion data. Choose a file or the simulated person.");
    const ask = DeviceMotionEvent.requestPermission; // iOS, and only on a tap
    if (ask && (await ask.call(DeviceMotionEvent)) !== "granted")
      throw new Error(
        "Access to the motion sensor was denied. Allow it in the browser's settings of this page, " +
          "then start again.",
      );
    if (this.sign < 0)
      this.tell("iOS gives acceleration with the opposite sign; here it is turned round.");
  }

  run(feed, ended) {
    const silent = setTimeout(
      () =>
        ended(
          "No motion data came. This device may have no sensor: choose a file or the simulated " +
            "person.",
        ),
      PATIENCE,
    );
    this.listen = (event) => {
      const a = event.accelerationIncludingGravity;
      if (a?.x == null || a.y == null || a.z == null) return;
      clearTimeout(silent);
      feed({
        times: [event.timeStamp / 1000],
        values: Float32Array.from([a.x, a.y, a.z], (v) => (this.sign * v) / STANDARD_GRAVITY),
        arrived: [event.timeStamp],
      });
    };
    window.addEventListener("devicemotion", this.listen);
    this.stop = () => {
      clearTimeout(silent);
      window.removeEventListener("devicemotion", this.listen);
    };
  }

  stop() {}
}

const isApplePhone = () =>
  /iPad|iPhone|iPod/.test(navigator.userAgent) ||
  (navigator.platform === "MacIntel" && navigator.maxTouchPoints > 1);

/** A recording, at a speed times real time; 0: at once. */
export class Replay {
  constructor({ times, values }, speed) {
    Object.assign(this, { times, values, speed, sent: 0 });
  }

  async prepare() {}

  run(feed, ended) {
    const { times, values, speed } = this;
    const began = performance.now();
    const due = (k) => (speed ? began + (1000 * (times[k] - times[0])) / speed : NaN);
    const step = () => {
      const from = this.sent;
      const now = performance.now();
      const most = Math.min(times.length, from + BATCH);
      while (this.sent < most && !(due(this.sent) > now)) this.sent++;
      if (this.sent > from)
        feed({
          times: times.subarray(from, this.sent),
          values: values.subarray(3 * from, 3 * this.sent),
          arrived: Array.from({ length: this.sent - from }, (_, k) => due(from + k)),
        });
      if (this.sent === times.length) ended();
      else this.timer = setTimeout(step, speed ? 20 : 0);
    };
    this.timer = setTimeout(step);
  }

  stop() {
    clearTimeout(this.timer);
  }
}
