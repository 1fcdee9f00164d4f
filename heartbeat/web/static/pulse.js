// The Pulse page: keeps a card for each task in step with the stream.

import { Bar } from "./bar.js";
import { Card } from "./card.js";
import { Corrections } from "./corrections.js";
import { History } from "./history.js";
import { readPalette } from "./ink.js";
import { Insights } from "./insights.js";
import { Memory } from "./memory.js";
import { Stream } from "./stream.js";
import { Voice } from "./voice.js";
import { rate } from "./words.js";

const OPEN_AT_FIRST = 3;
const FRAME_MS = 33;
const KEPT_MS = 7_200_000;
const RELOAD_MS = 300_000;
const ANNOUNCE_MS = 60_000;
const HELD_MOST = 5_000;

const root = document.documentElement;
const sizes = JSON.parse(root.dataset.sizes);
const main = document.getElementById("tasks");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const bar = new Bar();
const cards = new Map();
const memory = new Memory();
const minutes = () => Number(document.querySelector('input[name="range"]:checked').value);

let skew = 0; // the server's clock less ours
let lost = null; // when something was heard last, while the connection is lost
let heardFrom = Infinity; // the server's time since which events have come without a gap
let held = []; // events that came while paused

const page = {
  bar, cards, cardOf, render,
  rangeMs: 60_000 * minutes(),
  paused: null, // the moment that is shown while paused
  now: () => page.paused ?? lost ?? Date.now() + skew,
};
const history = new History(page);
const insights = new Insights(page, sizes);
const voices = [...document.querySelectorAll(".voice")].map((element) => new Voice(element, page, sizes));

function adopt(element, name) {
  const card = new Card(element, name, sizes);
  cards.set(name, card);
  card.store.heard(heardFrom);
  card.open = memory.get(name) ?? cards.size <= OPEN_AT_FIRST;
  card.fold.addEventListener("click", () => {
    card.open = !card.open;
    memory.set(name, card.open);
    if (card.open) history.one(card);
    render();
  });
  return card;
}

function cardOf(name) {
  if (cards.has(name)) return cards.get(name);
  const element = document.getElementById("card").content.cloneNode(true).querySelector(".card");
  document.getElementById("no-tasks")?.remove();
  main.append(element);
  const card = adopt(element, name);
  scheduleTasks();
  return card;
}

// A task that nobody told us of speaks: ask who it is, once for all that come together.
let scheduled = null;
function scheduleTasks() {
  scheduled ??= setTimeout(async () => {
    scheduled = null;
    await history.tasks().catch(() => {});
    for (const card of cards.values()) if (!card.loaded) history.one(card);
    render();
  }, 1000);
}

function render() {
  const now = page.now();
  const how = { still: calm.matches || page.paused !== null, ready: bar.ready, lost: lost !== null };
  for (const card of cards.values()) {
    if (lost === null) {
      history.follow(card, card.views(now, page.rangeMs));
      insights.follow(card);
    }
    card.render(now, page.rangeMs, how);
  }
  if (lost === null) for (const voice of voices) voice.follow();
}

function prune() {
  for (const card of cards.values()) {
    if (!card.store.configured) continue;
    const views = card.views(page.now(), page.rangeMs);
    for (const size of sizes) {
      const view = [views.pulse, views.range].filter((each) => each.size === size).map(({ from }) => from);
      card.store.forget(size, Math.min(...view, page.now() - KEPT_MS) - 2000 * size);
    }
  }
}

let lastFrame = 0;
function frame(at) {
  requestAnimationFrame(frame);
  if (at - lastFrame < FRAME_MS || calm.matches || page.paused !== null) return;
  lastFrame = at;
  for (const card of cards.values()) if (card.line.visible) card.line.draw(page.now());
}

// Say how the mood of tasks has changed, politely and seldom.
const told = new Map();
function announce() {
  if (page.paused !== null || lost !== null) return;
  const news = [];
  for (const card of cards.values()) {
    const before = told.get(card);
    if (card.store.configured && card.mood) told.set(card, card.mood);
    if (before && card.mood && before !== card.mood && card.store.configured) {
      news.push(`${card.store.title}: ${card.mood}, ${rate(card.rate)} posts a minute`);
    }
  }
  if (news.length) bar.say(news.join("; "));
}

for (const element of main.querySelectorAll(".card")) {
  const card = adopt(element, element.dataset.task);
  card.store.configured = true;
  card.store.title = element.querySelector("h2").textContent;
  card.store.query = element.querySelector(".query").textContent;
}

const corrections = new Corrections(JSON.parse(root.dataset.languages), {
  changed(post, correction) {
    for (const card of cards.values()) card.store.correct(post, correction);
    render();
  },
  say: (words) => bar.say(words),
});
main.addEventListener("correct", ({ detail: { post, closed } }) => corrections.open(post, closed));

bar.onRange(() => {
  page.rangeMs = 60_000 * minutes();
  for (const card of cards.values()) history.one(card);
  for (const voice of voices) voice.again();
  render();
});

// Paused, the page shows one moment: what comes meanwhile waits.
bar.onPause((pause) => {
  page.paused = pause ? page.now() : null;
  root.classList.toggle("paused", pause);
  if (!pause) {
    const [waiting, many] = [held, held.length > HELD_MOST];
    held = [];
    if (many) history.all();
    else for (const each of waiting) each();
  }
  render();
});

dark.addEventListener("change", () => {
  readPalette();
  for (const card of cards.values()) {
    card.drawn = "";
    card.line.draw(page.now(), true);
  }
  for (const voice of voices) voice.draw();
  render();
});

let due = null;
const soon = () => {
  due ??= setTimeout(() => {
    due = null;
    render();
  }, 400);
};

function take(apply) {
  if (page.paused === null) apply();
  else if (held.length <= HELD_MOST) held.push(apply);
  soon();
}

const stream = new Stream({
  state(state) {
    if (state === "live") lost = null;
    else if (state === "reconnecting") lost ??= Date.now() + skew - stream.silence;
    bar.connected(state, lost);
    render();
  },
  hello(hello) {
    const moment = Date.parse(hello.now);
    skew = moment - Date.now();
    if (hello.version !== root.dataset.version) bar.updated(main);
    if (hello.resumed) return;
    history.helloAt = performance.now();
    heardFrom = moment;
    for (const card of cards.values()) card.store.heard(moment);
    history.all();
  },
  window: (event) => take(() => {
    const card = cardOf(event.task);
    card.store.take(event);
    insights.hear(card, event);
  }),
  post: (event) => take(() => {
    const card = cardOf(event.task);
    card.store.hear(event);
    if (event.op === "add" && !event.late) card.line.beat();
  }),
  unheard: (event) => take(() => {
    for (const { store } of cards.values()) if (store.feeds?.includes(event.feed)) store.miss(event);
  }),
  feed: (feed) => bar.feed(feed),
  health(health) {
    const recovered = bar.health && !bar.health.ready && health.ready;
    bar.took(health);
    if (recovered) history.all();
  },
});

readPalette();
render();
requestAnimationFrame(frame);
setInterval(render, 1000);
setInterval(prune, 30_000);
setInterval(() => page.paused === null && lost === null && history.all(), RELOAD_MS);
setInterval(announce, ANNOUNCE_MS);
