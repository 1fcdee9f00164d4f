// The bar at the top: feeds, health and the connection; and the lines below it that say what is wrong.

import { Health } from "./health.js";
import { ago, count, make, setAttribute, setText, time, utc } from "./words.js";

const FEED_STATES = {
  "caught up": ["ok", "●"], starting: ["waiting", "◐"], behind: ["waiting", "◐"], paused: ["waiting", "◐"],
  disconnected: ["failed", "✕"], failed: ["failed", "✕"], ended: ["done", "✓"], stopped: ["done", "■"],
};
const WORDS = { live: "live", reconnecting: "reconnecting…", connecting: "connecting…" };

export class Bar {
  constructor() {
    this.list = document.querySelector(".feeds");
    this.problems = document.getElementById("problems");
    this.connection = document.getElementById("connection");
    this.announcer = document.getElementById("announcer");
    this.range = document.querySelector(".range");
    this.pause = document.getElementById("pause");
    this.feeds = new Map();
    this.health = null;
    this.lost = null;
    this.notes = new Map();
    this.table = new Health();
    this.told = null;
    this.range.disabled = this.pause.disabled = false;
    setText(this.connection, WORDS.connecting);
    // What gets the focus must not lie under the bar.
    const bar = document.querySelector(".bar");
    new ResizeObserver(() => document.documentElement.style.setProperty("--bar", `${bar.offsetHeight}px`)).observe(bar);
  }

  get ready() {
    return this.health?.ready ?? this.problems.hidden;
  }

  onRange(told) {
    this.range.addEventListener("change", told);
  }

  onPause(told) {
    this.pause.addEventListener("click", () => {
      const pause = this.pause.getAttribute("aria-pressed") !== "true";
      setAttribute(this.pause, "aria-pressed", String(pause));
      told(pause);
    });
  }

  say(text) {
    setText(this.announcer, text);
  }

  // `lost` is when something was heard last, while the connection is lost.
  connected(state, lost) {
    const before = this.connection.dataset.state;
    if (before === state && this.lost === lost) return;
    this.lost = lost;
    setAttribute(this.connection, "data-state", state);
    setText(this.connection, WORDS[state]);
    if (state === "reconnecting" && before !== state) this.say("Connection lost, reconnecting.");
    else if (before === "reconnecting" && state === "live") this.say("Connected again.");
    for (const item of this.feeds.values()) this._show(item);
    this._problems();
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
      this.list.querySelector(".none")?.remove();
      item.dataset.order = `${feed.live ? 0 : 1} ${feed.name}`;
      const after = [...this.list.children].find((other) => other.dataset.order > item.dataset.order);
      this.list.insertBefore(item, after ?? null);
    }
    item.feed = feed;
    this._show(item);
  }

  _show(item) {
    const { feed } = item;
    const known = this.lost === null;
    const [kind, glyph] = known ? FEED_STATES[feed.state] ?? ["waiting", "?"] : ["unknown", "○"];
    setAttribute(item, "data-state", kind);
    const [glyphs, , state, detail] = item.children;
    setText(glyphs, glyph);
    setText(state, known ? feed.state : "unknown");
    setText(detail, known ? this._detail(feed) : "");
    item.title = known ? feed.why || `${count(feed.posts)} posts, ${count(feed.rejected)} rejected` : `last heard: ${feed.state}`;
  }

  _detail(feed) {
    // Why is told in a line of its own, below the bar.
    if (["disconnected", "failed", "paused"].includes(feed.state) && feed.since) return `since ${time(Date.parse(feed.since))}`;
    if (feed.progress !== null && feed.progress < 1) return `${Math.floor(100 * feed.progress)} %`;
    if (feed.state === "behind" && feed.behind_s !== null) return `${ago(1000 * feed.behind_s)} behind`;
    return `${count(feed.posts)} posts`;
  }

  replaceFeeds(feeds) {
    const names = new Set(feeds.map(({ name }) => name));
    for (const name of [...this.feeds.keys()]) if (!names.has(name)) this.feed({ name, state: "gone" });
    feeds.forEach((feed) => this.feed(feed));
    if (!feeds.length) this.list.replaceChildren(make("li", "none", "no feeds yet"));
  }

  took(health) {
    if (this.health && !this.health.ready && health.ready) this.say("Recovery is complete.");
    this.health = health;
    this.table.took(health);
    this._problems();
  }

  // A trouble of the page itself, or that it is over.
  note(part, why) {
    if (why === null) this.notes.delete(part);
    else this.notes.set(part, why);
    this._problems();
  }

  // What is known to be wrong; while nothing is heard, only that.
  _lines() {
    if (this.lost !== null) {
      const why = `lost at ${time(this.lost)} (${utc(this.lost)}), it is tried again`;
      return [{ part: "connection", state: "failed", why, remedy: "what is shown is as it was then" }];
    }
    const lines = (this.health?.parts ?? []).filter(({ state }) => state !== "ok");
    for (const [part, why] of this.notes) lines.push({ part, state: "failed", why: `could not be read: ${why}` });
    if (this.health && !this.health.ready) {
      lines.unshift({ part: "recovering", state: "waiting", why: "what was known is being read back" });
    }
    return lines;
  }

  _problems() {
    if (!this.health && this.lost === null && !this.notes.size) return; // then what the server wrote still stands
    const lines = this._lines();
    const told = JSON.stringify(lines.map(({ part, state, since, why, remedy }) => [part, state, since, why, remedy]));
    if (told === this.told) return;
    this.told = told;
    this.problems.hidden = !lines.length;
    this.problems.replaceChildren(...lines.map(({ part, state, since, why, remedy }) => {
      const item = make("li");
      item.dataset.state = state;
      item.append(make("b", "part", part), `: ${why || state}`);
      if (since) item.title = `since ${time(Date.parse(since))} (${utc(Date.parse(since))})`;
      if (remedy) item.append(make("span", "remedy", ` — ${remedy}`));
      return item;
    }));
  }

  updated(before) {
    if (document.getElementById("updated")) return;
    const note = make("p", "notice", "Heartbeat was updated. ");
    note.id = "updated";
    const again = Object.assign(make("button", "", "Load the new page"), { type: "button" });
    again.addEventListener("click", () => location.reload());
    note.append(again);
    before.before(note);
  }
}
