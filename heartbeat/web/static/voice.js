// Share of voice: how much of what is said about all tasks is said about each, in all and over time.

import { get } from "./stream.js";
import { ticks } from "./ticks.js";
import { colour, plotly, putBeside } from "./timeline.js";
import { fill } from "./twins.js";
import { bothTimes, count, dateTime, make, percent, setAttribute, setText, span, utc } from "./words.js";

const COLOURS = 7; // further tasks are shown as one
const MOST_BARS = 96;
const EVERY_MS = 15_000;
const TICK_WIDTH = 76;

const colourOf = (at) => (at < COLOURS ? `voice-${at + 1}` : "neutral");

export class Voice {
  // `page` has `now()`, `rangeMs`, `paused` and `cards`.
  constructor(element, page, sizes) {
    Object.assign(this, { element, page, sizes, due: 0, busy: false, told: null });
    this.find = (selector) => element.querySelector(selector);
    this.place = this.find(".voice-plot");
    this.tip = this.find(".tip");
    this.find(".over-time").addEventListener("toggle", () => this.draw());
    this.find(".twin").addEventListener("toggle", () => this.twin());
    new ResizeObserver(() => this.place.clientWidth && this.place.clientWidth !== this.width && this.draw()).observe(this.place);
    this.place.addEventListener("mouseleave", () => { this.tip.hidden = true; });
  }

  // The range is another one.
  again() {
    this.due = 0;
    this.loudest = null;
  }

  // To be called about once a second.
  async follow() {
    const { page } = this;
    if (this.busy || page.paused !== null || page.now() < this.due) return;
    this.busy = true;
    const { rangeMs } = page;
    this.due = page.now() + EVERY_MS;
    try {
      const size = this.sizes.find((each) => rangeMs / (1000 * each) <= MOST_BARS) ?? this.sizes.at(-1);
      const to = Math.ceil(page.now() / (1000 * size)) * 1000 * size;
      const told = await get("/api/voice", { size, from: to - rangeMs, to });
      if (page.paused === null && page.rangeMs === rangeMs) this.show(told, to - rangeMs, to);
    } catch {
      // what is wrong is said by what reads the windows; this is tried again
    } finally {
      this.busy = false;
      if (page.rangeMs !== rangeMs) this.again();
    }
  }

  // The tasks that have a colour of their own, and one for all others: [name, posts of it in what is said]. Where there
  // are too many, it is those that are talked about most when a range is first shown: colours do not wander after that.
  groups({ tasks, posts }) {
    if (!this.loudest) {
      const loud = tasks.slice().sort((one, two) => posts[two] - posts[one]);
      this.loudest = new Set(tasks.length > COLOURS + 1 ? loud.slice(0, COLOURS) : tasks);
    }
    const few = tasks.filter((task) => this.loudest.has(task));
    const rest = tasks.filter((task) => !this.loudest.has(task));
    const shown = few.map((task) => [this.page.cards.get(task)?.store.title ?? task, (all) => all[task]]);
    if (rest.length) shown.push([`${rest.length} more`, (all) => rest.reduce((sum, task) => sum + all[task], 0)]);
    return shown;
  }

  show(told, from, to) {
    const first = told.windows.length ? Date.parse(told.windows[0].window_start) : from;
    Object.assign(this, { told, from: Math.max(from, first), to, size: told.size, shown: this.groups(told) });
    const words = first > from ? `last ${span(to - first)}` : `last ${span(to - from)}`;
    setText(this.find(".range-words"), `${words}, ${count(told.total)} mentions`);
    const bar = this.find(".voices");
    const list = this.find(".who");
    const texts = [];
    this.shown.forEach(([name, of], at) => {
      const share = told.total ? of(told.posts) / told.total : 0;
      const part = bar.children[at] ?? bar.appendChild(make("span", "voice-part"));
      setAttribute(part, "data-voice", colourOf(at));
      part.style.flexGrow = String(share);
      part.hidden = !share;
      const item = list.children[at] ?? this._item(list);
      setAttribute(item, "data-voice", colourOf(at));
      setText(item.children[1], name);
      setText(item.children[2], told.total ? percent(share) : "–");
      item.title = `${name}: ${count(of(told.posts))} of ${count(told.total)} mentions`;
      texts.push(`${name} ${told.total ? percent(share) : "unknown"}`);
    });
    for (const each of [bar, list]) while (each.children.length > this.shown.length) each.lastChild.remove();
    setAttribute(bar, "aria-label", `Share of voice, ${words}: ${texts.join(", ")}`);
    this.draw();
    this.twin();
  }

