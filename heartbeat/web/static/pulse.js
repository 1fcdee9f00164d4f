// The Pulse page: keeps a card for each task in step with the stream.

import { Bar } from "./bar.js";
import { Card } from "./card.js";
import { readPalette } from "./heartline.js";
import { Stream, get } from "./stream.js";
import { make, rate } from "./words.js";

const root = document.documentElement;
const sizes = JSON.parse(root.dataset.sizes);
const main = document.getElementById("tasks");
const calm = matchMedia("(prefers-reduced-motion: reduce)");
const dark = matchMedia("(prefers-color-scheme: dark)");
const bar = new Bar();
const cards = new Map();
const OPEN_AT_FIRST = 3;
const FRAME_MS = 33;
const POSTS = 30;
const YOUNG_MS = 3_600_000; // as far back the pulse's windows are read, to see where a young task begins
const RELOAD_MS = 300_000;
const ANNOUNCE_MS = 60_000;

let skew = 0; // the server's clock less ours
let paused = null; // the moment that is shown while paused
let helloAt = 0; // when the server last told us that it knows nothing of our past
let rangeMs = 60_000 * Number(document.querySelector('input[name="range"]:checked').value);

const now = () => paused ?? Date.now() + skew;
const remembered = JSON.parse(localStorage.getItem("open") ?? "{}");

function adopt(element, name) {
  const card = new Card(element, name, sizes);
  cards.set(name, card);
  card.open = remembered[name] ?? cards.size <= OPEN_AT_FIRST;
  card.fold.addEventListener("click", () => {
    card.open = !card.open;
    remembered[name] = card.open;
    localStorage.setItem("open", JSON.stringify(remembered));
    if (card.open) load(card);
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

async function loadTasks() {
  const { tasks } = await get("/api/tasks");
  for (const task of tasks) cardOf(task.name).store.describe(task);
  return tasks;
}

// A task that nobody told us of speaks: ask who it is, once for all that come together.
let scheduled = null;
function scheduleTasks() {
  scheduled ??= setTimeout(async () => {
    scheduled = null;
    await loadTasks().catch(() => {});
    render();
  }, 1000);
}

const loadedFor = (card, { pulse, range }) => `${pulse.size} ${range.size} ${card.open}`;

// Read what lies in view from history; events go on arriving meanwhile and win where they are newer.
async function load(card) {
  const views = card.views(now(), rangeMs);
  if (!views) return;
  const askedAt = performance.now();
  const name = card.store.name;
  const ask = (view, by) => get("/api/windows", {
    task: name, size: view.size, from: Math.floor(view.from), to: Math.ceil(view.to) + 1000 * view.size, by,
  });
  const { pulse, range } = views;
  const jobs = [];
  const step = 1000 * pulse.size;
  if (range.size !== pulse.size || range.from > pulse.from || !card.open) {
    const reach = pulse.live ? Math.min(pulse.from, now() - YOUNG_MS) : pulse.from;
    const from = Math.floor((reach - step) / step) * step;
    jobs.push(ask({ ...pulse, from }, "all").then((got) => {
      card.store.replace(pulse.size, from, got.windows, null, askedAt, helloAt);
      card.store.reached = from;
    }));
  }
  if (card.open) {
    jobs.push(Promise.all([ask(range, "all"), ask(range, "lang")]).then(([all, lang]) =>
      card.store.replace(range.size, range.from, all.windows, lang.windows, askedAt, helloAt)));
    jobs.push(get("/api/posts", { task: name, limit: POSTS }).then(({ posts }) => card.store.replacePosts(posts, askedAt)));
  }
  card.loaded = loadedFor(card, views);
  await Promise.all(jobs);
}

async function loadAll() {
  try {
    const [{ feeds }, health] = await Promise.all([get("/api/feeds"), get("/api/health"), loadTasks()]);
    bar.replaceFeeds(feeds);
    bar.took(health);
    await Promise.all([...cards.values()].map(load));
  } catch (error) {
    clearTimeout(loadAll.timer);
    loadAll.timer = setTimeout(loadAll, 3000);
  }
  render();
}

function render() {
  if (paused !== null) return;
  for (const card of cards.values()) {
    card.render(now(), rangeMs, { still: calm.matches, ready: bar.ready });
    const views = card.views(now(), rangeMs);
    if (views && card.loaded && card.loaded !== loadedFor(card, views)) load(card).catch(() => {});
  }
}

function prune() {
  for (const card of cards.values()) {
    if (!card.store.configured) continue;
    const views = card.views(now(), rangeMs);
    for (const size of sizes) {
      const view = [views.pulse, views.range].filter((each) => each.size === size).map(({ from }) => from);
      card.store.forget(size, Math.min(...view, now() - 2 * YOUNG_MS) - 2000 * size);
    }
  }
}

let lastFrame = 0;
function frame(at) {
  requestAnimationFrame(frame);
  if (at - lastFrame < FRAME_MS || calm.matches || paused !== null) return;
  lastFrame = at;
  for (const card of cards.values()) if (card.line.visible) card.line.draw(now());
}

// Say how the mood of tasks has changed, politely and seldom.
const told = new Map();
function announce() {
  if (paused !== null) return;
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

for (const choice of document.querySelectorAll('input[name="range"]')) {
  choice.addEventListener("change", () => {
    rangeMs = 60_000 * Number(choice.value);
    for (const card of cards.values()) load(card).then(render, () => {});
    render();
  });
}

const pause = document.getElementById("pause");
pause.addEventListener("click", () => {
  paused = paused === null ? now() : null;
  pause.setAttribute("aria-pressed", String(paused !== null));
  root.classList.toggle("paused", paused !== null);
  render();
});

dark.addEventListener("change", () => {
  readPalette();
  for (const card of cards.values()) {
    card.drawn = "";
    card.line.draw(now(), true);
  }
  render();
});

let due = null;
const soon = () => {
  due ??= setTimeout(() => {
    due = null;
    render();
  }, 400);
};

new Stream({
  state: (state) => bar.connected(state),
  hello(hello) {
    skew = Date.parse(hello.now) - Date.now();
    if (hello.version !== root.dataset.version && !document.getElementById("updated")) {
      const note = make("p", "notice", "Heartbeat was updated. ");
      note.id = "updated";
      const again = Object.assign(make("button", "", "Load the new page"), { type: "button" });
      again.addEventListener("click", () => location.reload());
      note.append(again);
      main.before(note);
    }
    if (!hello.resumed) {
      helloAt = performance.now();
      loadAll();
    }
  },
  window(event) {
    cardOf(event.task).store.take(event);
    soon();
  },
  post(event) {
    const card = cardOf(event.task);
    card.store.hear(event);
    if (event.op === "add" && !event.late) card.line.beat();
    soon();
  },
  feed: (feed) => bar.feed(feed),
  health(health) {
    const recovered = bar.health && !bar.health.ready && health.ready;
    bar.took(health);
    if (recovered) loadAll();
  },
});

readPalette();
render();
requestAnimationFrame(frame);
setInterval(render, 1000);
setInterval(prune, 30_000);
setInterval(loadAll, RELOAD_MS);
setInterval(announce, ANNOUNCE_MS);
