// One task on the page.

import { Heartline } from "./heartline.js";
import { Posts } from "./posts.js";
import { TaskStore, balance, sum } from "./store.js";
import { Timeline } from "./timeline.js";
import { TWINS, fill } from "./twins.js";
import {
  ALL_LABELS, GLYPHS, LABELS, count, dateTime, language, make, moodWords, percent, rate, setAttribute, setText, signed, span, time,
} from "./words.js";

const PULSE_WINDOWS = 60;
const MOST_BARS = 90;
const REPLAY_BARS = 180;
const REPLAY_POINTS = 500;
const REPLAY_MOST = 1440; // a replay of more of the largest windows than this shows its last ones
const LANGUAGES_SHOWN = 10;
// While a task is younger than the range, the charts show no more than its life, in steps.
const FITS = [5, 10, 15, 20, 30, 45, 60, 90, 120, 180, 240, 360, 480, 720, 1080, 1440].map((minutes) => 60_000 * minutes);
const LEAST_REACH = 120_000;

export class Card {
  constructor(element, name, sizes) {
    this.element = element;
    this.sizes = sizes;
    this.store = new TaskStore(name);
    element.dataset.task = name;
    this.find = (selector) => element.querySelector(selector);
    this.line = new Heartline(this.find("canvas"));
    this.timeline = new Timeline(this.find(".plot"));
    this.posts = new Posts(this.find(".posts"), this.find(".latest .empty"), this.find(".more"));
    this.fold = this.find(".fold");
    this.mood = null;
    this.drawn = "";
    for (const [at, box] of [...element.querySelectorAll(".gauge")].entries()) {
      setText(box.querySelector(".glyph"), GLYPHS[LABELS[at]]);
    }
    for (const twin of element.querySelectorAll(".twin")) {
      twin.addEventListener("toggle", () => this.data && this.twin(twin));
    }
    const canvas = this.find("canvas");
    canvas.addEventListener("pointermove", (event) => this.read(this.line.at(event.offsetX)));
    canvas.addEventListener("pointerleave", () => this.read(null));
  }

  get open() {
    return this.fold.getAttribute("aria-expanded") === "true";
  }

  set open(open) {
    setAttribute(this.fold, "aria-expanded", String(open));
    this.element.classList.toggle("folded", !open);
    this.drawn = "";
  }

  // Which windows the pulse and the rest are made of, at a moment. A replayed task lies where its posts lie.
  views(now, rangeMs) {
    const { first, last, configured } = this.store;
    const [least, most] = [this.sizes[0], this.sizes.at(-1)];
    if (!configured) {
      if (first === null) return null;
      const length = Math.max(last - first, 1000 * least);
      const view = (parts) => {
        const size = this.sizes.find((each) => length / (1000 * each) <= parts) ?? most;
        const step = 1000 * size;
        const to = Math.ceil(last / step) * step;
        return { size, from: Math.max(Math.floor(first / step) * step, to - REPLAY_MOST * step), to, live: false };
      };
      return { pulse: view(REPLAY_POINTS), range: view(REPLAY_BARS) };
    }
    const reach = Math.max(600_000, 1000 * least * PULSE_WINDOWS);
    const begin = this.store.beginning(least);
    const age = begin === null ? Infinity : now - begin;
    const fitted = FITS.find((fit) => fit >= age && fit <= rangeMs) ?? rangeMs;
    const size = this.sizes.find((each) => fitted / (1000 * each) <= MOST_BARS) ?? most;
    const to = Math.ceil((now + 1) / (1000 * size)) * 1000 * size;
    return {
      pulse: { size: least, from: now - Math.min(reach, Math.max(age, LEAST_REACH)), to: now, live: true, begin },
      range: { size, from: to - Math.max(fitted, 1000 * size), to, live: true, since: age < rangeMs ? begin : null },
    };
  }

  render(now, rangeMs, { still, ready }) {
    const views = this.views(now, rangeMs);
    const { store } = this;
    setText(this.find("h2"), store.title);
    setAttribute(this.element, "aria-label", store.title);
    setText(this.find(".query"), store.configured ? store.query ?? "" : "replayed from a file");
    if (!views) return;
    const { pulse, range } = views;
    const step = 1000 * pulse.size;
    pulse.series = store.series(pulse.size, pulse.live ? pulse.from - step : pulse.from, pulse.live ? now + 1 : pulse.to);
    this.line.set(pulse.series, pulse.size, pulse.from, pulse.to, pulse.live);
    if (still || !this.line.visible) this.line.draw(now, true);
    const mark = `${store.version} ${range.size} ${range.from} ${range.to} ${Math.floor(now / 1000)} ${this.open}`;
    if (mark === this.drawn) return;
    this.drawn = mark;
    range.series = store.series(range.size, range.from, range.to);
    const words = pulse.live ? (range.since ? `since ${time(range.since, false)}` : `last ${span(range.to - range.from)}`) : `${dateTime(range.from)} – ${dateTime(range.to)}`;
    this.data = { pulse, range, sum: sum(range.series.map(({ all }) => all)), languages: store.byLanguage(range.series), words };
    this._head(now, ready);
    this._caption();
    if (!this.open) return;
    for (const place of this.element.querySelectorAll(".range-words")) setText(place, words);
    this._gauges();
    this._languages();
    for (const empty of this.element.querySelectorAll(".plot > .empty, .languages .empty")) {
      empty.hidden = this.data.sum.total > 0;
    }
    this.timeline.set(range.series, range.size, range.from, range.to);
    setAttribute(this.find(".plot"), "aria-label", `Timeline, ${words}: ${count(this.data.sum.total)} posts`);
    this.posts.show(store.posts, now);
    for (const twin of this.element.querySelectorAll(".twin[open]")) this.twin(twin);
  }

