// What the page knows of a task: its windows by size and start, and its latest posts. Pure data, no page.

export const EMPTY = {
  total: 0, scored: 0, positive: 0, neutral: 0, negative: 0, mixed: 0, unscored: 0,
  pos_mean: null, neu_mean: null, neg_mean: null,
};
const COUNTS = ["total", "scored", "positive", "neutral", "negative", "mixed", "unscored"];
const MEANS = ["pos_mean", "neu_mean", "neg_mean"];
const POSTS_KEPT = 60;
const RECENT_MS = 60_000;
const MISSED_MOST = 0.05; // how much of a window may have been missed, as in the figures of insights

export function add(into, figures) {
  for (const name of MEANS) {
    const sum = (into[name] ?? 0) * into.scored + (figures[name] ?? 0) * figures.scored;
    into[name] = into.scored + figures.scored ? sum / (into.scored + figures.scored) : null;
  }
  for (const name of COUNTS) into[name] += figures[name];
  return into;
}

export const sum = (many) => many.reduce(add, { ...EMPTY });
export const balance = (figures) => (figures.scored ? figures.pos_mean - figures.neg_mean : null);

// The balance of a window and of those before it: `many` windows in all.
export function balanceOver(series, at, many) {
  let scored = 0;
  let weighed = 0;
  for (const { all } of series.slice(Math.max(0, at - many + 1), at + 1)) {
    scored += all.scored;
    weighed += all.scored * (balance(all) ?? 0);
  }
  return scored ? weighed / scored : null;
}

// Whether a window's state is at least as new as another's: revisions only grow; while open, the later arrival wins.
const asNew = (one, other) => one.revision >= other.revision;

export class TaskStore {
  constructor(name) {
    Object.assign(this, { name, title: name, query: null, configured: false, first: null, last: null, late: 0 });
    this.windows = new Map();
    this.posts = [];
    this.version = 0;
    this.heardFrom = Infinity; // from this moment on events have come without a gap
    this.read = false; // its history has been read once
    this.unheard = new Map(); // of which times its feeds have heard nothing: by their beginning, their end
    this.loaded = new Map(); // size: from when on its windows are known, having been read since
  }

  // Whether it is known that the task has never had a post.
  get bare() {
    return this.read && this.first === null && !this.posts.length;
  }

  // Events come without a gap from now on; what was missed before is unknown until it has been read.
  heard(from) {
    this.heardFrom = from;
    this.loaded.clear();
    this.version += 1;
  }

  // Since when windows of this size are known. What was replayed from a file has no other past.
  knownFrom(size) {
    if (!this.configured && this.loaded.has(size)) return -Infinity;
    return this.loaded.get(size) ?? this.heardFrom;
  }

  describe(task) {
    Object.assign(this, {
      title: task.title, query: task.query, configured: task.configured, sizes: task.sizes, feeds: task.feeds,
    });
    this.late = Math.max(this.late, task.late);
    if (task.first) this.first = Math.min(this.first ?? Infinity, Date.parse(task.first));
    if (task.last) this.last = Math.max(this.last ?? -Infinity, Date.parse(task.last));
    this.version += 1;
  }

  ofSize(size) {
    if (!this.windows.has(size)) this.windows.set(size, new Map());
    return this.windows.get(size);
  }

  // A `window` event: the newest state of a window.
  take(event) {
    const start = Date.parse(event.window_start);
    const { revision, final, late, all, lang } = event;
    this.ofSize(event.window_seconds).set(start, { start, revision, final, all, lang, at: performance.now() });
    this.late = Math.max(this.late, late);
    this.first = Math.min(this.first ?? Infinity, start);
    this.last = Math.max(this.last ?? -Infinity, start + 1000 * event.window_seconds);
    this.version += 1;
  }

  // What the API says of a range replaces what was known of it, except what came by events since it was asked.
  replace(size, from, rows, langRows, askedAt, sinceAt) {
    const known = this.ofSize(size);
    const fresh = new Map();
    for (const row of rows) {
      const start = Date.parse(row.window_start);
      fresh.set(start, {
        start, revision: row.revision, final: row.final, all: row, lang: langRows ? {} : known.get(start)?.lang ?? null, at: 0,
      });
    }
    for (const row of langRows ?? []) {
      const window = fresh.get(Date.parse(row.window_start));
      if (window) window.lang[row.key] = row;
    }
    for (const [start, window] of known) {
      if (start < from) continue;
      const told = fresh.get(start);
      const recent = window.at >= Math.max(askedAt - RECENT_MS, sinceAt);
      if (recent && (!told || (window.at >= askedAt ? asNew(window, told) : window.revision > told.revision))) {
        fresh.set(start, window);
      }
    }
    for (const start of [...known.keys()]) if (start >= from) known.delete(start);
    for (const [start, window] of fresh) known.set(start, window);
    this.read = true;
    if (askedAt >= sinceAt) this.loaded.set(size, Math.min(from, this.loaded.get(size) ?? Infinity));
    this.version += 1;
  }

