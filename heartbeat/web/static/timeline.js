// The timeline of a task: posts by label over time, stacked. Plotly is fetched when the first one comes into view.

import { ticks } from "./ticks.js";
import { ALL_LABELS, GLYPHS, bothTimes, count, make } from "./words.js";

const TICK_WIDTH = 76;
const FIRST_PAUSE_MS = 5_000;
const LONGEST_PAUSE_MS = 120_000;

const script = { loading: null, pause: FIRST_PAUSE_MS, notBefore: 0 };

export function plotly() {
  script.loading ??= new Promise((resolve, reject) => {
    const element = document.createElement("script");
    element.src = document.documentElement.dataset.plotly;
    element.async = true;
    element.onload = () => resolve(window.Plotly);
    element.onerror = () => {
      element.remove();
      script.loading = null;
      script.notBefore = performance.now() + script.pause;
      script.pause = Math.min(2 * script.pause, LONGEST_PAUSE_MS);
      reject(new Error("the charts' script could not be loaded; it is tried again"));
    };
    document.head.append(element);
  });
  return script.loading;
}

export const colour = (style, name) => style.getPropertyValue(`--${name}`).trim();

// What was not heard is shaded over the whole height: no bar there would mean that nobody wrote.
function shades(missed, { from, to, ink }) {
  return missed.map(([begin, end]) => ({
    type: "rect", xref: "x", yref: "paper", x0: Math.max(begin, from), x1: Math.min(end, to), y0: 0, y1: 1,
    layer: "below", fillcolor: ink, opacity: 0.16, line: { width: 0 },
  }));
}

function layout(style, { from, to, most, width, missed }) {
  const line = colour(style, "line");
  const axis = { fixedrange: true, zeroline: false, linecolor: line, tickcolor: line, gridcolor: line };
  const { values, texts } = ticks(from, to, Math.max(2, Math.floor(width / TICK_WIDTH)));
  return {
    barmode: "stack",
    bargap: 0,
    showlegend: false,
    margin: { l: 38, r: 16, t: 6, b: 40 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: style.fontFamily, size: 11, color: colour(style, "muted") },
    hovermode: "x",
    hoverdistance: -1,
    dragmode: false,
    shapes: shades(missed, { from, to, ink: colour(style, "muted") }),
    xaxis: { ...axis, type: "linear", range: [from, to], showgrid: false, tickmode: "array", tickvals: values, ticktext: texts },
    yaxis: { ...axis, range: [0, Math.max(4, most * 1.06)], nticks: 5, tickformat: ",~d", automargin: true },
  };
}

// Puts what is told of a point of a chart so many pixels wide beside it, on the side that has more room.
export function putBeside(tip, point, width) {
  const place = point.xaxis.d2p(point.x) + point.xaxis._offset;
  const right = place > width / 2;
  tip.style.left = right ? "" : `${place + 14}px`;
  tip.style.right = right ? `${width - place + 14}px` : "";
}

export class Timeline {
  constructor(place, tip) {
    Object.assign(this, { place, tip, width: 0, height: 0 });
    new IntersectionObserver(([entry]) => {
      this.visible = entry.isIntersecting;
      if (this.visible) this.draw();
    }, { rootMargin: "600px" }).observe(place);
    new ResizeObserver(() => {
      const { clientWidth: width, clientHeight: height } = place;
      if (this.drawn && width && (width !== this.width || height !== this.height)) this.draw();
    }).observe(place);
    // Plotly may tell of what was pointed at when the pointer has gone. (A tap is a mouse, too, until the next one.)
    place.addEventListener("mouseenter", () => { this.pointed = true; });
    place.addEventListener("mouseleave", () => {
      this.pointed = false;
      this.read(null);
    });
  }

  // `missed` are times that were not heard, as pairs of beginning and end.
  set(series, size, from, to, missed = []) {
    const most = Math.max(0, ...series.map(({ all }) => all.total));
    Object.assign(this, { series, size, from, to, most, missed });
    if (this.visible) this.draw();
  }

  traces(style) {
    const step = 1000 * this.size;
    const x = this.series.map(({ start }) => start + step / 2);
    const wide = (this.width * step) / (this.to - this.from);
    const card = colour(style, "card");
    return ALL_LABELS.map((label) => {
      const y = this.series.map(({ all }) => all[label]);
      const ink = colour(style, label);
      const pattern = { shape: "/", size: 5, solidity: 0.45, fgcolor: ink, bgcolor: card };
      return {
        type: "bar",
        name: `${GLYPHS[label]} ${label}`,
        x,
        y,
        width: step * (wide > 8 ? 0.9 : 1),
        marker: {
          color: ink,
          line: { color: card, width: y.map((n) => (n ? (wide > 4 ? 1 : 0.5) : 0)) },
          ...(label === "unscored" ? { pattern } : {}),
        },
        hoverinfo: "none",
      };
    });
  }

  async draw() {
    if (!this.series || (!this.drawn && this.most === 0) || performance.now() < script.notBefore) return;
    if (this.busy) {
      this.again = true;
      return;
    }
    this.busy = true;
    try {
      const Plotly = await plotly();
      const style = getComputedStyle(this.place);
      const { clientWidth: width, clientHeight: height } = this.place;
      if (!width) return;
      Object.assign(this, { width, height });
      if (!this.drawn) this.place.replaceChildren();
      const sized = { ...layout(style, this), width, height };
      await Plotly.react(this.place, this.traces(style), sized, { displayModeBar: false, responsive: false });
      if (!this.drawn) this.place.on("plotly_hover", ({ points }) => this.pointed && this.read(points[0]));
      this.drawn = true;
    } catch (error) {
      if (!this.drawn) this.place.replaceChildren(make("p", "failure", error.message));
    } finally {
      this.busy = false;
      if (this.again) {
        this.again = false;
        requestAnimationFrame(() => this.draw());
      }
    }
  }

  // What stands under the pointer, in words: when, in the reader's zone and in UTC, and how many of each label.
  read(point) {
    const window = point && this.series.find(({ start }) => start + 500 * this.size === point.x);
    this.tip.hidden = !window;
    if (!window) return;
    const [local, inUtc] = bothTimes(window.start, window.start + 1000 * this.size);
    const list = make("ul");
    for (const label of [...ALL_LABELS].reverse()) {
      const row = make("li");
      row.dataset.label = label;
      row.append(make("span", "glyph", GLYPHS[label]), make("span", "", label), make("span", "number", count(window.all[label])));
      list.append(row);
    }
    const said = window.missed ? [make("p", "missed", window.unknown ? "not heard" : "heard in part only")] : [];
    this.tip.replaceChildren(make("p", "when", local), make("p", "utc", inUtc), ...said, ...(window.unknown ? [] : [list]));
    putBeside(this.tip, point, this.width);
  }
}
