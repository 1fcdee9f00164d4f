// A task's pulse: one line whose height is the volume and whose colour is the mood of the minutes before.

import { balance } from "./store.js";

const PAD = { top: 14, right: 18, bottom: 8 };
const FLOOR = 4; // the least height of the scale, so that a single post is no mountain
const SETTLE_MS = 260;
const BEAT_MS = 900;
const MOOD_WINDOWS = 6; // how many windows the colour looks back
const SHADES = 40;
const FULL_MOOD = 0.3; // from here on the colour is as strong as it gets

let palette = null;

function parse(colour) {
  const context = document.createElement("canvas").getContext("2d");
  context.fillStyle = colour;
  const hex = context.fillStyle;
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}

// Colours come from the style sheet, so that light and dark are decided in one place.
export function readPalette() {
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => parse(style.getPropertyValue(name).trim());
  const [bad, even, good] = [colour("--negative"), colour("--even"), colour("--positive")];
  const mix = (one, two, share) => one.map((value, at) => Math.round(value + (two[at] - value) * share)).join(",");
  const shades = [];
  for (let at = 0; at <= 2 * SHADES; at += 1) {
    shades.push(at < SHADES ? mix(bad, even, at / SHADES) : mix(even, good, (at - SHADES) / SHADES));
  }
  palette = { shades, line: colour("--line").join(",") };
}

export function shade(mood) {
  if (!palette) readPalette();
  const strength = Math.max(-1, Math.min(1, (mood ?? 0) / FULL_MOOD));
  return palette.shades[Math.round((strength + 1) * SHADES)];
}

export class Heartline {
  constructor(canvas) {
    this.canvas = canvas;
    this.context = canvas.getContext("2d");
    this.shown = new Map();
    this.scale = FLOOR;
    this.series = [];
    this.beats = [];
    this.visible = true;
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

  // The points of the line at `now`: [time, height, mood]. A window that is still filling is taken together with
  // what its predecessor leads one to expect of the rest of it, so that the end of the line neither drops nor jumps.
  points(now, still) {
    const step = 1000 * this.size;
    const ease = still ? 1 : 1 - Math.exp(-(performance.now() - this.lastFrame) / SETTLE_MS);
    const points = [];
    const recent = [];
    let before = 0;
    let peak = 0;
    for (const { start, all } of this.series) {
      const filling = this.live && start + step > now;
      const rest = filling ? Math.max(0, 1 - Math.max(0, now - start) / step) : 0;
      const target = all.total + rest * before;
      const shown = this.shown.get(start) ?? (filling ? target : still || !this.live ? target : this.shown.size ? before : target);
      const height = shown + (target - shown) * ease;
      this.shown.set(start, height);
      recent.push([balance(all), all.scored]);
      if (recent.length > MOOD_WINDOWS) recent.shift();
      const weight = recent.reduce((sum, [, scored]) => sum + scored, 0);
      const mood = weight ? recent.reduce((sum, [mean, scored]) => sum + (mean ?? 0) * scored, 0) / weight : 0;
      const centre = start + step / 2;
      points.push([filling ? Math.min(centre, now) : centre, height, mood]);
      peak = Math.max(peak, target);
      before = filling ? before : height;
      if (filling && now > centre) points.push([now, height, mood]);
    }
    const scale = Math.max(FLOOR, peak * 1.08);
    this.scale += (scale - this.scale) * (still ? 1 : ease * 0.5);
    for (const start of this.shown.keys()) if (start < this.from - 2 * step) this.shown.delete(start);
    this.lastFrame = performance.now();
    return points;
  }

  draw(now, still = false) {
    if (!this.canvas.width || !this.series.length) return;
    this.now = now;
    const { clientWidth: width, clientHeight: height } = this.canvas;
    const to = this.live ? now : this.to;
    const reach = this.live ? this.to - this.from : this.to - this.from || 1;
    const right = width - PAD.right;
    const base = height - PAD.bottom;
    const x = (ms) => right - ((to - ms) / reach) * right;
    const y = (n) => base - (n / this.scale) * (base - PAD.top);
    const points = this.points(now, still).map(([ms, n, mood]) => [x(ms), y(n), mood]);
    const context = this.context;
    context.clearRect(0, 0, width, height);
    if (!palette) readPalette();
    context.strokeStyle = `rgb(${palette.line})`;
    context.lineWidth = 1;
    context.beginPath();
    context.moveTo(0, base + 0.5);
    context.lineTo(right, base + 0.5);
    context.stroke();
    if (points.length < 2) points.unshift([0, base, 0]);
    const path = curve(points);
    const area = new Path2D(path);
    area.lineTo(points.at(-1)[0], base);
    area.lineTo(points[0][0], base);
    area.closePath();
    const ink = (alpha) => {
      const gradient = context.createLinearGradient(0, 0, right, 0);
      for (const [at, , mood] of points) {
        const place = Math.max(0, Math.min(1, at / right));
        gradient.addColorStop(place, `rgba(${shade(mood)},${alpha * Math.min(1, 0.15 + place * 6)})`);
      }
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
    if (this.live) this._tip(points.at(-1), still);
  }

  _tip([x, y, mood], still) {
    const context = this.context;
    const time = performance.now();
    this.beats = this.beats.filter((start) => time - start < BEAT_MS);
    if (!still) {
      for (const start of this.beats) {
        const age = (time - start) / BEAT_MS;
        context.strokeStyle = `rgba(${shade(mood)},${0.7 * (1 - age)})`;
        context.lineWidth = 1.5;
        context.beginPath();
        context.arc(x, y, 4 + 11 * age, 0, 2 * Math.PI);
        context.stroke();
      }
    }
    context.fillStyle = `rgb(${shade(mood)})`;
    context.beginPath();
    context.arc(x, y, 4.2, 0, 2 * Math.PI);
    context.fill();
  }

  // The window under a place on the canvas, for reading it off.
  at(offsetX) {
    const right = this.canvas.clientWidth - PAD.right;
    const to = this.live ? this.now : this.to;
    const ms = to - ((right - offsetX) / right) * (this.to - this.from);
    return this.series.find(({ start }) => start <= ms && ms < start + 1000 * this.size) ?? null;
  }
}

// A smooth curve through all points that never overshoots (monotone cubic, Fritsch and Carlson).
function curve(points) {
  const path = new Path2D();
  const count = points.length;
  const slopes = [];
  const tangents = [];
  for (let at = 0; at < count - 1; at += 1) {
    const run = points[at + 1][0] - points[at][0] || 1e-6;
    slopes.push((points[at + 1][1] - points[at][1]) / run);
  }
  for (let at = 0; at < count; at += 1) {
    const [left, right] = [slopes[at - 1], slopes[at]];
    if (left === undefined || right === undefined) tangents.push(left ?? right ?? 0);
    else tangents.push(left * right <= 0 ? 0 : (2 * left * right) / (left + right));
  }
  path.moveTo(points[0][0], points[0][1]);
  for (let at = 0; at < count - 1; at += 1) {
    const [x0, y0] = points[at];
    const [x1, y1] = points[at + 1];
    const third = (x1 - x0) / 3;
    path.bezierCurveTo(x0 + third, y0 + tangents[at] * third, x1 - third, y1 - tangents[at + 1] * third, x1, y1);
  }
  return path;
}
