// One task on the page.

import { Heartline, MOOD_WINDOWS } from "./heartline.js";
import { Posts } from "./posts.js";
import { TaskStore, balance, balanceOver, sum } from "./store.js";
import { Timeline } from "./timeline.js";
import { showLanguages } from "./tongues.js";
import { TWINS, fill } from "./twins.js";
import { viewsOf } from "./views.js";
import {
  GLYPHS, bothTimes, count, dateTime, make, moodWords, percent, rate, setAttribute, setText, setTitle, signed, span, time,
  timeUtc, utc,
} from "./words.js";

export class Card {
  constructor(element, name, sizes) {
    this.element = element;
    this.sizes = sizes;
    this.store = new TaskStore(name);
    element.dataset.task = name;
    this.find = (selector) => element.querySelector(selector);
    this.line = new Heartline(this.find("canvas"));
    this.timeline = new Timeline(this.find(".plot"), this.find(".tip"));
    this.posts = new Posts(this.find(".posts"), this.find(".latest .empty"), this.find(".more"));
    this.fold = this.find(".fold");
    this.mood = null;
    this.drawn = "";
    this.failed = false; // its history could not be read
    this.tried = false; // it has been read, or that was tried
    this.pending = 0; // how many times it is being read
    for (const twin of element.querySelectorAll(".twin")) {
      twin.addEventListener("toggle", () => this.data && this.twin(twin));
    }
    const canvas = this.find("canvas");
    canvas.addEventListener("pointermove", (event) => this.read(this.line.at(event.offsetX)));
    canvas.addEventListener("pointerleave", () => this.read(-1));
  }

  get open() {
    return this.fold.getAttribute("aria-expanded") === "true";
  }

  set open(open) {
    setAttribute(this.fold, "aria-expanded", String(open));
    this.element.classList.toggle("folded", !open);
    this.drawn = "";
  }

  views(now, rangeMs) {
    return viewsOf(this.store, this.sizes, now, rangeMs);
  }

  // `still`: nothing may move; `lost`: the present is unknown, `now` is when it was known last.
  render(now, rangeMs, how) {
    this._render(now, rangeMs, how);
    setAttribute(this.element, "aria-busy", String(this.pending > 0 || !this.tried));
  }

  _render(now, rangeMs, { still, ready, lost }) {
    const views = this.views(now, rangeMs);
    const { store } = this;
    setText(this.find("h2"), store.title);
    setText(this.find(".fold .unseen"), `Details of ${store.title}`);
    setAttribute(this.element, "aria-label", store.title);
    setText(this.find(".query"), store.configured ? store.query ?? "" : "replayed from a file");
    this.element.classList.toggle("bare", store.bare);
    if (!views) return;
    const { pulse, range } = views;
    const step = 1000 * pulse.size;
    pulse.series = store.series(pulse.size, pulse.live ? pulse.from - step : pulse.from, pulse.live ? now + 1 : pulse.to);
    const life = store.bare ? Infinity : pulse.begin ?? -Infinity;
    this.line.set(
      pulse.series.map((window) => (window.start < life || window.missed ? { ...window, unknown: true } : window)),
      pulse.size, pulse.from, pulse.to, pulse.live,
    );
    this.line.lost = lost;
    if (still || !this.line.visible) this.line.draw(now, true);
    const mark = [store.version, range.size, range.from, range.to, Math.floor(now / 1000), this.open, this.failed, ready, lost].join();
    if (mark === this.drawn) return;
    this.drawn = mark;
    range.series = store.series(range.size, range.from, range.to);
    const words = this._words(range);
    this.data = { pulse, range, sum: sum(range.series.map(({ all }) => all)), languages: store.byLanguage(range.series), words };
    this._head(ready, life);
    this._caption(lost);
    if (!this.open) return;
    for (const place of this.element.querySelectorAll(".range-words")) {
      setText(place, words);
      setTitle(place, bothTimes(range.since ?? range.from, range.to).join(" · "));
    }
    this._gauges();
    showLanguages(this.find(".tongues"), this.data.languages, this.data.sum.total);
    for (const empty of this.element.querySelectorAll(".plot > .empty, .languages .empty")) {
      empty.hidden = this.data.sum.total > 0;
    }
    this.timeline.set(range.series, range.size, range.from, range.to, store.missed(range.from, Math.min(range.to, now)));
    setAttribute(this.find(".plot"), "aria-label", `Timeline, ${words}: ${count(this.data.sum.total)} posts`);
    this.posts.show(store.posts, now);
    for (const twin of this.element.querySelectorAll(".twin[open]")) this.twin(twin);
  }

