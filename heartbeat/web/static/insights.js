// How the newest closed window of each task stands to others: a line of words, and two badges.

import { get } from "./stream.js";
import { count, make, percent, setAttribute, setText, setTitle, span, time, utc } from "./words.js";

const LEAST_SIZE = 60; // what smaller windows say changes faster than it can be read
const SETTLE_MS = 400; // a window is told a moment before history has all of it
const LATE_MS = 8_000; // when a window without posts, which no event tells of, ought to have closed
const AGAIN_MS = 15_000;

const THEN = [
  ["window_before", (size) => (size === 60 ? "the minute before" : `the ${span(1000 * size)} before`)],
  ["day_before", () => "yesterday"],
  ["week_before", () => "last week"],
];
const BUSY = {
  "very high": ["▲▲", "much busier than usual"], high: ["▲", "busier than usual"], usual: ["●", "as busy as usual"],
  low: ["▽", "quieter than usual"], "very low": ["▽▽", "much quieter than usual"],
};
const MUCH = { "very high": "much more", high: "more", low: "less", "very low": "much less" };
const LABEL_GLYPHS = { negative: "▼", positive: "▲" };

const points = (share) => `${share < 0 ? "−" : "+"}${Math.abs(Math.round(100 * share))}`;
const far = (score) => (score && score.strength !== "usual" ? Math.abs(score.z) : 0);
const z = (score) => `score ${score.z < 0 ? "−" : "+"}${Math.abs(score.z).toFixed(1)}`;

export function relative(change) {
  const { total } = change;
  if (total.relative === null) return total.absolute ? `${count(total.absolute)} more` : "the same";
  const hundredths = Math.round(100 * total.relative);
  if (!hundredths) return "±0 %";
  return `${hundredths < 0 ? "−" : "+"}${count(Math.abs(hundredths))} %`;
}

// The shift that stands out most, if any does. That there is more of something says more than that there is less.
export function shiftOf({ shifts }) {
  const sides = ["negative", "positive"].filter((label) => shifts[label]);
  if (!sides.length) return null;
  const rank = (label) => [far(shifts[label]) && shifts[label].z > 0 ? 1 : 0, far(shifts[label])];
  const [label] = sides.sort((one, two) => rank(two)[0] - rank(one)[0] || rank(two)[1] - rank(one)[1]);
  const shift = shifts[label];
  const why = `${z(shift)}: ${percent(shift.share)} of ${count(shift.posts)} scored posts are ${label}, ${percent(shift.usual)} before `
    + `(${points(shift.difference)} points; 95 % interval ${points(shift.difference_from)} to ${points(shift.difference_to)})`;
  if (!far(shift)) return { strength: "usual", label: "none", glyph: "●", words: "mood as usual", why };
  const more = shift.z > 0;
  return {
    strength: shift.strength, label: more ? label : "none", glyph: more ? LABEL_GLYPHS[label] : "▽",
    words: `${MUCH[shift.strength]} ${label} than usual`, why,
  };
}

export function spikeOf({ spike, window_seconds: size, reference, total }) {
  if (!spike) return null;
  const [glyph, words] = BUSY[spike.strength];
  const why = `${z(spike)}: ${count(total)} posts in ${span(1000 * size)}; ${count(spike.usual_from)} to ${count(spike.usual_to)} `
    + `are usual, judged by ${reference.windows} windows before`;
  return { strength: spike.strength, glyph, words, why };
}

function fill(badge, told) {
  setAttribute(badge, "data-strength", told?.strength ?? "none");
  setAttribute(badge, "data-label", told?.label ?? "none");
  const [glyph, words, why] = badge.children;
  setText(glyph, told?.glyph ?? "");
  setText(words, told?.words ?? "");
  setText(why, told ? `: ${told.why}` : "");
  setTitle(badge, told?.why ?? "");
}

