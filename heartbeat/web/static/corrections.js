// What people say of posts. One dialog for all of them, outside the lists: these may move on while somebody chooses.

import { GLYPHS, confidence, language, make, percent, setText, shorten } from "./words.js";

const TEXT = 600;
const SHOWN_MS = 30_000;

// What a post should be called, in words: only what differs from what the models had said.
export function verdictWords(post, { label, lang, confirms }) {
  if (confirms) return "confirmed as right";
  const parts = [label && label !== post.label ? label : null, lang && lang !== post.lang ? language(lang) : null];
  return `corrected to ${parts.filter(Boolean).join(", ")}`;
}

const modelWords = ({ label, lang }) => `${label ?? "unscored"}, ${language(lang)}`;

async function send(method, query, body) {
  const response = await fetch(`/api/corrections${query}`, {
    method,
    headers: { Accept: "application/json", ...(body ? { "Content-Type": "application/json" } : {}) },
    body: body ? JSON.stringify(body) : undefined,
  }).catch(() => {
    throw new Error("the server cannot be reached; nothing has been saved");
  });
  const told = await response.json().catch(() => null);
  if (!response.ok) throw Object.assign(new Error(told?.error?.reason ?? `${response.status}`), { told: told?.error });
  return told;
}

export class Corrections {
  // `changed(post, correction)` is told what stands of a post from now on: null for nothing; `say(words)` is heard.
  constructor(languages, { changed, say }) {
    Object.assign(this, { changed, say });
    this.dialog = document.getElementById("correction");
    this.form = this.dialog.querySelector("form");
    this.notice = document.getElementById("corrected");
    const find = (selector) => this.dialog.querySelector(selector);
    Object.assign(this, { save: find(".save"), back: find(".back"), problem: find(".problem"), text: find(".text"), was: find(".was") });
    this.select = find("select");
    const named = languages.map((code) => [code, code === "und" ? "another one, or none" : language(code)]);
    named.sort(([a, one], [b, two]) => (a === "und") - (b === "und") || one.localeCompare(two));
    for (const [code, name] of named) this.select.append(Object.assign(make("option", "", name), { value: code }));
    this.form.addEventListener("change", () => this._name());
    this.form.addEventListener("submit", (event) => {
      event.preventDefault();
      this._busy(() => this._save());
    });
    this.back.addEventListener("click", () => this._busy(() => this._takeBack(this.post, null)));
    find(".cancel").addEventListener("click", () => this.dialog.close());
    this.dialog.addEventListener("close", () => this.closed?.());
    this.notice.querySelector("button").addEventListener("click", () => this._undo());
  }

  // `closed` is called when the dialog has gone.
  open(post, closed) {
    this.post = post;
    this.closed = closed;
    const { label, lang } = this._said(post);
    this.text.textContent = shorten(post.content, TEXT, post.content_cut);
    if (post.lang !== "und") this.text.lang = post.lang;
    else this.text.removeAttribute("lang");
    this.form.querySelector('[data-label="unscored"]').hidden = post.label !== null;
    for (const radio of this.form.elements.label) radio.checked = radio.value === (label ?? "");
    if (![...this.select.options].some(({ value }) => value === lang)) {
      this.select.append(Object.assign(make("option", "", language(lang)), { value: lang }));
    }
    this.select.value = lang;
    this._tell();
    setText(this.problem, "");
    this.dialog.showModal();
    this.form.querySelector('input[name="label"]:checked')?.focus();
  }

  // What is taken for right: what was said of the post, else what the models had said.
  _said(post) {
    const { label, lang } = post.correction ?? {};
    return { label: label ?? post.label, lang: lang ?? post.lang };
  }

  _tell() {
    const { post } = this;
    const stands = post.correction ? `; ${verdictWords(post, post.correction)}` : "";
    setText(this.was, `The model said ${modelWords(post)}${stands}.`);
    this.back.hidden = !post.correction;
    this._name();
  }

  _chosen() {
    return { label: this.form.elements.label.value || null, lang: this.select.value };
  }

  _name() {
    const { label, lang } = this._chosen();
    setText(this.save, label === this.post.label && lang === this.post.lang ? "Confirm as right" : "Save the correction");
  }

  // One at a time; what goes wrong is told where it was done.
  async _busy(job) {
    if (this.working) return;
    this.working = true;
    this.save.disabled = this.back.disabled = true;
    setText(this.problem, "");
    try {
      await job();
      this.dialog.close();
    } catch (error) {
      if (error.told && "correction" in error.told) this._stands(this.post, error.told.correction);
      this._tell();
      this.problem.setAttribute("role", "alert"); // only now: beside an open dialog nothing else is heard
      setText(this.problem, `Not saved: ${error.message}.`);
    } finally {
      this.working = false;
      this.save.disabled = this.back.disabled = false;
    }
  }

  _stands(post, correction) {
    this.changed(post, correction);
    if (this.post === post) this.post = { ...post, correction };
  }

  async _save() {
    const { post } = this;
    const { task, source, id, time } = post;
    const { correction } = await send("POST", "", { task, source, id, time, ...this._chosen(), seen: post.correction?.number ?? 0 });
    this._stands(post, correction);
    this._notify(`Post ${verdictWords(post, correction)}.`, { post, number: correction.number });
  }

  async _takeBack(post, number) {
    const { source, id } = post;
    const query = new URLSearchParams({ source, id, ...(number ? { number } : {}) });
    const { correction } = await send("DELETE", `?${query}`);
    this._stands(post, correction);
    this._notify("Correction taken back.", null);
  }

  async _undo() {
    const { post, number } = this.undo;
    this.undo = null;
    try {
      await this._takeBack(post, number);
    } catch (error) {
      if (error.told && "correction" in error.told) this._stands(post, error.told.correction);
      this._notify(`Not taken back: ${error.message}.`, null);
    }
  }

  _notify(words, undo) {
    this.undo = undo;
    this.notice.hidden = false;
    this.notice.querySelector("button").hidden = !undo;
    setText(this.notice.querySelector("span"), words);
    setTimeout(() => this.say(words)); // once the dialog has gone
    clearTimeout(this.timer);
    const hide = () => {
      // not while somebody is about to use it
      if (this.notice.matches(":hover, :focus-within")) this.timer = setTimeout(hide, SHOWN_MS);
      else this.notice.hidden = true;
    };
    this.timer = setTimeout(hide, SHOWN_MS);
  }
}

// The chips that stand for what was said of a post, beside what the model had said.
export function marks(post) {
  const { correction } = post;
  if (!correction) return [];
  const mark = make("span", "said");
  const { label } = correction;
  const sign = make("span", "pen", correction.confirms ? "✓" : "✎");
  sign.setAttribute("aria-hidden", "true");
  mark.append(sign);
  if (label && label !== post.label) {
    mark.dataset.label = label;
    mark.append(Object.assign(make("span", "glyph", GLYPHS[label]), { ariaHidden: "true" }), ` ${label}`);
  }
  mark.append(make("span", "unseen", `, ${verdictWords(post, correction)}`));
  const sure = confidence(post);
  mark.title = `${verdictWords(post, correction)}; the model said ${modelWords(post)}${sure === null ? "" : `, ${percent(sure)} sure of the label`}`;
  return [mark];
}
