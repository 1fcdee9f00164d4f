// A task's pulse: one line whose height is the volume and whose colour is the mood of the minute before.
// Where nothing is known there is no line: only what was told is drawn.

import { curve, plain, shade } from "./ink.js";
import { balanceOver } from "./store.js";

const PAD = { top: 14, right: 18, bottom: 8 };
const FLOOR = 4; // the least height of the scale, so that a single post is no mountain
const SETTLE_MS = 260;
const BEAT_MS = 900;
const FADE = 36; // over how many pixels a line comes into sight
export const MOOD_WINDOWS = 6; // how many windows the colour looks back

export class Heartline {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.shown = new Map();
    this.scale = FLOOR;
    this.series = [];
    this.beats = [];
    this.visible = true;
    this.lost = false; // nothing is known of the present
    this.lastFrame = 0;
    new ResizeObserver(() => this.resize()).observe(canvas);
    new IntersectionObserver(([entry]) => { this.visible = entry.isIntersecting; }).observe(canvas);
  }

  resize() {
    const ratio = Math.min(devicePixelRatio || 1, 3);
    const { clientWidth, clientHeight } = this.canvas;
    if (!clientWidth) return;
    this.canvas.width = Math.round(clientWidth * ratio);
    this.canvas.height = Math.round(clientHeight * ratio);
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.draw(this.now ?? Date.now(), true);
  }

  // `series` are windows in order; `size` seconds each. Live: its last window is the one that now lies in.
  set(series, size, from, to, live) {
    Object.assign(this, { series, size, from, to, live });
  }

  beat() {
    if (this.beats.length < 4) this.beats.push(performance.now());
  }

  // The lines at `now`, each a run of points [time, height, mood] without a gap. A window that is still filling is
  // taken together with what its predecessor leads one to expect of the rest of it, so that the end of the line neither
  // drops nor jumps.
  runs(now, still) {
    const step = 1000 * this.size;
    const ease = still ? 1 : 1 - Math.exp(-(performance.now() - this.lastFrame) / SETTLE_MS);
    const runs = [];
    let points = null;
    let before = 0;
    let peak = 0;
    this.series.forEach(({ start, all, unknown }, at) => {
      if (unknown) {
        points = null;
        before = 0;
        return;
      }
      const filling = this.live && start + step > now;
      const gone = filling ? Math.max(0.1, Math.min(1, (now - start) / step)) : 1;
      const target = filling && !points ? all.total / gone : all.total + (1 - gone) * before;
      const shown = this.shown.get(start) ?? (filling ? target : still || !this.live ? target : this.shown.size ? before : target);
      const height = shown + (target - shown) * ease;
      this.shown.set(start, height);
      const mood = balanceOver(this.series, at, MOOD_WINDOWS) ?? 0;
      const centre = start + step / 2;
      if (!points) runs.push((points = [[start, height, mood]]));
      points.push([filling ? Math.min(centre, now) : centre, height, mood]);
      peak = Math.max(peak, target);
      before = filling ? before : height;
      if (filling && now > centre) points.push([now, height, mood]);
    });
    const scale = Math.max(FLOOR, peak * 1.08);
    this.scale += (scale - this.scale) * (still ? 1 : ease * 0.5);
    for (const start of this.shown.keys()) if (start < this.from - 2 * step) this.shown.delete(start);
    this.lastFrame = performance.now();
    return runs;
  }

  draw(now, still = false) {
    if (!this.canvas.width || !this.series.length) return;
    this.now = now;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const to = this.live ? now : this.to;
    const reach = this.to - this.from || 1;
    const right = width - PAD.right;
    const base = height - PAD.bottom;
    const x = (ms) => right - ((to - ms) / reach) * right;
    const runs = this.runs(now, still);
    const y = (n) => base - (n / this.scale) * (base - PAD.top);
    const context = this.context;
    context.clearRect(0, 0, width, height);
    context.strokeStyle = `rgb(${plain("line")})`;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(0, base + 0.5);
    context.lineTo(right, base + 0.5);
    context.stroke();
    const lines = runs.map((points) => points.map(([ms, n, mood]) => [x(ms), y(n), mood]));
    for (const points of lines) this._line(points, base);
    const last = this.series.at(-1);
    if (this.live && lines.length && !last.unknown) this._tip(lines.at(-1).at(-1), still);
  }

  _line(points, base) {
    const context = this.context;
    const path = curve(points);
    const [begin, end] = [Math.max(0, points[0][0]), Math.max(points.at(-1)[0], 1)];
    const area = new Path2D(path);
    area.lineTo(points.at(-1)[0], base);
    area.lineTo(points[0][0], base);
    area.closePath();
    const ink = (alpha) => {
      const gradient = context.createLinearGradient(begin, 0, Math.max(end, begin + 1), 0);
      const fade = Math.min(FADE, (end - begin) / 3) || 1;
      const stop = (at, mood) => {
        const seen = Math.min(1, 0.1 + (0.9 * (at - begin)) / fade);
        gradient.addColorStop((at - begin) / Math.max(end - begin, 1), `rgba(${shade(mood)},${alpha * seen})`);
      };
      const inside = points.filter(([at]) => at >= begin && at <= end);
      if (!inside.length) return `rgba(${shade(points.at(-1)[2])},${alpha})`;
      stop(begin, inside[0][2]);
      stop(begin + fade, (inside.findLast(([at]) => at <= begin + fade) ?? inside[0])[2]);
      for (const [at, , mood] of inside) if (at > begin + fade) stop(at, mood);
      return gradient;
    };
    context.fillStyle = ink(0.15);
    context.fill(area);
    context.lineJoin = context.lineCap = "round";
    for (const [thickness, alpha] of [[11, 0.12], [5.5, 0.14], [2.6, 1]]) {
      context.strokeStyle = ink(alpha);
      context.lineWidth = thickness;
      context.stroke(path);
    }
  }

  _tip([x, y, mood], still) {
    const context = this.context;
    const time = performance.now();
    this.beats = this.beats.filter((start) => time - start < BEAT_MS);
    if (!still && !this.lost) {
      for (const start of this.beats) {
        const age = (time - start) / BEAT_MS;
        context.strokeStyle = `rgba(${shade(mood)},${0.7 * (1 - age)})`;
        context.lineWidth = 1.5;
        context.beginPath();
        context.arc(x, y, 4 + 11 * age, 0, 2 * Math.PI);
        context.stroke();
      }
    }
    context.fillStyle = `rgb(${this.lost ? plain("card") : shade(mood)})`;
    context.beginPath();
    context.arc(x, y, 4.2, 0, 2 * Math.PI);
    context.fill();
    if (!this.lost) return;
    context.strokeStyle = `rgb(${plain("muted")})`;
    context.lineWidth = 2;
    context.stroke();
  }

  // The place in the series of the window under a place on the canvas, for reading it off; -1 where nothing is known.
  at(offsetX) {
    const right = this.canvas.clientWidth - PAD.right;
    const to = this.live ? this.now : this.to;
    const ms = to - ((right - offsetX) / right) * (this.to - this.from);
    return this.series.findIndex(({ start, unknown }) => !unknown && start <= ms && ms < start + 1000 * this.size);
  }
}
