// Reads from the API what events do not repeat, and tries again, ever more seldom, when it cannot be read.

import { get } from "./stream.js";

const POSTS = 30;
const YOUNG_MS = 3_600_000; // as far back the pulse's windows are read, to see where a young task begins
const FIRST_PAUSE_MS = 3_000;
const LONGEST_PAUSE_MS = 30_000;

const shown = (card, { pulse, range }) => `${pulse.size} ${range.size} ${card.open}`;

export class History {
  // `page` has `cards`, `cardOf(name)`, `bar`, `now()`, `rangeMs`, `paused` and `render()`.
  constructor(page) {
    this.page = page;
    this.helloAt = 0; // when the server last told us that it knows nothing of our past
    this.pause = FIRST_PAUSE_MS;
  }

  async tasks() {
    const { tasks } = await get("/api/tasks");
    for (const task of tasks) this.page.cardOf(task.name).store.describe(task);
  }

  // Everything, as after the first visit.
  async all() {
    const { bar, cards } = this.page;
    clearTimeout(this.timer);
    this.timer = null;
    await this._trying(async () => {
      const [{ feeds }, health] = await Promise.all([get("/api/feeds"), get("/api/health"), this.tasks()]);
      bar.replaceFeeds(feeds);
      bar.took(health);
      await Promise.all([...cards.values()].map((card) => this._card(card)));
      this.pause = FIRST_PAUSE_MS;
      bar.note("history", null);
    }, () => cards.values());
  }

  // One card, which shows something else from now on.
  async one(card) {
    await this._trying(() => this._card(card), () => [card]);
  }

  // Whether a card shows windows that have not been read.
  async follow(card, views) {
    if (views && card.loaded && card.loaded !== shown(card, views)) await this.one(card);
  }

  // `concerned` gives the cards that it is about, which may come to be more meanwhile.
  async _trying(job, concerned) {
    try {
      await job();
    } catch (error) {
      for (const card of concerned()) card.failed = true;
      this.page.bar.note("history", `${error.message}; it is tried again`);
      if (!this.timer) {
        this.timer = setTimeout(() => this.all(), this.pause);
        this.pause = Math.min(2 * this.pause, LONGEST_PAUSE_MS);
      }
    }
    for (const card of concerned()) card.tried = true;
    this.page.render();
  }

  // What lies in view; events go on arriving meanwhile and win where they are newer.
  async _card(card) {
    const { page, helloAt } = this;
    const views = card.views(page.now(), page.rangeMs);
    if (!views) return;
    const askedAt = performance.now();
    const { pulse, range } = views;
    const { store } = card;
    const ask = async (view, by) => {
      const got = await get("/api/windows", {
        task: store.name, size: view.size, from: Math.floor(view.from), to: Math.ceil(view.to) + 1000 * view.size, by,
      });
      got.unheard.forEach((span) => store.miss(span));
      return got;
    };
    const jobs = [];
    const step = 1000 * pulse.size;
    if (range.size !== pulse.size || range.from > pulse.from || !card.open) {
      const reach = pulse.live ? Math.min(pulse.from, page.now() - YOUNG_MS) : pulse.from;
      const from = Math.floor((reach - step) / step) * step;
      jobs.push(ask({ ...pulse, from }, "all").then((got) =>
        store.replace(pulse.size, from, got.windows, null, askedAt, helloAt)));
    }
    if (card.open) {
      jobs.push(Promise.all([ask(range, "all"), ask(range, "lang")]).then(([all, lang]) =>
        store.replace(range.size, range.from, all.windows, lang.windows, askedAt, helloAt)));
      jobs.push(get("/api/posts", { task: store.name, limit: POSTS }).then(({ posts }) =>
        store.replacePosts(posts.filter(({ time }) => Date.parse(time) <= (page.paused ?? Infinity)), askedAt)));
    }
    card.loaded = shown(card, views);
    card.pending += 1;
    try {
      await Promise.all(jobs);
      card.failed = false;
    } finally {
      card.pending -= 1;
    }
  }
}
