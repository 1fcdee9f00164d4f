// The latest posts of a task. What is being read stays where it is: newcomers wait while the list is held.

import { marks } from "./corrections.js";
import { GLYPHS, age, confidence, dateTime, language, make, percent, setText, shorten, utc } from "./words.js";

const SHOWN = 8;
const FEW = 3;
const LONGEST = 400;
const LONG = 80;
const NAMED = 40; // so much of a text tells buttons apart
const TOUCHED_MS = 30_000; // so long after a touch what was touched stays

export class Posts {
  constructor(list, empty, more) {
    Object.assign(this, { list, empty, more, rows: new Map(), holds: new Set() });
    list.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && this.hold("mouse", true));
    list.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && this.hold("mouse", false));
    more.addEventListener("click", () => {
      this.holds.clear();
      this.show(this.latest ?? [], this.now);
    });
    // A finger hovers over nothing: it holds the list until it touches something else, or for a while.
    const letGo = () => {
      clearTimeout(this.timer);
      document.removeEventListener("pointerdown", elsewhere);
      this.hold("finger", false);
    };
    const elsewhere = (event) => !list.contains(event.target) && letGo();
    list.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse") return;
      clearTimeout(this.timer);
      this.timer = setTimeout(letGo, TOUCHED_MS);
      document.addEventListener("pointerdown", elsewhere);
      this.hold("finger", true);
    });
    // Who goes through the list by keys holds it too: what has the focus may not go away.
    list.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && this.hold("keys", true));
    // Seen later: a row that is taken away while it has the focus says so in the middle of that.
    list.addEventListener("focusout", () => queueMicrotask(() => {
      if (this.holds.has("keys") && !list.contains(document.activeElement)) this.hold("keys", false);
    }));
    list.addEventListener("click", (event) => {
      const row = event.target.closest(".fix")?.closest(".post");
      if (row) this._correct(row.post);
    });
  }

  get held() {
    return this.holds.size > 0;
  }

  hold(why, held) {
    this.holds[held ? "add" : "delete"](why);
    if (!this.held) this.show(this.latest ?? [], this.now);
  }

  // Somebody chooses what is right of a post: it stays until that is done, and then has the focus again.
  _correct(post) {
    this.holds.add("choosing");
    const closed = () => {
      this.rows.get(key(post))?.querySelector(".fix")?.focus();
      this.hold("choosing", false);
    };
    this.list.dispatchEvent(new CustomEvent("correct", { bubbles: true, detail: { post, closed } }));
  }

  // A row made anew in its place, the focus in it included.
  _renew(id, post) {
    const [row, made] = [this.rows.get(id), render(post)];
    const focused = row.contains(document.activeElement);
    row.replaceWith(made);
    this.rows.set(id, made);
    if (focused) made.querySelector(".fix")?.focus();
    return made;
  }

  show(posts, now) {
    this.latest = posts;
    this.now = now;
    const wanted = posts.slice(0, SHOWN);
    const waiting = wanted.filter((post) => !this.rows.has(key(post))).length;
    if (this.held && this.rows.size && waiting) {
      setText(this.more, `${waiting} more`);
      this.more.hidden = false;
      for (const post of posts) {
        const row = this.rows.get(key(post));
        if (row && row.post !== post) this._renew(key(post), post);
      }
      this._age(now);
      return;
    }
    this.more.hidden = true;
    this.empty.hidden = wanted.length > 0;
    if (wanted.length > FEW) this.list.classList.add("many");
    const keys = new Set(wanted.map(key));
    for (const [id, row] of this.rows) {
      if (!keys.has(id)) {
        row.remove();
        this.rows.delete(id);
      }
    }
    let before = null;
    for (const post of wanted) {
      const id = key(post);
      let row = this.rows.get(id);
      if (!row) {
        row = render(post);
        this.rows.set(id, row);
      } else if (row.post !== post) {
        row = this._renew(id, post);
      }
      const place = before ? before.nextSibling : this.list.firstChild;
      if (row !== place) this.list.insertBefore(row, place);
      before = row;
    }
    this._age(now);
  }

  _age(now) {
    for (const row of this.rows.values()) setText(row.age, age(row.post.ms, now));
  }
}

const key = (post) => `${post.source}\n${post.id}`;

function render(post) {
  const label = post.label ?? "unscored";
  const sure = confidence(post);
  const row = make("li", "post");
  row.dataset.label = label;
  const facts = make("p", "facts");
  const chip = make("span", "chip");
  const glyph = make("span", "glyph", GLYPHS[label]);
  glyph.setAttribute("aria-hidden", "true");
  chip.append(glyph, ` ${label}`);
  const { correction } = post;
  if (correction?.label && correction.label !== post.label) chip.classList.add("was");
  facts.append(chip, ...marks(post));
  if (sure !== null) facts.append(make("span", "sure", percent(sure)));
  if (post.unscored_reason) facts.append(Object.assign(make("span", "why", post.unscored_reason), { title: post.unscored_reason }));
  if (post.late) facts.append(make("span", "late", "late"));
  const spoken = make("span", "lang", post.lang);
  spoken.title = `${language(post.lang)}, ${percent(post.lang_confidence ?? 0)} sure`;
  const when = make("time", "age");
  when.dateTime = post.time;
  when.title = `${dateTime(post.ms, true)} · ${utc(post.ms)}`;
  facts.append(spoken);
  if (correction?.lang && correction.lang !== post.lang) {
    spoken.classList.add("was");
    facts.append(Object.assign(make("span", "lang right", correction.lang), { title: language(correction.lang) }));
  }
  facts.append(make("bdi", "source", post.source));
  if (post.model) {
    const [model, version] = post.model.split("/");
    facts.append(Object.assign(make("bdi", "model", model), { title: `scored by ${model}${version ? `, version ${version}` : ""}` }));
  }
  facts.append(when);
  row.append(facts);
  const text = (post.content ?? "").replace(/\s+/gu, " ").trim();
  if (text) {
    const fix = Object.assign(make("button", "fix", "✎"), { type: "button", title: "Correct or confirm" });
    fix.setAttribute("aria-label", `Correct or confirm: ${shorten(text, NAMED)}`);
    facts.append(fix);
  }
  const body = make("p", text ? "text" : "text gone");
  body.dir = "auto";
  if (post.lang !== "und") body.lang = post.lang;
  const gone = post.content === null || post.content === undefined ? "text no longer kept" : "no text";
  body.textContent = text ? shorten(text, LONGEST, post.content_cut) : gone;
  if (text.length > LONG) body.title = body.textContent;
  row.append(body);
  return Object.assign(row, { post, age: when });
}