  // When the first post was made, if that is known to be no more than the windows at hand go back; else null.
  beginning(size) {
    if (!this.loaded.has(size)) return this.begun ?? null;
    this.begun = null;
    if (this.first === null || this.first < this.loaded.get(size)) return null;
    let begin = null;
    for (const { start, all } of this.ofSize(size).values()) {
      if (all.total && (begin === null || start < begin)) begin = start;
    }
    this.begun = begin;
    return begin;
  }

  forget(size, before) {
    const known = this.windows.get(size);
    for (const start of known?.keys() ?? []) if (start < before) known.delete(start);
    if (this.loaded.get(size) < before) this.loaded.set(size, before);
  }

  // A time of which one of its feeds has heard nothing. The same may come again, and last longer.
  miss({ from, to }) {
    const [begin, end] = [Date.parse(from), Date.parse(to)];
    if (this.unheard.get(begin) >= end) return;
    this.unheard.set(begin, end);
    this.version += 1;
  }

  // Times within [from, to) that were not heard, in order and apart: pairs of beginning and end.
  missed(from, to) {
    const out = [];
    for (const [begin, end] of [...this.unheard].sort(([one], [two]) => one - two)) {
      if (end <= from || begin >= to) continue;
      const last = out.at(-1);
      if (last && begin <= last[1]) last[1] = Math.max(last[1], end);
      else out.push([begin, end]);
    }
    return out;
  }

  // Windows of [from, to). Where none is there, nothing was said, unless it is `unknown`. One that was not heard, or only
  // in part, says so as `missed`.
  series(size, from, to) {
    const step = 1000 * size;
    const known = this.ofSize(size);
    const since = this.knownFrom(size);
    const spans = this.missed(from, to + step);
    const out = [];
    for (let start = Math.ceil(from / step) * step; start < to; start += step) {
      const missing = spans.reduce((sum, [begin, end]) => sum + Math.max(0, Math.min(end, start + step) - Math.max(begin, start)), 0);
      const missed = missing > MISSED_MOST * step;
      const window = known.get(start);
      if (window) out.push(missed ? { ...window, missed } : window);
      else out.push({ start, revision: 0, final: false, all: EMPTY, lang: {}, unknown: missed || !(start >= since), missed });
    }
    return out;
  }

  byLanguage(series) {
    const sums = new Map();
    for (const window of series) {
      for (const [code, figures] of Object.entries(window.lang ?? {})) {
        sums.set(code, add(sums.get(code) ?? { ...EMPTY }, figures));
      }
    }
    return [...sums].filter(([, figures]) => figures.total > 0)
      .sort(([a, one], [b, two]) => two.total - one.total || (a < b ? -1 : 1));
  }

  // A `post` event. One that says only that a post came late marks it; a retraction takes it back.
  hear(event) {
    const at = this.posts.findIndex((post) => post.id === event.id && post.source === event.source);
    const before = at < 0 ? null : this.posts[at];
    if (event.late) {
      if (before) this.posts[at] = { ...before, late: true };
    } else {
      if (before) this.posts.splice(at, 1);
      if (event.op !== "retract") this._insert({ correction: before?.correction ?? null, ...event, ms: Date.parse(event.time), at: performance.now() });
    }
    this.version += 1;
  }

  // What people say of a post from now on.
  correct({ source, id }, correction) {
    const at = this.posts.findIndex((post) => post.id === id && post.source === source);
    if (at < 0) return;
    this.posts[at] = { ...this.posts[at], correction };
    this.version += 1;
  }

  replacePosts(rows, askedAt) {
    const since = this.posts.filter((post) => post.at >= askedAt);
    this.posts = [];
    for (const row of rows) this._insert({ ...row, ms: Date.parse(row.time), at: 0 });
    for (const post of since) {
      if (!this.posts.some((other) => other.id === post.id && other.source === post.source)) this._insert(post);
    }
    this.version += 1;
  }

  _insert(post) {
    let at = this.posts.findIndex((other) => other.ms <= post.ms);
    if (at < 0) at = this.posts.length;
    this.posts.splice(at, 0, post);
    this.posts.length = Math.min(this.posts.length, POSTS_KEPT);
  }
}
