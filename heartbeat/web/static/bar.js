// The bar at the top: feeds, health and the connection.

import { ago, count, make, setAttribute, setText } from "./words.js";

const FEED_STATES = {
  "caught up": ["ok", "●"], starting: ["waiting", "◐"], behind: ["waiting", "◐"], paused: ["waiting", "◐"],
  disconnected: ["failed", "✕"], failed: ["failed", "✕"], ended: ["done", "✓"], stopped: ["done", "■"],
};

export class Bar {
  constructor() {
    this.list = document.querySelector(".feeds");
    this.problems = document.getElementById("problems");
    this.connection = document.getElementById("connection");
    this.announcer = document.getElementById("announcer");
    this.feeds = new Map();
    this.health = null;
  }

  get ready() {
    return this.health?.ready ?? this.problems.hidden;
  }

  say(text) {
    setText(this.announcer, text);
  }

  connected(state) {
    const words = { live: "live", reconnecting: "reconnecting…", connecting: "connecting…" }[state];
    if (this.connection.dataset.state === state) return;
    const before = this.connection.dataset.state;
    setAttribute(this.connection, "data-state", state);
    setText(this.connection, words);
    if (state === "reconnecting") this.say("Connection lost, reconnecting.");
    else if (before === "reconnecting") this.say("Connected again.");
  }

  feed(feed) {
    if (feed.state === "gone") {
      this.feeds.get(feed.name)?.remove();
      this.feeds.delete(feed.name);
      return;
    }
    let item = this.feeds.get(feed.name);
    if (!item) {
      item = make("li", "feed");
      const glyph = make("span", "glyph");
      glyph.setAttribute("aria-hidden", "true");
      item.append(glyph, make("bdi", "name", feed.name), make("span", "state"), make("span", "detail"));
      this.feeds.set(feed.name, item);
      if (this.list.querySelector(".none")) this.list.replaceChildren();
      item.dataset.order = `${feed.live ? 0 : 1} ${feed.name}`;
      const after = [...this.list.children].find((other) => other.dataset.order > item.dataset.order);
      this.list.insertBefore(item, after ?? null);
    }
    const [kind, glyph] = FEED_STATES[feed.state] ?? ["waiting", "?"];
    setAttribute(item, "data-state", kind);
    const [glyphs, , state, detail] = item.children;
    setText(glyphs, glyph);
    setText(state, feed.state);
    setText(detail, this._detail(feed));
    item.title = feed.why || `${count(feed.posts)} posts, ${count(feed.rejected)} rejected`;
  }

  _detail(feed) {
    if (["disconnected", "failed", "paused"].includes(feed.state) && feed.why) return feed.why;
    if (feed.progress !== null && feed.progress < 1) return `${Math.floor(100 * feed.progress)} %`;
    if (feed.state === "behind" && feed.behind_s !== null) return `${ago(1000 * feed.behind_s)} behind`;
    return `${count(feed.posts)} posts`;
  }

  replaceFeeds(feeds) {
    const names = new Set(feeds.map(({ name }) => name));
    for (const name of [...this.feeds.keys()]) if (!names.has(name)) this.feed({ name, state: "gone" });
    feeds.forEach((feed) => this.feed(feed));
  }

  took(health) {
    const troubles = health.parts.filter(({ state }) => state !== "ok");
    const lines = troubles.map(({ part, state, why, remedy }) => ({
      state, text: [`${part}: ${why || state}`, remedy].filter(Boolean).join(" — "),
    }));
    if (!health.ready) lines.unshift({ state: "waiting", text: "recovering: what was known is being read back" });
    this.problems.hidden = !lines.length;
    this.problems.replaceChildren(...lines.map(({ state, text }) => {
      const item = make("li", "", text);
      item.dataset.state = state;
      return item;
    }));
    if (this.health && this.health.ready !== health.ready && health.ready) this.say("Recovery is complete.");
    this.health = health;
  }
}
