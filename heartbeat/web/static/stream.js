// The connection: server-sent events, and the API for what they do not repeat.

const RETRY_MS = 3000;
const SILENT_MS = 32_000;

export class Stream {
  // `on` has one function for each event (hello, window, post, unheard, feed, health) and `state(name)`.
  constructor(on) {
    this.on = on;
    this.lastId = "";
    this.heard = performance.now();
    this.open();
    // The server says something every 15 s; a connection that is silent longer than twice that is dead.
    setInterval(() => {
      if (this.silence > SILENT_MS && this.source.readyState === EventSource.OPEN) this.again();
    }, 5000);
    addEventListener("pagehide", () => this.source.close());
    addEventListener("pageshow", (event) => event.persisted && this.again());
    addEventListener("online", () => this.source.readyState !== EventSource.OPEN && this.again());
  }

  // How long ago anything was heard.
  get silence() {
    return performance.now() - this.heard;
  }

  again() {
    clearTimeout(this.timer);
    this.source.close();
    this.on.state("reconnecting");
    this.open();
  }

  open() {
    const query = this.lastId ? `?last_event_id=${encodeURIComponent(this.lastId)}` : "";
    this.heard = performance.now();
    const source = (this.source = new EventSource(`/events${query}`));
    source.onerror = () => {
      if (source !== this.source) return;
      this.on.state("reconnecting");
      if (source.readyState !== EventSource.CLOSED) return;
      get("/api/health").catch(() => {}); // which leads to the login page if the session has ended
      this.timer = setTimeout(() => this.again(), RETRY_MS);
    };
    for (const kind of ["hello", "window", "post", "unheard", "feed", "health", "tick"]) {
      source.addEventListener(kind, (event) => {
        if (source !== this.source) return;
        this.heard = performance.now();
        if (event.lastEventId) this.lastId = event.lastEventId;
        if (kind === "hello") this.on.state("live");
        this.on[kind]?.(JSON.parse(event.data));
      });
    }
  }
}

export async function get(path, parameters = {}) {
  const query = new URLSearchParams(parameters).toString();
  const response = await fetch(query ? `${path}?${query}` : path, { headers: { Accept: "application/json" } });
  if (response.status === 401) location.reload(); // the session has ended: the server leads to the login page
  if (!response.ok) {
    const told = await response.json().catch(() => null);
    throw new Error(told?.error?.reason ?? `${path}: ${response.status}`);
  }
  return response.json();
}
