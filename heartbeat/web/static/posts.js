// The latest posts of a task. What is being read stays where it is: newcomers wait while the list is held.

import { GLYPHS, age, confidence, dateTime, language, make, percent, setText, shorten, utc } from "./words.js";

const SHOWN = 8;
const FEW = 3;
const LONGEST = 400;
const LONG = 80;
const TOUCHED_MS = 30_000; // so long after a touch what was touched stays

export class Posts {
  constructor(list, empty, more) {
    Object.assign(this, { list, empty, more, rows: new Map(), held: false });
    const hold = (held) => {
      this.held = held;
      if (!held) this.show(this.latest ?? [], this.now);
    };
    list.addEventListener("pointerenter", (event) => event.pointerType === "mouse" && hold(true));
    list.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && hold(false));
    more.addEventListener("click", () => hold(false));
    // A finger hovers over nothing: it holds the list until it touches something else, or for a while.
    const letGo = () => {
      clearTimeout(this.timer);
      document.removeEventListener("pointerdown", elsewhere);
      hold(false);
    };
    const elsewhere = (event) => !list.contains(event.target) && letGo();
    list.addEventListener("pointerdown", (event) => {
      if (event.pointerType === "mouse") return;
      clearTimeout(this.timer);
      this.timer = setTimeout(letGo, TOUCHED_MS);
      document.addEventListener("pointerdown", elsewhere);
      hold(true);
    });
  }

  show(posts, now) {
    this.latest = posts;
    this.now = now;
    const wanted = posts.slice(0, SHOWN);
    const waiting = wanted.filter((post) => !this.rows.has(key(post))).length;
    if (this.held && this.rows.size && waiting) {
      setText(this.more, `${waiting} more`);
      this.more.hidden = false;
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
      if (!row || row.post !== post) {
        const made = render(post);
        if (row) row.replaceWith(made);
        row = made;
        this.rows.set(id, row);
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
  facts.append(chip);
  if (sure !== null) facts.append(make("span", "sure", percent(sure)));
  if (post.unscored_reason) facts.append(Object.assign(make("span", "why", post.unscored_reason), { title: post.unscored_reason }));
  if (post.late) facts.append(make("span", "late", "late"));
  const spoken = make("span", "lang", post.lang);
  spoken.title = `${language(post.lang)}, ${percent(post.lang_confidence ?? 0)} sure`;
  const when = make("time", "age");
  when.dateTime = post.time;
  when.title = `${dateTime(post.ms, true)} · ${utc(post.ms)}`;
  facts.append(spoken, make("bdi", "source", post.source));
  if (post.model) {
    const [model, version] = post.model.split("/");
    facts.append(Object.assign(make("bdi", "model", model), { title: `scored by ${model}${version ? `, version ${version}` : ""}` }));
  }
  facts.append(when);
  row.append(facts);
  const text = (post.content ?? "").replace(/\s+/gu, " ").trim();
  const body = make("p", text ? "text" : "text gone");
  body.dir = "auto";
  if (post.lang !== "und") body.lang = post.lang;
  const gone = post.content === null || post.content === undefined ? "text no longer kept" : "no text";
  body.textContent = text ? shorten(text, LONGEST, post.content_cut) : gone;
  if (text.length > LONG) body.title = body.textContent;
  row.append(body);
  return Object.assign(row, { post, age: when });
}