// The words for what is known; what is not known is left out.
function write(place, insight) {
  const { window_seconds: size, changes } = insight;
  const end = Date.parse(insight.window_start) + 1000 * size;
  const [when, total, changed] = ["when", "total", "changed"].map((name) => place.querySelector(`.${name}`));
  setText(when, `${span(1000 * size)} to ${time(end, size < 60)}`);
  setTitle(when, `${utc(end - 1000 * size)} to ${utc(end)}`);
  setText(total, `${count(insight.total)} ${insight.total === 1 ? "post" : "posts"}`);
  const known = THEN.filter(([name]) => changes[name]);
  const told = known.map(([name, words]) => [relative(changes[name]), `on ${words(size)}`]);
  compare(changed, told.length ? told : [["", "nothing to compare it with yet"]]);
  setTitle(changed, known.map(([name, words]) => `${words(size)}: ${count(changes[name].total.then)} posts`).join("; "));
  fill(place.querySelector('[data-badge="spike"]'), spikeOf(insight));
  fill(place.querySelector('[data-badge="shift"]'), shiftOf(insight));
  setText(place.querySelector(".early"), early(insight));
}

// Each comparison in a place of its own: side by side in a sentence, or, where that would take many lines, in columns.
function compare(place, told) {
  const written = JSON.stringify(told);
  if (place.dataset.told === written) return;
  place.dataset.told = written;
  place.replaceChildren(...told.flatMap(([much, than], at) => {
    const each = make("span", "than");
    each.append(make("span", "much", much), much ? " " : "", make("span", "on", than));
    return at ? [" ", each] : [each];
  }));
}

// Why there is no judgement, where it is only too early for one.
export function early({ window_seconds: size, reference, spike }) {
  if (spike || !reference || reference.windows >= reference.least) return "";
  return `What is usual shows after ${reference.least} windows of ${span(1000 * size)}; there are ${reference.windows} so far.`;
}

export class Insights {
  // `page` has `now()` and `paused`; `sizes` are those of windows, ascending.
  constructor(page, sizes) {
    this.page = page;
    const readable = sizes.filter((size) => size >= LEAST_SIZE);
    this.sizes = (readable.length ? readable : sizes).slice().reverse();
    this.states = new WeakMap();
  }

  _state(card) {
    if (!this.states.has(card)) this.states.set(card, { due: 0, size: null, start: null, busy: false });
    return this.states.get(card);
  }

  // A window of this size has closed, or was corrected.
  hear(card, { window_seconds: size, final }) {
    const state = this._state(card);
    if (final && (size === state.size || state.size === null)) state.due = Math.min(state.due, this.page.now() + SETTLE_MS);
  }

  // To be called about once a second. What nobody sees is not asked for: tasks may be many.
  async follow(card) {
    const state = this._state(card);
    const place = card.find(".insight");
    place.hidden = !card.store.configured;
    if (place.hidden || !card.line.visible || state.busy || this.page.paused !== null || this.page.now() < state.due) return;
    state.busy = true;
    try {
      const insight = await this._read(card.store.name);
      if (this.page.paused !== null) return;
      if (insight) write(place, insight);
      state.size = insight?.window_seconds ?? null;
      const start = insight && Date.parse(insight.window_start);
      const next = start === null ? 0 : start + 2000 * state.size + LATE_MS;
      state.due = Math.max(next, this.page.now() + AGAIN_MS);
    } catch {
      state.due = this.page.now() + AGAIN_MS; // what is wrong is said by what reads the windows
    } finally {
      state.busy = false;
    }
  }

  // The largest windows that there is enough of to judge by; else the largest that can be compared, or are there.
  async _read(task) {
    let best = null;
    for (const size of this.sizes) {
      const { insight } = await get("/api/insights", { task, size });
      if (insight?.spike) return insight;
      const rank = (one) => (one ? 1 + Object.values(one.changes).some(Boolean) : 0);
      if (rank(insight) > rank(best)) best = insight;
    }
    return best;
  }
}