  _head(now, ready) {
    const { pulse, sum: total } = this.data;
    const seen = sum(pulse.series.map(({ all }) => all));
    const mean = balance(seen);
    const [mood, word] = moodWords(mean);
    const quiet = mean === null && total.total > 0;
    const told = !ready && mean === null ? "recovering" : quiet ? "quiet" : word;
    setAttribute(this.find(".mood"), "data-mood", mood);
    setText(this.find(".mood .glyph"), GLYPHS[mood]);
    setText(this.find(".mood .word"), told);
    setText(this.find(".mood .balance"), signed(mean));
    this.mood = mean === null ? null : word;
    const count_ = (name) => this.find(`[data-count="${name}"]`);
    const heard = pulse.to - Math.max(pulse.series[0]?.start ?? pulse.from, pulse.begin ?? -Infinity);
    const minutes = Math.max(heard, 1000 * pulse.size) / 60_000;
    setText(count_("rate"), rate(seen.total / minutes));
    const whole = this.open ? total : seen;
    setText(count_("range-name"), this.open ? "posts in range" : `posts, ${span(pulse.to - pulse.from)}`);
    setText(count_("total"), count(whole.total));
    setText(count_("unscored"), count(whole.unscored));
    setText(count_("late"), count(this.store.late));
    this.rate = seen.total / minutes;
    setAttribute(
      this.find("canvas"), "aria-label",
      `Pulse: ${rate(this.rate)} posts a minute, ${told}; the figures are in the table that follows`,
    );
  }

  _caption() {
    const { pulse } = this.data;
    setText(this.find(".from"), pulse.live ? `${span(pulse.to - pulse.from)} ago` : dateTime(pulse.from));
    setText(this.find(".until"), pulse.live ? "now" : dateTime(pulse.to));
    if (!this.reading) setText(this.find(".reading"), `height: posts in ${span(1000 * pulse.size)} · colour: mood`);
  }

  read(window) {
    this.reading = window;
    if (!window) {
      if (this.data) this._caption();
      return;
    }
    const mean = balance(window.all);
    const words = mean === null ? "" : ` · ${moodWords(mean)[1]} ${signed(mean)}`;
    setText(this.find(".reading"), `${time(window.start)} · ${count(window.all.total)} posts${words}`);
  }

  _gauges() {
    const { sum: total } = this.data;
    for (const box of this.element.querySelectorAll(".gauge")) {
      const label = box.dataset.label;
      const share = total.scored ? total[label] / total.scored : 0;
      setText(box.querySelector(".percent"), total.scored ? percent(share) : "–");
      box.querySelector(".value").style.strokeDasharray = `${(100 * share).toFixed(2)} 101`;
      setAttribute(box, "aria-valuenow", String(Math.round(100 * share)));
      setAttribute(box, "aria-valuetext", `${percent(share)}, ${count(total[label])} of ${count(total.scored)} scored posts`);
    }
  }

  _languages() {
    const { languages } = this.data;
    const list = this.find(".tongues");
    const shown = languages.slice(0, LANGUAGES_SHOWN).map(([code, figures]) => [language(code), code, figures]);
    const rest = languages.slice(LANGUAGES_SHOWN);
    if (rest.length) shown.push([`${rest.length} more`, "", sum(rest.map(([, figures]) => figures))]);
    const most = Math.max(languages[0]?.[1].total ?? 0, 1);
    const total = this.data.sum.total || 1;
    while (list.children.length > shown.length) list.lastChild.remove();
    shown.forEach(([name, code, figures], at) => {
      const row = list.children[at] ?? list.appendChild(bar());
      const [title, track, number] = row.children;
      setText(title, name);
      if (title.title !== code) title.title = code;
      setText(number, percent(figures.total / total));
      track.style.width = `${(100 * figures.total) / most}%`;
      track.hidden = !code; // what stands for many has no bar
      ALL_LABELS.forEach((label, part) => {
        track.firstChild.children[part].style.flexGrow = figures[label];
      });
    });
  }

  twin(twin) {
    if (twin.open) fill(twin.querySelector("table"), TWINS[twin.dataset.twin](this.data));
  }
}

function bar() {
  const row = make("li", "language");
  const track = make("span", "track");
  const parts = make("span", "parts");
  for (const label of ALL_LABELS) parts.appendChild(make("span", "part")).dataset.label = label;
  track.append(parts);
  track.setAttribute("aria-hidden", "true");
  row.append(make("span", "name"), track, make("span", "share"));
  return row;
}