  _item(list) {
    const item = list.appendChild(make("li"));
    const swatch = make("span", "part");
    swatch.setAttribute("aria-hidden", "true");
    item.append(swatch, make("bdi", "name"), make("strong", "share"));
    return item;
  }

  traces(style) {
    const step = 1000 * this.size;
    const x = this.told.windows.map((window) => Date.parse(window.window_start) + step / 2);
    return this.shown.map(([name, of], at) => ({
      type: "bar", name, x, width: step,
      y: this.told.windows.map(({ posts, total }) => (total ? of(posts) / total : 0)),
      marker: { color: colour(style, colourOf(at)), line: { color: colour(style, "card"), width: 0.5 } },
      hoverinfo: "none",
    }));
  }

  async draw() {
    if (!this.told || !this.find(".over-time").open || this.drawing) return;
    this.drawing = true;
    try {
      const Plotly = await plotly();
      const style = getComputedStyle(this.place);
      const { clientWidth: width, clientHeight: height } = this.place;
      if (!width) return;
      this.width = width;
      if (!this.drawn) this.place.replaceChildren();
      const line = colour(style, "line");
      const axis = { fixedrange: true, zeroline: false, linecolor: line, tickcolor: line, gridcolor: line };
      const { values, texts } = ticks(this.from, this.to, Math.max(2, Math.floor(width / TICK_WIDTH)));
      await Plotly.react(this.place, this.traces(style), {
        barmode: "stack", bargap: 0, showlegend: false, width, height,
        margin: { l: 46, r: 16, t: 12, b: 40 },
        paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
        font: { family: style.fontFamily, size: 11, color: colour(style, "muted") },
        hovermode: "x", hoverdistance: -1, dragmode: false,
        xaxis: { ...axis, type: "linear", range: [this.from, this.to], showgrid: false, tickmode: "array", tickvals: values, ticktext: texts },
        yaxis: { ...axis, range: [0, 1], tickvals: [0, 0.25, 0.5, 0.75, 1], ticktext: ["0 %", "25 %", "50 %", "75 %", "100 %"] },
      }, { displayModeBar: false, responsive: false });
      if (!this.drawn) this.place.on("plotly_hover", ({ points }) => this.read(points[0]));
      this.drawn = true;
    } catch (error) {
      if (!this.drawn) this.place.replaceChildren(make("p", "failure", error.message));
    } finally {
      this.drawing = false;
    }
  }

  // What stands under the pointer, in words.
  read(point) {
    const window = this.told.windows.find(({ window_start: start }) => Date.parse(start) + 500 * this.size === point.x);
    this.tip.hidden = !window;
    if (!window) return;
    const start = Date.parse(window.window_start);
    const [local, inUtc] = bothTimes(start, start + 1000 * this.size);
    const list = make("ul");
    [...this.shown.entries()].reverse().forEach(([at, [name, of]]) => {
      const row = make("li");
      row.dataset.voice = colourOf(at);
      row.append(make("span", "part"), make("bdi", "", name), make("span", "number", `${percent(of(window.posts) / window.total)} · ${count(of(window.posts))}`));
      list.append(row);
    });
    this.tip.replaceChildren(make("p", "when", local), make("p", "utc", inUtc), list);
    putBeside(this.tip, point, this.width);
  }

  twin() {
    const twin = this.find(".twin");
    if (!twin.open || !this.told) return;
    fill(twin.querySelector("table"), {
      caption: `Mentions and shares in windows of ${this.size} s`,
      head: ["window starts", ...this.shown.map(([name]) => name), "mentions"],
      rows: this.told.windows.map(({ window_start: at, posts, total }) => {
        const start = Date.parse(at);
        const shares = this.shown.map(([, of]) => (total ? percent(of(posts) / total) : "–"));
        return [{ text: dateTime(start, true), title: utc(start) }, ...shares, total];
      }).reverse(),
    });
  }
}
