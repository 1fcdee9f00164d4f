// What things are called, and how numbers and times are written.

export const LABELS = ["positive", "neutral", "negative", "mixed"];
export const ALL_LABELS = [...LABELS, "unscored"];
export const GLYPHS = { positive: "▲", neutral: "●", negative: "▼", mixed: "◆", unscored: "○", none: "" };

const whole = new Intl.NumberFormat(undefined, { maximumFractionDigits: 0 });
const tenth = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat(undefined, { notation: "compact", maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });
const clockSeconds = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23",
});
const dayShort = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const names = new Intl.DisplayNames(["en"], { type: "language" });
const graphemes = new Intl.Segmenter(undefined, { granularity: "grapheme" });

export const count = (n) => (n >= 100_000 ? compact.format(n) : whole.format(n));
export const rate = (n) => (n >= 100 ? count(n) : tenth.format(n));
export const percent = (share) => `${whole.format(100 * share)} %`;
export const signed = (n) => (n === null ? "" : `${n < 0 ? "−" : "+"}${Math.abs(n).toFixed(2)}`);
export const time = (ms, seconds = true) => (seconds ? clockSeconds : clock).format(ms);
export const dateTime = (ms, seconds = false) => `${day.format(ms)}, ${time(ms, seconds)}`;
export const date = (ms) => dayShort.format(ms);
export const utc = (ms) => `${new Date(ms).toISOString().slice(0, 19).replace("T", " ")} UTC`;
export const timeUtc = (ms) => utc(ms).slice(11);

// From one moment to another, in the reader's zone and in UTC.
export function bothTimes(start, end) {
  const last = day.format(start) === day.format(end) ? time(end) : dateTime(end, true);
  const lastUtc = utc(start).slice(0, 10) === utc(end).slice(0, 10) ? timeUtc(end) : utc(end);
  return [`${dateTime(start, true)} – ${last}`, `${utc(start).slice(0, 19)} – ${lastUtc}`];
}

export function ago(ms) {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

// How long ago a post was made, or when, if that is long over.
export const age = (ms, now) => (now - ms < 172_800_000 ? ago(now - ms) : dateTime(ms));

export function span(ms) {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 1) return `${Math.round(ms / 1000)} s`;
  if (minutes < 120) return `${minutes} min`;
  const hours = ms / 3_600_000;
  return hours < 72 ? `${tenth.format(hours)} h` : `${whole.format(hours / 24)} days`;
}

export function language(code) {
  if (code === "und") return "undetermined";
  try {
    return names.of(code) ?? code;
  } catch {
    return code;
  }
}

// The mood: the mean of (positive − negative) over the scored posts, from −1 to 1.
export function moodWords(balance) {
  if (balance === null) return ["none", "waiting for the first posts"];
  if (balance >= 0.4) return ["positive", "very positive"];
  if (balance >= 0.1) return ["positive", "rather positive"];
  if (balance <= -0.4) return ["negative", "very negative"];
  if (balance <= -0.1) return ["negative", "rather negative"];
  return ["neutral", "in balance"];
}

// How sure the model is of a post's label. A mixed one is as sure as it is not neutral.
export function confidence(post) {
  if (post.label === "mixed") return 1 - post.neu;
  return { positive: post.pos, neutral: post.neu, negative: post.neg }[post.label] ?? null;
}

// The first characters of a text, as people count them; `cut` says that the end of the text is already missing.
export function shorten(text, longest, cut = false) {
  const most = 6 * longest; // one character may consist of any number of code units
  if (text.length > most) return shorten(text.slice(0, most), longest, true);
  let at = 0;
  let last = 0;
  for (const { index } of graphemes.segment(text)) {
    if (at === longest) return `${text.slice(0, index).trimEnd()}…`;
    at += 1;
    last = index;
  }
  return cut ? `${text.slice(0, last).trimEnd()}…` : text;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

export function setTitle(element, title) {
  if (element.title !== title) element.title = title;
}

export function setAttribute(element, name, value) {
  if (element.getAttribute(name) !== value) element.setAttribute(name, value);
}

export function make(tag, className, text) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  if (text !== undefined) element.textContent = text;
  return element;
}
