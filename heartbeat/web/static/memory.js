// What this browser remembers of the page: which tasks are open. It may be forbidden to remember, or remember rubbish.

const KEY = "open";

export class Memory {
  constructor() {
    this.open = new Map();
    try {
      const known = JSON.parse(localStorage.getItem(KEY));
      for (const [name, open] of Object.entries(known ?? {})) if (typeof open === "boolean") this.open.set(name, open);
    } catch {
      // it begins anew
    }
  }

  get(name) {
    return this.open.get(name);
  }

  set(name, open) {
    this.open.set(name, open);
    try {
      localStorage.setItem(KEY, JSON.stringify(Object.fromEntries(this.open)));
    } catch {
      // then it is remembered for as long as the page lives
    }
  }
}