  // What time the figures are of. Partial: a part of it could not be read.
  _words(range) {
    if (this.failed && range.series.some(({ unknown }) => unknown)) {
      const from = this.store.knownFrom(range.size);
      return Number.isFinite(from) ? `partial: since ${time(Math.max(from, range.from), false)}` : "not known";
    }
    if (!range.live) return `${dateTime(range.from)} – ${dateTime(range.to)}`;
    return range.since ? `since ${time(range.since, false)}` : `last ${span(range.to - range.from)}`;
  }

  _head(ready, life) {
    const { pulse, range, sum: total } = this.data;
    const known = pulse.series.filter(({ start, unknown }) => !unknown && start >= life);
    const seen = sum(known.map(({ all }) => all));
    const mean = balance(seen);
    const [mood, word] = moodWords(mean);
    const silent = !ready ? "recovering" : this.store.bare ? word : known.length ? "quiet" : "not known yet";
    const told = mean === null ? silent : word;
    const reach = span(pulse.to - pulse.from);
    setAttribute(this.find(".mood"), "data-mood", mood);
    setText(this.find(".mood .glyph"), GLYPHS[mood]);
    setText(this.find(".mood .word"), told);
    setText(this.find(".mood .balance"), signed(mean));
    setText(this.find(".mood .over"), mean === null ? "" : `mood, ${pulse.live ? reach : "all in all"}`);
    this.mood = mean === null ? null : word;
    const begin = known[0]?.start ?? pulse.to;
    const since = Math.max(begin, pulse.from);
    const missed = this.store.missed(since, pulse.to).reduce((sum, [from, to]) => sum + Math.min(to, pulse.to) - Math.max(from, since), 0);
    this.rate = seen.total / (Math.max(pulse.to - since - missed, 1000 * pulse.size) / 60_000);
    const whole = this.open ? total : seen;
    const series = this.open ? range.series : pulse.series;
    const told_ = (n, write = count) => (series.every(({ unknown }) => unknown) ? "–" : write(n));
    const figures = {
      rate: told_(this.rate, rate), total: told_(whole.total), unscored: told_(whole.unscored), late: count(this.store.late),
      "range-name": this.open ? "posts in range" : `posts, ${reach}`,
    };
    for (const [name, text] of Object.entries(figures)) setText(this.find(`[data-count="${name}"]`), text);
    setAttribute(
      this.find("canvas"), "aria-label",
      `Pulse: ${rate(this.rate)} posts a minute, ${told}; the figures are in the table that follows`,
    );
  }

  _caption(lost) {
    const { pulse } = this.data;
    const [from, until] = [this.find(".from"), this.find(".until")];
    setText(from, pulse.live ? (lost ? time(pulse.from) : `${span(pulse.to - pulse.from)} ago`) : dateTime(pulse.from));
    setText(until, pulse.live ? (lost ? time(pulse.to) : "now") : dateTime(pulse.to));
    setTitle(from, utc(pulse.from));
    setTitle(until, utc(pulse.to));
    const key = `height: posts in ${span(1000 * pulse.size)} · colour: mood over ${span(1000 * pulse.size * MOOD_WINDOWS)}, `;
    const place = this.find(".reading");
    if (this.reading || place.dataset.key === key) return;
    place.dataset.key = key;
    const scale = make("span", "scale");
    const sign = (label) => {
      const glyph = Object.assign(make("span", "glyph", GLYPHS[label]), { title: label });
      glyph.dataset.label = label;
      return glyph;
    };
    scale.append(sign("negative"), " to ", sign("positive"));
    place.replaceChildren(key, scale);
  }

  // What the line says at one of its windows: how many posts, and the mood that its colour shows there.
  read(at) {
    const window = this.line.series[at];
    this.reading = Boolean(window);
    if (!window) {
      if (this.data) this._caption(this.line.lost);
      return;
    }
    const mean = balanceOver(this.line.series, at, MOOD_WINDOWS);
    const words = mean === null ? "" : ` · ${moodWords(mean)[1]} ${signed(mean)}`;
    const place = this.find(".reading");
    delete place.dataset.key;
    const missed = window.missed ? ", some unheard" : "";
    setText(place, `${time(window.start)} (${timeUtc(window.start)}) · ${count(window.all.total)} posts${missed}${words}`);
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

  twin(twin) {
    if (twin.open) fill(twin.querySelector("table"), TWINS[twin.dataset.twin](this.data));
  }
}
